// What the mirrors say to each other about restore points: the data of a `cut` message, JSON. Pure.
import { isPointEntry, type PointEntry } from './catalogue-codec.ts';
import type { NewPoint } from './point-store.ts';

/**
 *  begin  make ready for this point
 *  cut    it is cut: now (interval 0), or at the end of the message's interval
 *  keep   answered when it is durable
 *  drop   remove it, whatever has become of it
 *  list   `points` are those here; answered with those there. Every answer to the others is such a list, too
 */
export type CutStep =
  | { step: 'begin'; point: NewPoint }
  | { step: 'cut' | 'keep' | 'drop'; id: string }
  | { step: 'list'; points: PointEntry[] };

export function encodeCutStep(s: CutStep): Buffer {
  return Buffer.from(JSON.stringify(s));
}

export function encodePointList(points: readonly PointEntry[]): Buffer {
  return Buffer.from(JSON.stringify(points));
}

/** Throws on anything that this version does not say. */
export function decodeCutStep(bytes: Uint8Array): CutStep {
  const v = parsed(bytes) as Record<string, unknown> | null;
  const asEntry = (point: unknown): unknown => ({ ...(point as object), state: 'cutting', trouble: '', batches: null });
  switch (v?.step) {
    case 'begin':
      if (isPointEntry(asEntry(v.point))) return { step: 'begin', point: v.point as NewPoint };
      break;
    case 'cut':
    case 'keep':
    case 'drop':
      if (typeof v.id === 'string' && /^[0-9a-f]{16}$/.test(v.id)) return { step: v.step, id: v.id };
      break;
    case 'list':
      if (Array.isArray(v.points) && v.points.every(isPointEntry)) return { step: 'list', points: v.points };
      break;
  }
  throw new Error('the partner speaks of restore points in another way: do both CoServers run the same version?');
}

export function decodePointList(bytes: Uint8Array): PointEntry[] {
  const v = parsed(bytes);
  if (Array.isArray(v) && v.every(isPointEntry)) return v;
  throw new Error("the partner's list of restore points cannot be read: do both CoServers run the same version?");
}

function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null;
  }
}
