// QMP's bytes, pure: a stream of JSON objects, one per line (QEMU ends each with CR LF), to typed messages and back.
//
// QEMU sends a greeting once, then, in any order: answers to commands (by `id`) and events. What does not parse is a
// QmpProtocolError: the peer is not QEMU or speaks another protocol, and guessing on would be worse than ending.
//
// Source: docs/interop/qmp-spec.rst of QEMU 11.1, sections 2.2 (greeting) to 2.5 (events).

/** Longest line accepted: `query-qmp-schema`, the longest answer there is, has about 0.5 MB. */
export const MAX_LINE_BYTES = 8 * 1024 * 1024;

export type QmpMessage =
  | { kind: 'greeting'; version: EngineVersion; capabilities: string[] }
  | { kind: 'answer'; id: number | undefined; value: unknown }
  | { kind: 'failure'; id: number | undefined; errorClass: string; description: string }
  | { kind: 'event'; name: string; data: Record<string, unknown>; timestampMs: number };

export interface EngineVersion {
  major: number;
  minor: number;
  micro: number;
  /** The distribution's name of the package, such as "Debian 1:11.1.3+ds-1". */
  package: string;
}

export class QmpProtocolError extends Error {
  override name = 'QmpProtocolError';
}

type JsonObject = Record<string, unknown>;

function asObject(value: unknown): JsonObject | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined;
}

function asNumber(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}

function asString(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** `{"qemu": {"major": 11, ...}, "package": "..."}`: the shape of the greeting and of `query-version`. */
export function decodeVersion(value: unknown): EngineVersion {
  const version = asObject(value);
  const qemu = asObject(version?.qemu);
  if (!qemu) throw new QmpProtocolError(`no version in ${preview(JSON.stringify(value) ?? 'undefined')}`);
  return { major: asNumber(qemu.major), minor: asNumber(qemu.minor), micro: asNumber(qemu.micro), package: asString(version?.package) };
}

/** One line to one message. Throws QmpProtocolError. */
export function decodeLine(line: string): QmpMessage {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch {
    throw new QmpProtocolError(`not JSON: ${preview(line)}`);
  }
  const message = asObject(parsed);
  if (!message) throw new QmpProtocolError(`not an object: ${preview(line)}`);
  const id = typeof message.id === 'number' ? message.id : undefined;
  const greeting = asObject(message.QMP);
  if (greeting) {
    const capabilities = Array.isArray(greeting.capabilities) ? greeting.capabilities.filter((c) => typeof c === 'string') : [];
    return { kind: 'greeting', version: decodeVersion(greeting.version), capabilities };
  }
  if (typeof message.event === 'string') {
    const timestamp = asObject(message.timestamp);
    const timestampMs = asNumber(timestamp?.seconds) * 1000 + asNumber(timestamp?.microseconds) / 1000;
    return { kind: 'event', name: message.event, data: asObject(message.data) ?? {}, timestampMs };
  }
  const error = asObject(message.error);
  if (error) return { kind: 'failure', id, errorClass: asString(error.class) || 'GenericError', description: asString(error.desc) };
  if ('return' in message) return { kind: 'answer', id, value: message.return };
  throw new QmpProtocolError(`neither answer nor event: ${preview(line)}`);
}

export function encodeCommand(how: 'execute' | 'exec-oob', command: string, args: object | undefined, id: number): string {
  return `${JSON.stringify({ [how]: command, ...(args === undefined ? {} : { arguments: args }), id })}\n`;
}

/** Cuts a byte stream into messages; keeps an unfinished line for the next call. */
export class QmpDecoder {
  #parts: Buffer[] = [];
  #bytes = 0;

  /** Throws QmpProtocolError on a line that is no QMP message or is longer than MAX_LINE_BYTES. */
  feed(chunk: Buffer): QmpMessage[] {
    const messages: QmpMessage[] = [];
    let start = 0;
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, start)) {
      this.#parts.push(chunk.subarray(start, end));
      const line = Buffer.concat(this.#parts).toString('utf8').trim();
      this.#parts = [];
      this.#bytes = 0;
      start = end + 1;
      if (line) messages.push(decodeLine(line));
    }
    if (start < chunk.length) {
      this.#parts.push(chunk.subarray(start));
      this.#bytes += chunk.length - start;
      if (this.#bytes > MAX_LINE_BYTES) throw new QmpProtocolError(`a line of more than ${MAX_LINE_BYTES} bytes`);
    }
    return messages;
  }
}

function preview(line: string): string {
  return line.length > 120 ? `${line.slice(0, 120)}...` : line;
}
