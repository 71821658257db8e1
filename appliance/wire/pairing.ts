// The pairing message: 112 bytes, as an Ethernet frame of type 0x88B6 on the dedicated links. README.md holds the byte table.
//
// Pure. Nothing here is secret and, before both sides have the same agreement, nothing can be authentic: what may be believed
// of a message is decided in appliance/pairing. `confirm` and `kept` carry a MAC over the whole message with the MAC's place zero.

export const PAIRING_BYTES = 112;
export const PAIRING_VERSION = 1;
/** 'TwPr' */
const MAGIC = 0x54775072;
const KEY_AT = 40;
const NONCE_AT = 72;
const DETAIL_AT = 104;

/** Why a side gave up, as its partner's operator should read it. */
export const ABORT_REASONS = ['differ', 'stopped', 'timeout', 'disk'] as const;
export type AbortReason = (typeof ABORT_REASONS)[number];
/** How far the key got at the sender: durable beside the key file, or as the key file. */
export const KEPT_STAGES = ['pending', 'established'] as const;
export type KeptStage = (typeof KEPT_STAGES)[number];

/** Byte strings are lower-case hex: 32 digits for session and pair id, 64 for the rest. */
export type PairingBody =
  | { kind: 'commit'; commitment: string }
  | { kind: 'answer'; publicKey: string; nonce: string }
  | { kind: 'reveal'; publicKey: string; nonce: string }
  | { kind: 'confirm'; mac: string }
  | { kind: 'kept'; stage: KeptStage; mac: string }
  | { kind: 'abort'; reason: AbortReason };

export interface PairingMessage {
  sender: 'A' | 'B';
  /** Of the attempt, random, made by A; zero in `kept`, which belongs to a key and to no attempt. */
  session: string;
  pairId: string;
  body: PairingBody;
}

export const NO_SESSION = '00'.repeat(16);

export type PairingReading =
  | { kind: 'message'; message: PairingMessage }
  /** Another version, from whoever. */
  | { kind: 'version'; version: number }
  | { kind: 'malformed'; reason: string };

const TYPES = ['commit', 'answer', 'reveal', 'confirm', 'kept', 'abort'] as const satisfies readonly PairingBody['kind'][];

function writeHex(b: Buffer, value: string, offset: number, bytes: number, name: string): void {
  if (value.length !== 2 * bytes || b.write(value, offset, bytes, 'hex') !== bytes)
    throw new RangeError(`${name} is not ${bytes} bytes of hex`);
}

/** Throws RangeError for values that do not fit. */
export function encodePairing({ sender, session, pairId, body }: PairingMessage): Buffer {
  const b = Buffer.alloc(PAIRING_BYTES);
  b.writeUInt32BE(MAGIC, 0);
  b.writeUInt8(PAIRING_VERSION, 4);
  b.writeUInt8(sender === 'A' ? 0 : 1, 5);
  b.writeUInt8(TYPES.indexOf(body.kind) + 1, 6);
  writeHex(b, session, 8, 16, 'session');
  writeHex(b, pairId, 24, 16, "the pair's id");
  switch (body.kind) {
    case 'commit':
      writeHex(b, body.commitment, KEY_AT, 32, 'commitment');
      break;
    case 'answer':
    case 'reveal':
      writeHex(b, body.publicKey, KEY_AT, 32, 'public key');
      writeHex(b, body.nonce, NONCE_AT, 32, 'nonce');
      break;
    case 'confirm':
      writeHex(b, body.mac, KEY_AT, 32, 'MAC');
      break;
    case 'kept':
      writeHex(b, body.mac, KEY_AT, 32, 'MAC');
      b.writeUInt8(KEPT_STAGES.indexOf(body.stage) + 1, DETAIL_AT);
      break;
    case 'abort':
      b.writeUInt8(ABORT_REASONS.indexOf(body.reason) + 1, DETAIL_AT);
      break;
    default:
      body satisfies never;
  }
  return b;
}

/** Never throws, whatever the bytes. What comes out goes in again byte by byte. */
export function decodePairing(b: Buffer): PairingReading {
  if (b.length < 5 || b.readUInt32BE(0) !== MAGIC) return malformed('not a pairing message');
  const version = b.readUInt8(4);
  if (version !== PAIRING_VERSION) return { kind: 'version', version };
  if (b.length !== PAIRING_BYTES) return malformed(`${b.length} bytes instead of ${PAIRING_BYTES}`);
  const sender = b.readUInt8(5);
  if (sender > 1) return malformed(`sender ${sender}`);
  const kind = TYPES[b.readUInt8(6) - 1];
  if (kind === undefined) return malformed(`type ${b.readUInt8(6)}`);
  const body = decodeBody(kind, b);
  if (typeof body === 'string') return malformed(body);
  const message: PairingMessage = {
    sender: sender === 0 ? 'A' : 'B',
    session: b.toString('hex', 8, 24),
    pairId: b.toString('hex', 24, 40),
    body,
  };
  // One message, one form: whatever the table says is zero was zero.
  if (!encodePairing(message).equals(b)) return malformed('bytes that must be zero are not');
  return { kind: 'message', message };
}

function decodeBody(kind: PairingBody['kind'], b: Buffer): PairingBody | string {
  const first = b.toString('hex', KEY_AT, KEY_AT + 32);
  const detail = b.readUInt8(DETAIL_AT);
  switch (kind) {
    case 'commit':
      return { kind, commitment: first };
    case 'answer':
    case 'reveal':
      return { kind, publicKey: first, nonce: b.toString('hex', NONCE_AT, NONCE_AT + 32) };
    case 'confirm':
      return { kind, mac: first };
    case 'kept': {
      const stage = KEPT_STAGES[detail - 1];
      return stage === undefined ? `stage ${detail}` : { kind, stage, mac: first };
    }
    case 'abort': {
      const reason = ABORT_REASONS[detail - 1];
      return reason === undefined ? `reason ${detail}` : { kind, reason };
    }
    default:
      return kind satisfies never;
  }
}

/** What a MAC covers: the message with the MAC's place zero. */
export function signedBytes(message: PairingMessage & { body: { mac: string } }): Buffer {
  const b = encodePairing(message);
  b.fill(0, KEY_AT, KEY_AT + 32);
  return b;
}

function malformed(reason: string): PairingReading {
  return { kind: 'malformed', reason };
}
