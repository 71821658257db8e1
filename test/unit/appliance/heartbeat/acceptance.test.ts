// Nothing without the pair's key changes anything: two receivers hear the same partner, one of them also hears everything that somebody
// without the key can send, and both come to the same.
import fc from 'fast-check';
import t from 'tap';
import { Acceptance } from '../../../../appliance/heartbeat/acceptance.ts';
import type { HeartbeatPath } from '../../../../appliance/heartbeat/api.ts';
import { DROP_KINDS, REPORT_EVERY_MS } from '../../../../appliance/heartbeat/dropped.ts';
import type { LivingFrame } from '../../../../appliance/heartbeat/partner.ts';
import { encodeHeartbeat, type HeartbeatFrame, heartbeatKey, NO_INCARNATION } from '../../../../appliance/wire/heartbeat.ts';

const PAIR_ID = Buffer.alloc(16, 1);
const KEY = heartbeatKey(PAIR_ID, Buffer.alloc(32, 2));
const WRONG_KEY = heartbeatKey(PAIR_ID, Buffer.alloc(32, 3));
const OWN = 'aaaaaaaaaaaaaaaa';
const LIFE1 = '1111111111111111';
const LIFE2 = '2222222222222222';
const TIMEOUT_MS = 100;
const INTERVAL_MS = 10;

interface Way {
  link: number;
  path: HeartbeatPath;
}
const way: fc.Arbitrary<Way> = fc.record({ link: fc.nat({ max: 1 }), path: fc.constantFrom<HeartbeatPath>('ethernet', 'ip') });

function frameOf(round: number, { link, path }: Way, change: Partial<HeartbeatFrame> = {}): HeartbeatFrame {
  const at = round * INTERVAL_MS;
  return {
    sender: 'B',
    link,
    path,
    incarnation: LIFE1,
    sequence: round,
    sentUs: at * 1000,
    generation: 4,
    role: 2,
    revision: Math.floor(round / 10),
    echo: { incarnation: OWN, sequence: round, sentUs: Math.max(0, at - 3) * 1000, heldUs: 1000 },
    ...change,
  };
}

type Hostile =
  | { kind: 'copy'; pick: number; way: Way }
  | { kind: 'change'; pick: number; at: number; by: number; way: Way }
  | { kind: 'cut'; pick: number; length: number; way: Way }
  | { kind: 'forge'; sequence: number; incarnation: string; young: boolean; way: Way }
  | { kind: 'noise'; bytes: Uint8Array; way: Way };

const hostile: fc.Arbitrary<Hostile> = fc.oneof(
  fc.record({ kind: fc.constant('copy' as const), pick: fc.nat(), way }),
  fc.record({ kind: fc.constant('change' as const), pick: fc.nat(), at: fc.nat({ max: 111 }), by: fc.integer({ min: 1, max: 255 }), way }),
  fc.record({ kind: fc.constant('cut' as const), pick: fc.nat(), length: fc.nat({ max: 111 }), way }),
  fc.record({
    kind: fc.constant('forge' as const),
    sequence: fc.nat({ max: 1_000_000 }),
    incarnation: fc.constantFrom(LIFE1, LIFE2, 'bbbbbbbbbbbbbbbb'),
    young: fc.boolean(),
    way,
  }),
  fc.record({ kind: fc.constant('noise' as const), bytes: fc.uint8Array({ maxLength: 200 }), way }),
);

function bytesOf(h: Hostile, recorded: readonly Buffer[], round: number): Buffer {
  switch (h.kind) {
    case 'copy':
      return recorded[h.pick % recorded.length] ?? Buffer.alloc(0);
    case 'change': {
      const bytes = Buffer.from(recorded[h.pick % recorded.length] ?? Buffer.alloc(112));
      bytes[h.at] = (bytes[h.at] ?? 0) ^ h.by;
      return bytes;
    }
    case 'cut':
      return (recorded[h.pick % recorded.length] ?? Buffer.alloc(112)).subarray(0, h.length);
    case 'forge': {
      const echo = { incarnation: h.young ? OWN : NO_INCARNATION, sequence: round, sentUs: round * INTERVAL_MS * 1000, heldUs: 0 };
      return encodeHeartbeat(frameOf(round, h.way, { sequence: h.sequence, incarnation: h.incarnation, generation: 99, echo }), WRONG_KEY);
    }
    case 'noise':
      return Buffer.from(h.bytes);
    default:
      return h satisfies never;
  }
}

/** Frames of a life that ended before this receiver started, and of this CoServer itself: whoever listens on the cable has them. */
const OLD = [1, 2, 3, 500].flatMap((round) => {
  const w: Way = { link: 0, path: 'ethernet' };
  const echo = { incarnation: 'cccccccccccccccc', sequence: 1, sentUs: 1, heldUs: 0 };
  return [
    encodeHeartbeat(frameOf(round, w, { incarnation: LIFE2, generation: 3, echo }), KEY),
    encodeHeartbeat(frameOf(round, w, { sender: 'A', incarnation: OWN }), KEY),
  ];
});

/** What counts of a verdict. */
function withoutProof({ echoSentMs, rttMs, news }: LivingFrame): Omit<LivingFrame, 'kind' | 'proven'> {
  return { echoSentMs, rttMs, news };
}

t.test('whatever somebody without the key sends, between whatever the partner sends', async (t) => {
  let dropped = 0;
  let living = 0;
  const round = fc.record({ heard: fc.tuple(fc.boolean(), fc.boolean()), attacks: fc.array(hostile, { maxLength: 4 }) });
  fc.assert(
    fc.property(fc.array(round, { minLength: 10, maxLength: 80 }), (rounds) => {
      const calm = new Acceptance('A', OWN, 2, KEY);
      const attacked = new Acceptance('A', OWN, 2, KEY);
      const recorded = [...OLD];
      let sent = 0;
      for (const [i, { heard, attacks }] of rounds.entries()) {
        const at = i * INTERVAL_MS;
        // Each cable by itself: what is heard over one must not pass for life on the other.
        for (const link of [0, 1])
          if (heard[link])
            for (const path of ['ethernet', 'ip'] as const) {
              const bytes = encodeHeartbeat(frameOf(i, { link, path }), KEY);
              const verdicts = [calm, attacked].map((door) => door.accept(bytes, link, path, at, TIMEOUT_MS));
              const [one, other] = verdicts.map((v) => JSON.stringify(v && withoutProof(v)));
              if (one !== other) throw new Error(`round ${i}: ${one} became ${other}`);
              if (verdicts[0]) living++;
              recorded.push(bytes);
            }
        for (const h of attacks) {
          sent++;
          const got = attacked.accept(bytesOf(h, recorded, i), h.way.link, h.way.path, at, TIMEOUT_MS);
          if (got) throw new Error(`round ${i}: ${h.kind} was taken for the partner: ${JSON.stringify(got)}`);
        }
      }
      const count = (door: Acceptance) => [0, 1].flatMap((link) => Object.values(door.dropped(link))).reduce((a, b) => a + b, 0);
      if (count(attacked) - count(calm) !== sent) throw new Error(`${sent} were sent, ${count(attacked) - count(calm)} more were counted`);
      dropped += sent;
    }),
    { numRuns: 400 },
  );
  t.ok(dropped > 1000 && living > 1000, `${dropped} dropped, ${living} living`);
});

t.test('a restarted receiver hears recorded frames: counted, and no life begins with them', async (t) => {
  const recorded = Array.from({ length: 40 }, (_, i) => encodeHeartbeat(frameOf(i, { link: 0, path: 'ethernet' }), KEY));
  const before = new Acceptance('A', OWN, 1, KEY);
  for (const [i, bytes] of recorded.entries()) t.ok(before.accept(bytes, 0, 'ethernet', i * INTERVAL_MS, TIMEOUT_MS));
  // The monotonic clock goes on, or begins anew with the machine: neither helps.
  for (const start of [400, 0]) {
    const after = new Acceptance('A', 'dddddddddddddddd', 1, KEY);
    for (const [i, bytes] of recorded.entries()) t.equal(after.accept(bytes, 0, 'ethernet', start + i * INTERVAL_MS, TIMEOUT_MS), null);
    for (const [i, bytes] of recorded.entries())
      t.equal(after.accept(bytes, 0, 'ethernet', start + 400 + i * INTERVAL_MS, TIMEOUT_MS), null);
    t.match(after.dropped(0), { unproven: 40, replayed: 40 });
    // The partner itself, in the same life, is believed at its first word that names this process.
    const echo = { incarnation: 'dddddddddddddddd', sequence: 1, sentUs: 2_000_000, heldUs: 0 };
    const young = encodeHeartbeat(frameOf(60, { link: 0, path: 'ethernet' }, { echo }), KEY);
    t.match(after.accept(young, 0, 'ethernet', 2_001, TIMEOUT_MS), { news: { generation: 4 } });
  }
});

t.test('the record hears of each kind at once, and then once a minute', async (t) => {
  const door = new Acceptance('A', OWN, 2, KEY);
  const forged = encodeHeartbeat(frameOf(1, { link: 1, path: 'ip' }), WRONG_KEY);
  const newer = Buffer.from(forged);
  newer[4] = 2;
  const older = Buffer.from(forged);
  older[4] = 0;
  door.accept(forged, 1, 'ip', 0, TIMEOUT_MS);
  t.match(door.reports(0), [
    { link: 1, kind: 'forged', count: 1, sentence: /^A heartbeat frame came over link 2 made without this pair's key/ },
  ]);
  for (let i = 0; i < 1000; i++) door.accept(forged, 1, 'ip', 1, TIMEOUT_MS);
  t.same(door.reports(REPORT_EVERY_MS - 1), []);
  t.match(door.reports(REPORT_EVERY_MS), [{ count: 1000, sentence: /^1000 heartbeat frames/ }]);
  door.accept(newer, 1, 'ip', 2, TIMEOUT_MS);
  t.match(door.reports(REPORT_EVERY_MS), [
    { sentence: /^The partner speaks heartbeat version 2, this CoServer version 1: update this CoServer\./ },
  ]);
  door.accept(older, 0, 'ip', 3, TIMEOUT_MS);
  t.match(door.reports(REPORT_EVERY_MS), [{ link: 0, sentence: /version 0, this CoServer version 1: update the partner\./ }]);
  t.same(Object.keys(door.dropped(0)), [...DROP_KINDS]);
});
