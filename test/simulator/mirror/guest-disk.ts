// The guest's requests, as appliance/mirror/guest-disk.ts does them: to this copy and to the partner's, and when they may be acknowledged.
import { isCrowded } from '../../../appliance/core/activity-log.ts';
import { coolDown } from '../../../appliance/core/mirror-orders.ts';
import type { Copy } from './copy.ts';
import { type Content, extentOf } from './medium.ts';
import type { Opened } from './opened.ts';
import { runOrder } from './orders.ts';

/** Answered when it may be acknowledged; never, if the partner is gone and nobody has decided. */
export function guestWrite(c: Copy, block: number, what: () => Content | null, done: (ok: boolean) => void): void {
  const o = c.opened;
  if (!o?.serves) return;
  const { interval } = c;
  const { flaws } = c.world;
  o.lock.take(block, block + 1, (unlock) => {
    const content = what();
    if (content === null) {
      unlock();
      done(false);
      return;
    }
    const over = (isWell: boolean): void => {
      o.metadata.end(extentOf(block));
      unlock();
      if (c.opened === o && flaws.mirror !== 'acknowledged before both have it') done(isWell);
      coolDownNow(c, o);
    };
    const notMarked = (): void => {
      if (o.partner) o.partner.whenReleased(() => over(false));
      else over(false);
    };
    const go = (): void => {
      const { partner } = o;
      let open = partner ? 2 : 1;
      let isWell = true;
      const ended = (): void => {
        if (--open === 0) over(isWell);
      };
      const failed = (): void => {
        isWell = false;
        if (partner) partner.whenReleased(ended);
        else ended();
      };
      const here = (): void => {
        if (c.opened === o && flaws.mirror === 'acknowledged before both have it') done(true);
        ended();
      };
      c.write(o, block, content, here, failed);
      if (!partner) return;
      if (flaws.mirror === 'new writes are not held' && partner.isLost) ended();
      else partner.hold({ kind: 'write', block, content, interval }, ended);
    };
    if (flaws.mirror === 'no region log') {
      o.metadata.begin(
        extentOf(block),
        interval,
        () => undefined,
        () => undefined,
      );
      go();
    } else o.metadata.begin(extentOf(block), interval, go, notMarked);
  });
}

export function guestFlush(c: Copy, done: () => void): void {
  const o = c.opened;
  if (!o?.serves) return;
  const { partner } = o;
  let open = partner ? 2 : 1;
  const ended = (): void => {
    if (--open === 0 && c.opened === o) done();
  };
  c.flush(o, ended, () => partner?.whenReleased(() => undefined));
  partner?.hold({ kind: 'flush' }, ended);
}

/** Reads and writes of the block wait meanwhile. Nothing, if there is no copy that has it. */
export function repair(c: Copy, block: number, from: 'own' | 'partner'): void {
  const o = c.opened;
  const partner = o?.partner;
  if (!o?.serves || !partner || partner.isLost) return;
  if (from === 'own') {
    guestWrite(
      c,
      block,
      () => (c.isBad(block) ? null : c.medium.read(block)),
      () => undefined,
    );
    return;
  }
  o.lock.take(block, block + 1, (unlock) => {
    const p = c.their;
    if (o.partner === partner && !partner.isLost && p.opened?.isEqual && !p.isBad(block) && c.isBad(block))
      c.medium.repair(block, p.latest(block));
    unlock();
  });
}

/** The next checkpoint. The guests are stopped meanwhile, and nothing of the guest is under way. */
export function checkpoint(c: Copy, done: (interval: number) => void): void {
  const partner = c.opened?.partner;
  if (!partner) return;
  const n = c.interval++;
  partner.ask(
    { kind: 'commit', interval: n },
    (isDone) => {
      if (isDone === true) done(n);
    },
    () => undefined,
  );
}

function coolDownNow(c: Copy, o: Opened): void {
  const { partner } = o;
  const { log } = o.metadata;
  if (!partner || partner.isLost || o.isCooling || c.opened !== o || !isCrowded(log)) return;
  o.isCooling = true;
  const order = coolDown({ log, isStill: () => c.opened === o && o.partner === partner });
  const over = (): void => {
    o.isCooling = false;
  };
  runOrder(c, o, order, over, partner);
}
