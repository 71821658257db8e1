import t from 'tap';
import { Partner } from '../../../../appliance/heartbeat/partner.ts';
import { type HeartbeatFrame, NO_INCARNATION } from '../../../../appliance/wire/heartbeat.ts';

const OWN = 'aaaaaaaaaaaaaaaa';
const LIFE1 = '1111111111111111';
const LIFE2 = '2222222222222222';
const TIMEOUT_MS = 100;

/** A frame of B that names a frame of ours sent 5 ms before `at`. */
function frame(at: number, sequence: number, change: Partial<HeartbeatFrame> = {}): HeartbeatFrame {
  return {
    sender: 'B',
    link: 0,
    path: 'ethernet',
    incarnation: LIFE1,
    sequence,
    sentUs: at * 1000,
    generation: 1,
    role: 2,
    revision: 0,
    echo: { incarnation: OWN, sequence: 1, sentUs: (at - 5) * 1000, heldUs: 2000 },
    ...change,
  };
}
const nothing = { incarnation: NO_INCARNATION, sequence: 0, sentUs: 0, heldUs: 0 };

t.test('a first life: answered, and counted when it names ours', async (t) => {
  const p = new Partner('A', OWN, 2);
  t.equal(p.echo(0, 'ethernet', 0).incarnation, NO_INCARNATION);
  t.same(p.judge(frame(100, 1, { echo: nothing }), 0, 'ethernet', 100, TIMEOUT_MS), { kind: 'unproven' });
  t.same(p.echo(0, 'ethernet', 107), { incarnation: LIFE1, sequence: 1, sentUs: 100_000, heldUs: 7000 });
  t.same(p.judge(frame(110, 2), 0, 'ethernet', 110, TIMEOUT_MS), {
    kind: 'living',
    echoSentMs: 105,
    rttMs: 3,
    news: { generation: 1, role: 2, revision: 0, incarnation: LIFE1, restarted: false },
    proven: [1, 0],
  });
  t.match(p.judge(frame(111, 2, { link: 1, path: 'ip' }), 1, 'ip', 111, TIMEOUT_MS), { kind: 'living', news: null });
  t.match(p.judge(frame(120, 3, { revision: 5 }), 0, 'ethernet', 120, TIMEOUT_MS), { news: { revision: 5, restarted: false } });
});

t.test('copies of the present life', async (t) => {
  const p = new Partner('A', OWN, 1);
  p.judge(frame(100, 5), 0, 'ethernet', 100, TIMEOUT_MS);
  t.same(p.judge(frame(100, 5), 0, 'ethernet', 101, TIMEOUT_MS), { kind: 'replayed' });
  t.same(p.judge(frame(90, 4), 0, 'ethernet', 101, TIMEOUT_MS), { kind: 'late' }, 'never heard, but a younger one was');
  t.same(p.judge(frame(90, 4), 0, 'ethernet', 102, TIMEOUT_MS), { kind: 'replayed' });
  t.match(p.judge(frame(90, 4), 0, 'ip', 101, TIMEOUT_MS), { kind: 'wrongPath', reason: /other path/ });
  t.match(p.judge(frame(90, 6, { link: 1 }), 0, 'ethernet', 101, TIMEOUT_MS), {
    kind: 'wrongLink',
    reason: 'link 1 here is link 2 at the partner: the cables are crossed',
  });
  t.same(p.judge(frame(90, 6, { sender: 'A' }), 0, 'ethernet', 101, TIMEOUT_MS), { kind: 'sameSide' });
  t.same(p.judge(frame(90, 6, { sender: 'A', incarnation: OWN }), 0, 'ethernet', 101, TIMEOUT_MS), { kind: 'reflected' });
});

t.test('an older life does not come back', async (t) => {
  const p = new Partner('A', OWN, 1);
  p.judge(frame(100, 500), 0, 'ethernet', 100, TIMEOUT_MS);
  // It restarts: a young echo proves the new life even while the old one still counts.
  t.match(p.judge(frame(150, 1, { incarnation: LIFE2 }), 0, 'ethernet', 150, TIMEOUT_MS), { kind: 'living', news: { restarted: true } });
  // Recorded frames of the first life, while the second is heard ...
  t.same(p.judge(frame(160, 501, { echo: nothing }), 0, 'ethernet', 160, TIMEOUT_MS), { kind: 'replayed' });
  t.same(p.judge(frame(40, 501), 0, 'ethernet', 160, TIMEOUT_MS), { kind: 'replayed' });
  // ... and after it fell silent: not even answered, since that life has ended for ever.
  t.same(p.judge(frame(100, 501), 0, 'ethernet', 400, TIMEOUT_MS), { kind: 'replayed' });
  t.equal(p.echo(0, 'ethernet', 400).incarnation, LIFE2);
  // The living one goes on.
  t.match(p.judge(frame(410, 9, { incarnation: LIFE2 }), 0, 'ethernet', 410, TIMEOUT_MS), { kind: 'living', news: null });
});

t.test('a living partner that does not hear us is told apart', async (t) => {
  const p = new Partner('A', OWN, 1);
  p.judge(frame(100, 1), 0, 'ethernet', 100, TIMEOUT_MS);
  t.match(p.judge(frame(500, 2, { echo: { incarnation: OWN, sequence: 1, sentUs: 95_000, heldUs: 0 } }), 0, 'ethernet', 500, TIMEOUT_MS), {
    kind: 'living',
    echoSentMs: 95,
    rttMs: null,
  });
  t.match(p.judge(frame(510, 3, { echo: nothing }), 0, 'ethernet', 510, TIMEOUT_MS), { kind: 'living', echoSentMs: null });
});

t.test('a copy does not come through behind a frame of another life', async (t) => {
  const p = new Partner('A', OWN, 1);
  p.judge(frame(100, 500), 0, 'ethernet', 100, TIMEOUT_MS);
  // The partner is silent; a recorded frame of some earlier life, then one of its present life, with its old sequence.
  t.same(p.judge(frame(20, 9, { incarnation: LIFE2 }), 0, 'ethernet', 400, TIMEOUT_MS), { kind: 'unproven' });
  t.same(p.judge(frame(90, 499), 0, 'ethernet', 401, TIMEOUT_MS), { kind: 'late' });
  t.same(p.judge(frame(100, 500), 0, 'ethernet', 402, TIMEOUT_MS), { kind: 'replayed' });
  t.match(p.judge(frame(410, 501), 0, 'ethernet', 410, TIMEOUT_MS), { kind: 'living' });
});
