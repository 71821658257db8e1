// How the simulated mirror obeys the orders of core/mirror-orders.ts: each step takes its time, and may fail.
import type { MirrorOrder, MirrorStep } from '../../../appliance/core/mirror-orders.ts';
import type { Copy } from './copy.ts';
import type { Ended, Opened } from './opened.ts';
import type { Partner } from './partner.ts';

/** `asked`: the partner that the order is about. */
export function runOrder(c: Copy, o: Opened, real: MirrorOrder<unknown>, ended: Ended, asked: Partner | null = null): void {
  const order = c.world.flaws.orders?.(real) ?? real;
  const next = (answer?: number): void => {
    const { done, value } = order.next(answer);
    if (done) ended(true);
    else runStep(c, o, value, asked, next, () => ended(false));
  };
  next();
}

function runStep(c: Copy, o: Opened, step: MirrorStep, asked: Partner | null, done: (answer?: number) => void, failed: () => void): void {
  const { metadata } = o;
  switch (step.kind) {
    case 'record':
      metadata.change(step.change, done, failed);
      return;
    case 'suspect':
      metadata.suspect(step.extents, done, failed);
      return;
    case 'all': {
      let open = step.steps.length;
      let isWell = true;
      const ended = (): void => {
        if (--open > 0) return;
        if (isWell) done();
        else failed();
      };
      for (const each of step.steps)
        runStep(c, o, each, asked, ended, () => {
          isWell = false;
          ended();
        });
      return;
    }
    case 'clear':
      metadata.clear(step.extents);
      done();
      return;
    case 'flush':
      c.flush(o, done, failed);
      return;
    case 'askSynced':
      asked?.ask({ kind: 'synced', record: step.record }, () => done(), failed);
      return;
    case 'askSettle':
      asked?.ask({ kind: 'settle' }, (answer) => done(answer as number), failed);
      return;
    case 'release': {
      const { partner } = o;
      o.partner = null;
      c.mode = 'solo';
      c.interval = 0;
      partner?.release();
      done();
      return;
    }
    case 'serve':
      o.serves = true;
      done();
      return;
    default:
      step satisfies never;
  }
}
