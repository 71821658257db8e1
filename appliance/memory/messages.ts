// The messages of the memory stream between the CoServers, one per Channel message; README.md has the byte table.
//
// Every message names its session: what is still under way from an earlier one is recognised and dropped.

/** Changes with every incompatible change of the messages or of their meaning. */
export const MEMORY_STREAM_VERSION = 2;

const HEADER_BYTES = 8;
const MAX_REASON_BYTES = 1024;

const KIND = { begin: 0x01, data: 0x02, released: 0x03, committed: 0x04, consumed: 0x05, end: 0x06, final: 0x07, packed: 0x08 } as const;

export type LossCause = 'engine' | 'protocol' | 'channel' | 'stalled' | 'stopped';
const CAUSES: LossCause[] = ['engine', 'protocol', 'channel', 'stalled', 'stopped'];

export type MemoryMessage =
  /** Source: the primary's engine has connected. */
  | { kind: 'begin'; session: number; version: number }
  /** Both: bytes of the engine's stream, forward or return. */
  | { kind: 'data'; session: number; bytes: Buffer }
  /** Source: as data, in the same order with it, compressed: see batch-codec.ts. Two parts to send, one when received. */
  | { kind: 'packed'; session: number; batch: Buffer; compressed?: Buffer }
  /** Source: READY was passed to the engine, interval 1 begins. */
  | { kind: 'released'; session: number }
  /** Target: interval n is durable here. */
  | { kind: 'committed'; session: number; interval: number }
  /** Target: so many forward bytes in all have left the target's memory or belong to a checkpoint in collection. */
  | { kind: 'consumed'; session: number; bytes: number }
  /** Source: the guest has shut down; interval n, which no checkpoint covers, is to be committed. Also after an end by the engine. */
  | { kind: 'final'; session: number; interval: number }
  /** Both: the session is over. */
  | { kind: 'end'; session: number; cause: LossCause; reason: string };

export class MemoryMessageError extends Error {
  override name = 'MemoryMessageError';
}

function header(kind: number, session: number, bodyBytes: number): Buffer {
  const b = Buffer.alloc(HEADER_BYTES + bodyBytes);
  b[0] = kind;
  b.writeUInt32BE(session, 4);
  return b;
}

/** The parts of one message, for `Channel.send`; the data's bytes are not copied. */
export function encodeMessage(m: MemoryMessage): Uint8Array[] {
  switch (m.kind) {
    case 'begin': {
      const b = header(KIND.begin, m.session, 4);
      b.writeUInt32BE(m.version, HEADER_BYTES);
      return [b];
    }
    case 'data':
      return [header(KIND.data, m.session, 0), m.bytes];
    case 'packed':
      return m.compressed ? [header(KIND.packed, m.session, 0), m.batch, m.compressed] : [header(KIND.packed, m.session, 0), m.batch];
    case 'released':
      return [header(KIND.released, m.session, 0)];
    case 'committed':
    case 'final': {
      const b = header(KIND[m.kind], m.session, 4);
      b.writeUInt32BE(m.interval, HEADER_BYTES);
      return [b];
    }
    case 'consumed': {
      const b = header(KIND.consumed, m.session, 8);
      b.writeBigUInt64BE(BigInt(m.bytes), HEADER_BYTES);
      return [b];
    }
    case 'end': {
      const b = header(KIND.end, m.session, 1);
      b[HEADER_BYTES] = CAUSES.indexOf(m.cause);
      return [b, Buffer.from(m.reason).subarray(0, MAX_REASON_BYTES)];
    }
    default:
      return m satisfies never;
  }
}

/** Throws MemoryMessageError naming what is wrong. */
export function decodeMessage(b: Buffer): MemoryMessage {
  if (b.length < HEADER_BYTES) throw new MemoryMessageError(`memory stream: a message of ${b.length} bytes`);
  const kind = b[0];
  const session = b.readUInt32BE(4);
  const body = b.subarray(HEADER_BYTES);
  const need = (bytes: number) => {
    if (body.length !== bytes)
      throw new MemoryMessageError(`memory stream: message 0x${(kind ?? 0).toString(16)} with ${body.length} instead of ${bytes} bytes`);
  };
  switch (kind) {
    case KIND.begin:
      need(4);
      return { kind: 'begin', session, version: body.readUInt32BE(0) };
    case KIND.data:
      return { kind: 'data', session, bytes: body };
    case KIND.packed:
      return { kind: 'packed', session, batch: body };
    case KIND.released:
      need(0);
      return { kind: 'released', session };
    case KIND.committed:
      need(4);
      return { kind: 'committed', session, interval: body.readUInt32BE(0) };
    case KIND.final:
      need(4);
      return { kind: 'final', session, interval: body.readUInt32BE(0) };
    case KIND.consumed:
      need(8);
      return { kind: 'consumed', session, bytes: Number(body.readBigUInt64BE(0)) };
    case KIND.end: {
      const cause = CAUSES[body[0] ?? CAUSES.length];
      if (cause === undefined || body.length > 1 + MAX_REASON_BYTES)
        throw new MemoryMessageError('memory stream: an end without a known cause');
      return { kind: 'end', session, cause, reason: body.toString('utf8', 1) };
    }
    default:
      throw new MemoryMessageError(`memory stream: unknown message 0x${(kind ?? 0).toString(16)}`);
  }
}
