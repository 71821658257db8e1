// Which of two blocks is right, and when the copies are compared.
import fc from 'fast-check';
import t from 'tap';
import { type BlockCondition, judgeBlock, pauseAfterStep, scrubDue } from '../../../../appliance/core/scrub.ts';

const CONDITIONS: readonly BlockCondition[] = ['fits', 'wrong', 'unknown', 'unreadable'];
const mirrored = { own: 'partner', partner: 'own', ownUnreadable: 'partnerUnreadable', partnerUnreadable: 'ownUnreadable' } as const;
const isMirrored = (v: string): v is keyof typeof mirrored => v in mirrored;

t.test('both sides come to the same verdict, whatever they see', (t) => {
  for (const own of CONDITIONS)
    for (const partner of CONDITIONS)
      for (const equal of [true, false]) {
        const here = judgeBlock(own, partner, equal);
        const there = judgeBlock(partner, own, equal);
        t.equal(there, isMirrored(here) ? mirrored[here] : here, `${own} ${partner} ${equal}`);
      }
  t.end();
});

t.test('a block that is known to be wrong never wins; a good one is never overwritten by guess', (t) => {
  const right: Record<string, [BlockCondition, BlockCondition][]> = {
    own: [
      ['fits', 'wrong'],
      ['fits', 'unknown'],
      ['unknown', 'wrong'],
    ],
    neither: [
      ['fits', 'fits'],
      ['wrong', 'wrong'],
      ['unknown', 'unknown'],
      ['unreadable', 'unreadable'],
      ['wrong', 'unreadable'],
    ],
    partnerUnreadable: [
      ['fits', 'unreadable'],
      ['unknown', 'unreadable'],
    ],
  };
  for (const [verdict, pairs] of Object.entries(right))
    for (const [own, partner] of pairs) t.equal(judgeBlock(own, partner, false), verdict, `${own} and ${partner}`);
  t.equal(judgeBlock('fits', 'unknown', true), 'fine');
  t.equal(judgeBlock('wrong', 'fits', true), 'renew');
  t.end();
});

t.test('when it is due', (t) => {
  const hour = 3_600_000;
  t.notOk(scrubDue({ since: 0, at: null }, 167 * hour, 168));
  t.ok(scrubDue({ since: 0, at: null }, 168 * hour, 168));
  t.ok(scrubDue({ since: 1000 * hour, at: 5 }, 1000 * hour, 168), 'one that was cut short goes on');
  t.notOk(scrubDue({ since: 0, at: 5 }, 1000 * hour, 0), 'only when the operator asks');
  t.ok(scrubDue({ since: 1000 * hour, at: null }, 0, 168), 'a clock that was set back does not put it off for ever');
  t.end();
});

t.test('the pause keeps the rate, and leaves the disks to the guest for four fifths of the time', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1 << 20 }),
      fc.integer({ min: 0, max: 60_000 }),
      fc.integer({ min: 1, max: 1e9 }),
      (bytes, took, rate) => {
        const pause = pauseAfterStep(bytes, took, rate);
        return pause >= 4 * took && ((took + pause) * rate) / 1000 >= bytes - 1;
      },
    ),
  );
  t.end();
});
