// The partner's requests, done on this copy while it is target or replica (appliance/mirror/follower.ts).
import { becomeEqual, follow } from '../../../appliance/core/mirror-orders.ts';
import type { Copy } from './copy.ts';
import type { Content } from './medium.ts';
import type { Opened } from './opened.ts';
import { runOrder } from './orders.ts';
import type { Request } from './partner.ts';

/** To `settle`, of a copy that has no journal. */
const EVERY_INTERVAL = 0xffffffff;

/** A request of the partner. Answered once, or never if the attachment is over. */
export function receive(c: Copy, attachment: number, r: Request, answer: (ok: boolean, value?: unknown) => void): void {
  const o = c.opened;
  if (!o || (c.mode !== 'target' && c.mode !== 'replica')) {
    if (r.kind === 'attach') answer(false);
    return;
  }
  if (r.kind === 'attach') {
    attach(c, o, attachment, answer);
    return;
  }
  if (attachment !== o.attachment) return;
  // The source left the checkpoints before this side did.
  if (o.replica?.isJournaling && r.kind === 'write' && r.interval === 0) {
    o.deferred.push(() => receive(c, attachment, r, answer));
    return;
  }
  o.running++;
  const over = (ok: boolean, value?: unknown): void => {
    o.running--;
    if (attachment === o.attachment) answer(ok, value);
  };
  perform(c, o, attachment, r, over);
}

function attach(c: Copy, o: Opened, attachment: number, answer: (ok: boolean, value?: unknown) => void): void {
  if (o.replica) {
    answer(false);
    return;
  }
  c.detach(o);
  const { life } = c.s;
  const begin = (): void => {
    if (c.opened !== o || c.s.life !== life) return;
    // Writes of an earlier attachment must not end after those of the new one.
    if (o.running > 0) {
      c.s.at(1, begin);
      return;
    }
    runOrder(c, o, follow(), (ok) => {
      if (!ok) {
        answer(false);
        return;
      }
      o.attachment = attachment;
      c.world.checkers.mirror.attached(c.s);
      answer(true, o.isUnknown ? null : { record: o.metadata.record, suspects: new Set(o.metadata.log.suspects) });
    });
  };
  begin();
}

function perform(
  c: Copy,
  o: Opened,
  attachment: number,
  r: Exclude<Request, { kind: 'attach' }>,
  over: (ok: boolean, value?: unknown) => void,
): void {
  const { replica } = o;
  const failed = (): void => over(false);
  switch (r.kind) {
    case 'write':
      if (replica) replica.write(r.interval, r.block, r.content, () => over(true), failed);
      else c.write(o, r.block, r.content, () => over(true), failed);
      return;
    case 'flush':
      if (replica) replica.flush(() => over(true), failed);
      else c.flush(o, () => over(true), failed);
      return;
    case 'compare':
      if (replica) {
        failed();
        return;
      }
      c.io(o, () => over(true, differing(c, r.contents)), failed, false);
      return;
    case 'synced':
      if (replica) {
        failed();
        return;
      }
      runOrder(c, o, becomeEqual({ log: o.metadata.log, isStill: () => o.attachment === attachment }, r.record), (ok) => {
        if (!ok) {
          failed();
          return;
        }
        if (o.attachment === attachment) {
          o.isUnknown = false;
          o.isEqual = true;
          c.isPartial = false;
        }
        over(true);
      });
      return;
    case 'settle': {
      const interval = replica ? replica.writtenBack : EVERY_INTERVAL;
      if (c.world.flaws.mirror === 'what the partner has not flushed is forgotten') over(true, interval);
      else c.flush(o, () => over(true, interval), failed);
      return;
    }
    case 'commit':
      if (replica && !replica.isEnding) replica.commit(r.interval, () => over(true, true), failed);
      else over(true, false);
      return;
    default:
      r satisfies never;
  }
}

function differing(c: Copy, contents: readonly { block: number; content: Content; bad: Content | undefined }[]): unknown {
  const answer: { block: number; content: Content; how: 'differs' | 'right' | 'bad' }[] = [];
  for (const { block, content, bad } of contents) {
    const own = c.medium.read(block);
    if (bad === undefined) {
      if (own !== content || c.medium.expected(block) !== undefined) answer.push({ block, content: own, how: 'differs' });
    } else if (own === bad && c.medium.expected(block) === undefined) answer.push({ block, content: own, how: 'right' });
    else {
      // The source cannot read it, and what is here is older: nobody has it.
      c.medium.rot(block, bad);
      answer.push({ block, content: own, how: 'bad' });
    }
  }
  return answer;
}
