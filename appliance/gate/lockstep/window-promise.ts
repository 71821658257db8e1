// A window is a promise to take what the client sends. The replica, which may have to keep it, must have offered as much, now
// or earlier: else a client would send what a takeover (and the replica already now) can only drop. Pure.
import type { Connection } from './connection.ts';
import { ACK, acknowledgementOf, after, endOf, RST, SYN, setWindow, subtract, type TcpSegment } from './segment.ts';

/** The client is told of more room only when it is worth a segment of its own. */
const WINDOW_STEP_BYTES = 2 * 1460;

/** A segment about to leave: its window is made smaller, in place, when the replica has not offered as much. True: it was. */
export function clampWindow(connection: Connection, s: TcpSegment, nowMs: number): boolean {
  if ((s.flags & ACK) === 0 || s.flags & (SYN | RST) || connection.scale === null) return false;
  const edge = connection.edgeOf(s);
  const limit = offered(connection);
  if (edge === null || limit === null) return false;
  if (!after(edge, limit)) {
    connection.clamped = null;
    return false;
  }
  const bytes = after(limit, s.acknowledgement) ? subtract(limit, s.acknowledgement) : 0;
  connection.clamped = { segment: acknowledgementOf(s, endOf(s)), at: connection.clamped?.at ?? nowMs };
  setWindow(s, Math.floor(bytes / 2 ** connection.scale));
  return true;
}

/**
 * The client was told less than the primary offered; now more is agreed: a window update, made from the last acknowledgement, which
 * leaves at once. Null: nothing worth it. `connection.clamped` is null afterwards when it says all.
 */
export function windowUpdate(connection: Connection): Buffer | null {
  const { clamped, scale } = connection;
  if (clamped === null || scale === null || connection.held.length > 0) return null;
  const limit = offered(connection);
  const told = connection.releasedEdge;
  const wanted = connection.sentEdge;
  if (limit === null || told === null || wanted === null || !after(limit, told)) return null;
  const isAll = !after(wanted, limit);
  const edge = isAll ? wanted : limit;
  if (!isAll && subtract(edge, told) < WINDOW_STEP_BYTES) return null;
  const ack = connection.releasedAck ?? clamped.segment.acknowledgement;
  if (!after(edge, ack)) return null;
  const s = acknowledgementOf(clamped.segment, connection.released);
  if (s.acknowledgement !== ack) return null;
  setWindow(s, Math.min(0xffff, Math.floor(subtract(edge, ack) / 2 ** scale)));
  connection.hasLeft(s, s.sequence, false);
  if (isAll) connection.clamped = null;
  return s.frame;
}

/** Right edge of the window that both sides stand for; null: unknown. */
function offered(connection: Connection): number | null {
  const { replicaEdge, releasedEdge } = connection;
  if (replicaEdge === null) return null;
  return releasedEdge !== null && after(releasedEdge, replicaEdge) ? releasedEdge : replicaEdge;
}
