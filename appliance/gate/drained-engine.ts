// Waits until everything that a stopped guest sent was read from its engine's socket.
import { RpcError } from '../wire/rpc.ts';
import type { EngineLink } from './engine-socket.ts';

/** A stopped guest's socket is quiet after some turns; one that still sends after this long was not stopped. */
const LIMIT_MS = 1000;

/** Turns of the event loop without a byte: in each, the socket was polled and empty. */
const QUIET_TURNS = 2;

/** Rejects with NOT_STOPPED when the frames do not end. */
export async function drainedEngine(engine: () => EngineLink | null, whose: 'guest' | 'replica', nowMs: () => number): Promise<void> {
  const deadline = nowMs() + LIMIT_MS;
  let last = -1;
  let quiet = 0;
  while (quiet < QUIET_TURNS) {
    await new Promise((resolve) => setImmediate(resolve));
    const read = engine()?.bytesRead ?? 0;
    quiet = read === last ? quiet + 1 : 0;
    last = read;
    if (quiet === 0 && nowMs() > deadline)
      throw new RpcError(`the ${whose}'s frames do not end within ${LIMIT_MS} ms: it is not stopped`, 'NOT_STOPPED');
  }
}
