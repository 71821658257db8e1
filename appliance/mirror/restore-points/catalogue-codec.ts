// Which restore points there are, as bytes (table in README.md). Pure. All integers big endian.
//
// One slot of the catalogue: a checksummed header and a body in JSON. The body is ours, yet checked whole: what does not fit is
// a damaged slot, never half a catalogue.
import { crc32 } from 'node:zlib';
import type { RestorePointView } from '../../core/snapshot.ts';

export const CATALOGUE_SLOT_BYTES = 64 * 1024;
const HEADER_BYTES = 24;
const MAGIC = 'TSPTCAT1';

export type PointKind = RestorePointView['kind'];

/**
 *  cutting  its file is there, the cut is not durable: after a crash it is as if it had been removed
 *  kept     it is one
 *  removed  nobody sees it; what it keeps may still be needed by older ones
 *  lost     nothing of it is left; listed with its trouble until it is removed
 */
export type PointState = 'cutting' | 'kept' | 'removed' | 'lost';

export interface PointEntry {
  /** 16 hex digits, the same on both CoServers; also the name of its file and what tells its batches from another's. */
  id: string;
  name: string;
  kind: PointKind;
  /** Wall clock ms. */
  takenAt: number;
  state: PointState;
  /** Why it cannot be used any more; empty: it can. */
  trouble: string;
  /** Batches of its file, once nothing more goes there. Null: it may still grow. */
  batches: number | null;
  /** Of its file: the configuration may say another size by now. */
  fileBytes?: number;
}

export interface Catalogue {
  /** Which disk it is about; empty: a device without a name of its own. */
  disk: string;
  sizeBytes: number;
  /** Oldest first. */
  points: PointEntry[];
  /** The disk is being made as this point was, and that has not ended. */
  rollingBack: { id: string; name: string } | null;
}

/** Letters, digits, hyphens: it becomes a part of file names, NBD exports and actions. */
export const POINT_NAME = /^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/;
export const POINT_ID = /^[0-9a-f]{16}$/;
const KINDS: readonly string[] = ['scheduled', 'operator', 'rollback'];
const STATES: readonly string[] = ['cutting', 'kept', 'removed', 'lost'];

export function encodeCatalogue(c: Catalogue, counter: bigint): Buffer {
  const body = Buffer.from(JSON.stringify(c));
  if (HEADER_BYTES + body.length > CATALOGUE_SLOT_BYTES) throw new Error(`a catalogue of restore points of ${body.length} bytes`);
  const b = Buffer.alloc(CATALOGUE_SLOT_BYTES);
  b.write(MAGIC, 0, 'latin1');
  b.writeBigUInt64BE(counter, 8);
  b.writeUInt32BE(body.length, 16);
  body.copy(b, HEADER_BYTES);
  b.writeUInt32BE(checksum(b, body.length), 20);
  return b;
}

/** Null: no whole slot. */
export function decodeCatalogue(b: Buffer): { catalogue: Catalogue; counter: bigint } | null {
  if (b.length < HEADER_BYTES || b.toString('latin1', 0, 8) !== MAGIC) return null;
  const length = b.readUInt32BE(16);
  if (HEADER_BYTES + length > b.length || b.readUInt32BE(20) !== checksum(b, length)) return null;
  let value: unknown;
  try {
    value = JSON.parse(b.toString('utf8', HEADER_BYTES, HEADER_BYTES + length));
  } catch {
    return null;
  }
  return isCatalogue(value) ? { catalogue: value, counter: b.readBigUInt64BE(8) } : null;
}

function checksum(b: Buffer, length: number): number {
  return crc32(b.subarray(HEADER_BYTES, HEADER_BYTES + length), crc32(b.subarray(0, 20)));
}

function isCatalogue(v: unknown): v is Catalogue {
  if (!isObject(v) || typeof v.disk !== 'string' || !isCount(v.sizeBytes) || !Array.isArray(v.points)) return false;
  if (!v.points.every(isPointEntry) || new Set(v.points.map((p: PointEntry) => p.id)).size !== v.points.length) return false;
  const { rollingBack: r } = v;
  return r === null || (isObject(r) && isId(r.id) && isName(r.name));
}

/** Also for what the partner says. */
export function isPointEntry(v: unknown): v is PointEntry {
  return (
    isObject(v) &&
    isId(v.id) &&
    isName(v.name) &&
    KINDS.includes(v.kind as string) &&
    STATES.includes(v.state as string) &&
    isCount(v.takenAt) &&
    typeof v.trouble === 'string' &&
    (v.batches === null || isCount(v.batches)) &&
    (v.fileBytes === undefined || isCount(v.fileBytes))
  );
}

const isObject = (v: unknown): v is Record<string, unknown> => typeof v === 'object' && v !== null && !Array.isArray(v);
const isCount = (v: unknown): v is number => typeof v === 'number' && Number.isSafeInteger(v) && v >= 0;
const isId = (v: unknown): v is string => typeof v === 'string' && POINT_ID.test(v);
const isName = (v: unknown): v is string => typeof v === 'string' && POINT_NAME.test(v);
