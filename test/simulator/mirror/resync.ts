// The source makes the partner's copy equal, an extent at a time, under the extent's lock.
import { planResync } from '../../../appliance/core/mirror.ts';
import { endResync } from '../../../appliance/core/mirror-orders.ts';
import type { Copy } from './copy.ts';
import { BLOCKS_PER_EXTENT, type Content, EXTENTS } from './medium.ts';
import type { Ended, Opened } from './opened.ts';
import { runOrder } from './orders.ts';
import type { Partner } from './partner.ts';

/** Answers when both copies are equal and flushed on both. */
export function resync(c: Copy, ended: Ended): void {
  const o = c.opened;
  const partner = o?.partner;
  if (c.mode !== 'source' || !o || !partner) {
    ended(false);
    return;
  }
  const { metadata, theirs } = o;
  const plan = planResync(o.isUnknown ? null : { record: metadata.record, suspects: metadata.log.suspects }, theirs);
  o.theirs = null;
  const isPart = plan.kind === 'source' || plan.kind === 'regions';
  c.world.checkers.mirror.planned(c.s, plan);
  const todo = isPart ? [...plan.extents] : Array.from({ length: EXTENTS }, (_, i) => i);
  c.world.tell(
    () => `${c.s.name} makes ${c.s.partner.name} equal: ${isPart ? `extents ${todo.join(' ') || '-'}` : `everything (${plan.kind})`}`,
  );
  const { record } = metadata;
  const isStill = (): boolean => c.opened === o && o.partner === partner && !partner.isLost;
  const next = (): void => {
    if (!isStill()) {
      ended(false);
      return;
    }
    const extent = todo.shift();
    if (extent !== undefined) {
      compare(c, o, partner, extent, (ok) => (ok ? c.s.at(c.world.pauseMs(), next) : ended(false)));
      return;
    }
    const end = endResync(
      { log: metadata.log, isStill: () => o.partner === partner && metadata.record.current === record.current },
      record,
    );
    runOrder(
      c,
      o,
      end,
      (ok) => {
        if (!ok || !isStill()) {
          ended(false);
          return;
        }
        o.isUnknown = false;
        c.world.checkers.mirror.synced(c.s);
        ended(true);
      },
      partner,
    );
  };
  next();
}

function compare(c: Copy, o: Opened, partner: Partner, extent: number, ended: Ended): void {
  const first = extent * BLOCKS_PER_EXTENT;
  const locks = c.world.flaws.mirror === 'no extent lock in a resync' ? 0 : BLOCKS_PER_EXTENT;
  o.lock.take(first, first + locks, (unlock) => {
    const over = (ok: boolean): void => {
      unlock();
      ended(ok);
    };
    const failed = (): void => over(false);
    const read = (): void => {
      const blocks = Array.from({ length: BLOCKS_PER_EXTENT }, (_, i) => first + i);
      const contents = blocks.map((b) => ({ block: b, content: c.medium.read(b), bad: c.medium.expected(b) }));
      partner.ask(
        { kind: 'compare', contents },
        (answer) => {
          let open = 1;
          const one = (): void => {
            if (--open === 0) over(true);
          };
          for (const { block, content, how } of answer as { block: number; content: Content; how: 'differs' | 'right' | 'bad' }[]) {
            // The checksum here says that the partner has it right.
            if (how === 'right') c.medium.repair(block, content);
            else if (how === 'differs') {
              open++;
              partner.ask({ kind: 'write', block, content: contents[block - first]?.content ?? 0, interval: 0 }, one, failed);
            }
          }
          one();
        },
        failed,
      );
    };
    c.io(o, read, failed, false);
  });
}
