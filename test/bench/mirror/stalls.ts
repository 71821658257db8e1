// How long the guest's writes stand when the partner freezes or dies. The core's decision is played: it lets the source go on alone when
// the acknowledgement timeout has passed since the partner fell silent, or as soon as the links are seen to be down.
import { setTimeout as sleep } from 'node:timers/promises';
import { WritingGuest } from './guest.ts';
import type { Place } from './servers.ts';
import { startPair } from './variants.ts';

const WARM_WRITES = 500;
const DEPTH = 4;

export interface Stall {
  what: 'frozen' | 'killed';
  /** The longest time that one write of the guest took. */
  stallMs: number;
  /** frozen: the timeout. killed: from the end of the partner to the channel's word that it is down. */
  noticedMs: number;
  /** From the decision to the first write that ended. */
  releasedMs: number;
  /** The command that makes a new generation durable and releases what waits. */
  goSoloMs: number;
}

export async function measureStall(what: Stall['what'], place: Place, sizeBytes: number, timeoutMs: number): Promise<Stall> {
  const { a, b, stop } = await startPair(place, sizeBytes);
  try {
    const guest = await WritingGuest.start(a.socketPath, sizeBytes, DEPTH);
    await guest.more(WARM_WRITES);
    const beganMs = performance.now();
    const before = guest.written.length;
    let noticed: Promise<unknown>;
    if (what === 'frozen') {
      noticed = sleep(timeoutMs);
      b.server.child.kill('SIGSTOP');
    } else {
      noticed = new Promise((resolve) => a.mirror.on('channel', ({ up }) => up || resolve(undefined)));
      b.server.child.kill('SIGKILL');
    }
    await noticed;
    const noticedMs = performance.now();
    await a.mirror.call('goSolo', {});
    const goSoloMs = performance.now() - noticedMs;
    await guest.more(WARM_WRITES);
    await guest.stop();
    const after = guest.written.slice(before);
    const released = after.find((w) => w.endedMs >= noticedMs);
    return {
      what,
      stallMs: Math.max(...after.map((w) => w.tookMs)),
      noticedMs: noticedMs - beganMs,
      releasedMs: (released?.endedMs ?? Number.NaN) - noticedMs,
      goSoloMs,
    };
  } finally {
    b.server.child.kill('SIGCONT');
    await stop();
  }
}
