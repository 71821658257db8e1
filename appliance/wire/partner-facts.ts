// The control stream's message about hardware, as JSON: {"facts": {schema, incarnation, server}}. `server` is what qualification compares; its
// fields are taken one by one by whoever compares (hwqual/qualify), so that this room need not know what servers are made of.

/** A control message is never longer: what is, is not even read. A server with 512 threads tells 8 KiB of itself. */
export const CONTROL_MESSAGE_MAX_BYTES = 64 * 1024;
const SCHEMA = 1;

export interface FactsMessage {
  /** The life of the process that read them: facts of an earlier one say nothing of this boot. */
  incarnation: string;
  server: object;
}

/** Throws RangeError where it would be longer than the partner reads. */
export function encodeFacts({ incarnation, server }: FactsMessage): string {
  const text = JSON.stringify({ facts: { schema: SCHEMA, incarnation, server } });
  const bytes = Buffer.byteLength(text);
  if (bytes > CONTROL_MESSAGE_MAX_BYTES)
    throw new RangeError(`what this server is made of has ${bytes} bytes; the partner reads ${CONTROL_MESSAGE_MAX_BYTES}`);
  return text;
}

/** Null: the message is about something else. Throws when it is about facts and not well formed. */
export function parseFactsMessage(message: unknown): FactsMessage | null {
  if (typeof message !== 'object' || message === null || !Object.hasOwn(message, 'facts')) return null;
  const { facts } = message as { facts: unknown };
  if (typeof facts !== 'object' || facts === null) throw new Error('facts is no object');
  const { schema, incarnation, server } = facts as Record<string, unknown>;
  if (schema !== SCHEMA) throw new Error(`facts.schema is ${JSON.stringify(schema)?.slice(0, 40)}`);
  if (typeof incarnation !== 'string' || incarnation.length === 0 || incarnation.length > 64)
    throw new Error('facts.incarnation is no short text');
  if (typeof server !== 'object' || server === null || Array.isArray(server)) throw new Error('facts.server is no object');
  return { incarnation, server };
}
