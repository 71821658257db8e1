// The clock that a client sees of a connection must not go back at a takeover: older TSvals than the latest it has seen are
// dropped (PAWS, RFC 7323 5.3), and the connection stands still until the survivor's clock has caught up. The replica's clock is behind
// by what it was stopped longer, and by what it answered the SYN later than the primary (the offset is taken there). Pure.
//
// So a segment of the primary leaves with no later time than the replica has said, or than has left already: what the survivor
// says next is later. The client echoes a time that is a little too old; Linux measures round trips by it only where nothing
// better is known. What a commit lets out keeps its time: the survivor's clock is then the primary's.
import type { Connection } from './connection.ts';
import { after, latestTime, setTimestamp, type TcpSegment, timestampOf } from './segment.ts';

/** A segment about to leave by comparison: its TSval is made older, in place, when the replica has not said one as late. */
export function boundTimestamp(connection: Connection, s: TcpSegment): void {
  const limit = latestTime(connection.replicaTime, connection.releasedTime);
  if (limit === null) return;
  const time = timestampOf(s);
  if (time !== null && after(time, limit)) setTimestamp(s, limit);
}
