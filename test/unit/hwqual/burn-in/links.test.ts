import t from 'tap';
import type { LinkFigures } from '../../../../hwqual/burn-in/link-work.ts';
import { judgeLinks } from '../../../../hwqual/burn-in/links.ts';
import { growth } from '../../../../hwqual/burn-in/nic-statistics.ts';

const NONE = { frames: 0, bytes: 0, lost: 0, damaged: 0, reordered: 0, duplicated: 0, dropped: 0 };

function end(link: number, change: Partial<LinkFigures> = {}): LinkFigures {
  return {
    nic: `link${link}`,
    link,
    problem: null,
    listenedMs: 10_000,
    speedMbps: 1000,
    heardPartner: true,
    partnerLink: link,
    ownLink: null,
    partnerAnswersOnly: false,
    silentMs: null,
    restarts: 0,
    out: { frames: 800_000, bytes: 1_211_200_000, ms: 10_000, sendDropped: 0 },
    told: { ...NONE, frames: 800_000 },
    toldIsFinal: true,
    in: { ...NONE, frames: 800_000, bytes: 1_211_200_000, ms: 10_000, partnerSendDropped: 0 },
    foreignFrames: 0,
    nicGrowth: { errors: {}, noRoomReceiving: {}, noRoomSending: {} },
    clock: null,
    ...change,
  };
}

const silent = { heardPartner: false, partnerLink: null, told: null, out: { frames: 0, bytes: 0, ms: 0, sendDropped: 0 } };
const judge = (...ends: LinkFigures[]) => judgeLinks(ends, true, 'A');

t.test('two good links', async (t) => {
  const { verdict, reason, figures } = judge(end(0), end(1));
  t.equal(verdict, 'pass');
  t.match(reason, "link0 to B's link 0, link1 to B's link 1: at least 969 Mbit/s, nothing damaged");
  t.match(figures, { 'link0.outMbitPerS': 969, authenticated: true });
});

t.test('what is wrong with a link fails, and names it', async (t) => {
  const wrong: [string, Partial<LinkFigures>, RegExp][] = [
    ['damage', { in: { ...end(0).in, damaged: 1 } }, /link0: 1 frames came damaged/],
    ['damage at the other end', { told: { ...NONE, damaged: 2 } }, /2 frames arrived damaged at B/],
    ['loss on the way here', { in: { ...end(0).in, lost: 3 } }, /3 of 800003 frames were lost on the way here/],
    ['loss on the way there', { told: { ...NONE, lost: 4 } }, /4 of 800000 frames were lost on the way to B/],
    ['another order', { in: { ...end(0).in, reordered: 1 } }, /something stands between/],
    ['twice', { told: { ...NONE, duplicated: 1 } }, /came twice/],
    ['counters', { nicGrowth: growth({ rx_crc_errors: 5 }, { rx_crc_errors: 7 }) }, /counters grew: rx_crc_errors \+2/],
    ['crossed', { partnerLink: 1 }, /leads to B's link 1: cables are crossed/],
    ['a loop', { ownLink: 1 }, /connected to link 1 of this very CoServer/],
    ['no carrier', { problem: 'link0 has no carrier' }, /no carrier/],
    ['silence', { silentMs: 9_000 }, /B fell silent 9 s before the end/],
    ['nobody there', silent, /B is not heard here, though it answers on another link/],
  ];
  for (const [name, change, reason] of wrong) {
    const found = judge(end(0, change), end(1));
    t.equal(found.verdict, 'fail', name);
    t.match(found.reason, reason, name);
  }
});

t.test('frames that a CoServer had no room for are no fault of the wire', async (t) => {
  const { verdict, reason } = judge(
    end(0, {
      in: { ...end(0).in, lost: 100, dropped: 60, partnerSendDropped: 40 },
      told: { ...NONE, lost: 7, dropped: 4 },
      out: { ...end(0).out, sendDropped: 3 },
    }),
    end(1),
  );
  t.equal(verdict, 'pass');
  t.match(reason, '107 frames that a CoServer had no time for, none by the wire');
  t.equal(judge(end(0, { in: { ...end(0).in, lost: 101, dropped: 60, partnerSendDropped: 40 } }), end(1)).verdict, 'fail', 'one more');
});

t.test('nobody answers, or nobody floods: not tested, and what to do', async (t) => {
  const alone = judge(end(0, silent), end(1, silent));
  t.equal(alone.verdict, 'notTested');
  t.match(alone.reason, /twinstep burn-in --answer/);
  const idle = { out: silent.out, in: { ...end(0).in, frames: 0 } };
  t.equal(judge(end(0, idle), end(1, idle)).verdict, 'notTested');
  t.equal(judge(end(0), end(1, { ...silent, listenedMs: 500 })).verdict, 'notTested', 'no time to hear it');
});

t.test('a rate far below what the NIC can is told', async (t) => {
  t.match(judge(end(0, { speedMbps: 10_000 }), end(1)).reason, /the processors could not fill link0 \(10000\)/);
});

t.test('counters: what a busy machine dropped is no damage', async (t) => {
  const grew = growth({ rx_errors: 0, rx_missed_errors: 0 }, { rx_errors: 9, rx_missed_errors: 9, rx_packets: 5 });
  t.strictSame(grew, { errors: {}, noRoomReceiving: { rx_missed_errors: 9 }, noRoomSending: {} });
  t.strictSame(growth({}, { rx_errors: 1 }).errors, { rx_errors: 1 });
});
