// The control stream's messages about settings that both CoServers have, as JSON: {"settings": {schema, number, kind, ...}}. Each is answered by its
// number. They may hold a hash of a password: they are in no journal and in no log.

export interface WitnessPlace {
  address: string;
  port: number;
}

export type SettingsMessage =
  /** argon2id hashes: who has `from` takes `to`. */
  | { kind: 'password'; number: number; from: string; to: string }
  /** Take it, and be at it from now on. */
  | { kind: 'witness'; number: number; place: WitnessPlace }
  /** The protection level of the pair; each takes it into use by a start of its process, in its turn. */
  | { kind: 'level'; number: number; level: 2 | 3 }
  /** Where the sender is reached from now on in the network of the operators. */
  | { kind: 'address'; number: number; address: string }
  /** '': it is so there now. */
  | { kind: 'answer'; number: number; refusal: string };

const SCHEMA = 1;
const MAX_HASH = 256;
const MAX_ADDRESS = 64;
const MAX_TEXT = 600;

export function encodeSettings(message: SettingsMessage): string {
  return JSON.stringify({ settings: { schema: SCHEMA, ...message } });
}

/** Null: the message is about something else. Throws when it is about settings and not well formed; what it says never repeats a value. */
export function parseSettingsMessage(message: unknown): SettingsMessage | null {
  if (typeof message !== 'object' || message === null || !Object.hasOwn(message, 'settings')) return null;
  const m = objectOf((message as { settings: unknown }).settings);
  if (m['schema'] !== SCHEMA) throw new Error('settings.schema is another one');
  const { number } = m;
  if (typeof number !== 'number' || !Number.isSafeInteger(number) || number < 0) throw new Error('settings.number is no whole number');
  switch (m['kind']) {
    case 'password':
      return { kind: 'password', number, from: text(m, 'from', MAX_HASH), to: text(m, 'to', MAX_HASH) };
    case 'witness': {
      const place = objectOf(m['place']);
      const { port } = place;
      if (typeof port !== 'number' || !Number.isInteger(port) || port < 1 || port > 65_535)
        throw new Error('settings.place.port is no port');
      return { kind: 'witness', number, place: { address: text(place, 'address', MAX_ADDRESS), port } };
    }
    case 'level': {
      const { level } = m;
      if (level !== 2 && level !== 3) throw new Error('settings.level is neither 2 nor 3');
      return { kind: 'level', number, level };
    }
    case 'address':
      return { kind: 'address', number, address: text(m, 'address', MAX_ADDRESS) };
    case 'answer':
      return { kind: 'answer', number, refusal: text(m, 'refusal', MAX_TEXT) };
    default:
      throw new Error('settings of an unknown kind');
  }
}

function objectOf(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('settings that are no object');
  return value as Record<string, unknown>;
}

function text(m: Record<string, unknown>, name: string, limit: number): string {
  const value = m[name];
  if (typeof value !== 'string' || value.length > limit) throw new Error(`settings.${name} is no text, or too long`);
  return value;
}
