// The messages of lockstep between the two gates. Pure codec; the byte table is in README.md. Inputs have the form that they have
// without lockstep (partner-messages.ts).
//
//   begin    03  version (1)  be32 session  { key  be32 sequence  be32 timestamp  flags (1: ISN known)  be32 ISN }...
//   mark     04
//   isn      05  be32 interval  key  be32 sequence  flags (1: timestamp, 2: answers)  be32 timestamp  be32 answers
//   outputs  06  be32 session  be32 interval  frames (be32 length + frame)...
//   key: length (12, 36), addresses and ports as in lockstep/api.ts
import type { BaseOffset, PrimaryMessage } from './lockstep/api.ts';

const BEGIN = 3;
const MARK = 4;
const ISN = 5;
const OUTPUTS = 6;

/** Changes with every incompatible change of these messages or of their meaning. */
export const LOCKSTEP_VERSION = 1;

const BEGIN_HEADER_BYTES = 6;
const BASE_BYTES = 13;
const ISN_HEADER_BYTES = 5;
const ISN_BYTES = 13;
const OUTPUTS_HEADER_BYTES = 9;
const HAS_ISN = 1;
const HAS_TIMESTAMP = 1;
const HAS_ANSWERS = 2;

export type LockstepMessage =
  | Exclude<PrimaryMessage, { kind: 'input' }>
  | { kind: 'outputs'; session: number; interval: number; batch: Buffer };

export function isLockstepMessage(m: Buffer): boolean {
  const type = m[0] ?? 0;
  return type >= BEGIN && type <= OUTPUTS;
}

/** What goes in front of the batches of an outputs message. */
export function outputsHeader(session: number, interval: number): Buffer {
  const h = Buffer.alloc(OUTPUTS_HEADER_BYTES);
  h[0] = OUTPUTS;
  h.writeUInt32BE(session, 1);
  h.writeUInt32BE(interval, 5);
  return h;
}

export function encodeLockstep(m: Exclude<PrimaryMessage, { kind: 'input' }>): Buffer {
  switch (m.kind) {
    case 'begin': {
      const head = Buffer.alloc(BEGIN_HEADER_BYTES);
      head[0] = BEGIN;
      head[1] = LOCKSTEP_VERSION;
      head.writeUInt32BE(m.session, 2);
      return Buffer.concat([head, ...m.base.map(encodeBase)]);
    }
    case 'mark':
      return Buffer.from([MARK]);
    case 'isn': {
      const head = Buffer.alloc(ISN_HEADER_BYTES);
      head[0] = ISN;
      head.writeUInt32BE(m.interval, 1);
      const tail = Buffer.alloc(ISN_BYTES);
      tail.writeUInt32BE(m.sequence, 0);
      tail[4] = (m.timestamp === null ? 0 : HAS_TIMESTAMP) | (m.answers === null ? 0 : HAS_ANSWERS);
      tail.writeUInt32BE(m.timestamp ?? 0, 5);
      tail.writeUInt32BE(m.answers ?? 0, 9);
      return Buffer.concat([head, encodeKey(m.key), tail]);
    }
    default:
      return m satisfies never;
  }
}

function encodeKey(key: string): Buffer {
  return Buffer.concat([Buffer.from([key.length]), Buffer.from(key, 'latin1')]);
}

function encodeBase(base: BaseOffset): Buffer {
  const tail = Buffer.alloc(BASE_BYTES);
  tail.writeUInt32BE(base.sequence, 0);
  tail.writeUInt32BE(base.timestamp, 4);
  if (base.guestIsn !== null) {
    tail[8] = HAS_ISN;
    tail.writeUInt32BE(base.guestIsn, 9);
  }
  return Buffer.concat([encodeKey(base.key), tail]);
}

/** Throws Error naming what is wrong. The batch is a range of the message. */
export function decodeLockstep(m: Buffer): LockstepMessage {
  const need = (bytes: number, what: string): void => {
    if (m.length < bytes) throw new Error(`network stream: ${what} message of ${m.length} bytes`);
  };
  switch (m[0]) {
    case BEGIN: {
      need(BEGIN_HEADER_BYTES, 'begin');
      if (m[1] !== LOCKSTEP_VERSION)
        throw new Error(
          `network stream: the partner speaks version ${m[1]} of lockstep, this side ${LOCKSTEP_VERSION}: install the same release on both CoServers`,
        );
      const base: BaseOffset[] = [];
      let at = BEGIN_HEADER_BYTES;
      while (at < m.length) {
        const key = decodeKey(m, at, BASE_BYTES);
        at += 1 + key.length;
        base.push({
          key,
          sequence: m.readUInt32BE(at),
          timestamp: m.readUInt32BE(at + 4),
          guestIsn: m[at + 8] === HAS_ISN ? m.readUInt32BE(at + 9) : null,
        });
        at += BASE_BYTES;
      }
      return { kind: 'begin', session: m.readUInt32BE(2), base };
    }
    case MARK:
      return { kind: 'mark' };
    case ISN: {
      const key = decodeKey(m, ISN_HEADER_BYTES, ISN_BYTES);
      const at = ISN_HEADER_BYTES + 1 + key.length;
      if (m.length !== at + ISN_BYTES) throw new Error(`network stream: isn message of ${m.length} bytes`);
      const flags = m[at + 4] ?? 0;
      return {
        kind: 'isn',
        interval: m.readUInt32BE(1),
        key,
        sequence: m.readUInt32BE(at),
        timestamp: flags & HAS_TIMESTAMP ? m.readUInt32BE(at + 5) : null,
        answers: flags & HAS_ANSWERS ? m.readUInt32BE(at + 9) : null,
      };
    }
    case OUTPUTS:
      need(OUTPUTS_HEADER_BYTES, 'outputs');
      return { kind: 'outputs', session: m.readUInt32BE(1), interval: m.readUInt32BE(5), batch: m.subarray(OUTPUTS_HEADER_BYTES) };
    default:
      throw new Error(`network stream: unknown message type ${m[0]}`);
  }
}

function decodeKey(m: Buffer, at: number, bytesBehind: number): string {
  const length = m[at];
  if ((length !== 12 && length !== 36) || at + 1 + length + bytesBehind > m.length)
    throw new Error(`network stream: key of ${length} bytes at byte ${at} of ${m.length}`);
  return m.toString('latin1', at + 1, at + 1 + length);
}
