// The audit's questions, with two guests that answer or do not.
import t from 'tap';
import { isForProbe, probeMac, readProbeAnswer } from '../../../../../appliance/gate/lockstep/probe-frames.ts';
import { CLOCK_GAP_MS, PROBE_LIMIT_MS } from '../../../../../appliance/gate/lockstep/probe-question.ts';
import { PROBE_PACE_MS, type ProbeEnd, Probes } from '../../../../../appliance/gate/lockstep/probes.ts';
import { GUEST_MAC, ip4, ipv4Frame, mac, OTHER_MAC } from '../guest-frames.ts';
import { GUEST_IP6_HEX, type GuestHabits, guestAnswer } from './probe-guest.ts';
import { CLIENT_IP, GUEST_IP } from './tcp-frames.ts';

const SESSION = 0xc0ffee01;

class Audit {
  readonly probes: Probes;
  readonly ends: ProbeEnd[] = [];
  readonly asked: Buffer[] = [];
  now = 1000;
  interval = 1;
  primary: GuestHabits = { clockMs: () => this.now };
  replica: GuestHabits = { clockMs: () => this.now };
  /** Both run. */
  running = true;
  lost = 0;
  /** Until then the replica gets no processor time; after it, it answers all that it was asked. */
  replicaStallsUntil = 0;
  #stalled: Buffer[] = [];
  addresses = { mac: mac(GUEST_MAC), ipv4: [ip4(GUEST_IP)], ipv6: [] as Buffer[] };
  #unanswered: Buffer[] = [];

  constructor(ipv6: string[] = [GUEST_IP6_HEX], limitMs?: number) {
    this.addresses.ipv6 = ipv6.map((hex) => Buffer.from(hex, 'hex'));
    this.probes = new Probes({
      ask: (frame) => {
        this.asked.push(frame);
        this.#unanswered.push(frame);
      },
      ended: (end) => this.ends.push(end),
      guest: () => this.addresses,
      lost: () => this.lost,
      ...(limitMs === undefined ? {} : { limitMs }),
    });
    this.probes.begin(SESSION, this.now);
    this.probes.observe(1, this.now);
  }
  /** The guests answer what was asked, and time passes in steps of 5 ms. */
  run(ms: number): void {
    for (const until = this.now + ms; this.now < until; this.now += 5) {
      if (this.running) this.#answer();
      this.probes.tick(this.now);
    }
  }
  #answer(): void {
    const asked = this.#unanswered;
    this.#unanswered = [];
    for (const q of asked) {
      const p = guestAnswer(q, this.primary);
      if (p) this.probes.primaryAnswered(p, this.now);
    }
    this.#stalled.push(...asked);
    if (this.now < this.replicaStallsUntil) return;
    for (const q of this.#stalled.splice(0)) {
      const r = guestAnswer(q, this.replica);
      if (r) this.probes.replicaAnswered(r, this.interval, this.now);
    }
  }
  checkpoint(pauseMs: number): void {
    this.probes.pause(this.now);
    this.running = false;
    // What waits in front of a guest that is replaced is lost.
    this.#unanswered = [];
    this.#stalled = [];
    this.run(pauseMs);
    this.probes.commit(this.interval++, this.now);
    this.running = true;
  }
  talks(): void {
    this.probes.guestSent(ipv4Frame(OTHER_MAC, GUEST_MAC, GUEST_IP, CLIENT_IP), this.now);
  }
  of(probe: string): string[] {
    return this.ends.filter((e) => e.probe === probe).map((e) => e.kind);
  }
}

t.test('both answer: all four questions, first fast, then at their pace', async (t) => {
  const a = new Audit();
  a.run(20);
  t.match(a.ends, [
    { probe: 'arp', kind: 'answered', interval: 1 },
    { probe: 'neighbour', kind: 'answered', interval: 1 },
  ]);
  a.talks();
  a.run(PROBE_PACE_MS + CLOCK_GAP_MS + 300);
  t.same(
    [a.of('arp'), a.of('neighbour'), a.of('echo'), a.of('clock')].map((l) => [l.length, new Set(l)]),
    [
      [2, new Set(['answered'])],
      [2, new Set(['answered'])],
      [2, new Set(['answered'])],
      [1, new Set(['answered'])],
    ],
    'the clock waits for a receiver that the guest can reach',
  );
  t.match(a.probes.statistics(a.now), { answered: 7, missing: 0, different: 0, silent: 0 });
});

t.test('nothing is asked before interval 1, between REPLY and commit, while nobody has decided, and after the end', async (t) => {
  const a = new Audit();
  const b = new Audit();
  b.probes.begin(SESSION, b.now);
  b.asked.length = 0;
  b.run(1000);
  t.equal(b.asked.length, 0, 'interval 0');
  t.equal(b.probes.dueAt(), null);
  a.run(10);
  const n = a.asked.length;
  a.probes.pause(a.now);
  a.run(5000);
  t.equal(a.asked.length, n, 'paused');
  a.probes.freeze(true, a.now);
  a.probes.commit(1, a.now);
  a.run(5000);
  t.equal(a.asked.length, n, 'frozen');
  a.probes.freeze(false, a.now);
  a.run(10);
  t.ok(a.asked.length > n, 'goes on');
  const m = a.asked.length;
  a.probes.end();
  a.run(5000);
  t.equal(a.asked.length, m, 'ended');
  t.equal(a.probes.session, SESSION, 'late answers are still known');
});

t.test('on a slow machine an answer is waited for longer', async (t) => {
  const a = new Audit([], 10 * PROBE_LIMIT_MS);
  a.replica = { deaf: ['arp', 'neighbour', 'echo', 'clock'] };
  a.run(10 * PROBE_LIMIT_MS - 20);
  t.same(a.ends, []);
  a.run(40);
  t.match(a.ends, [{ probe: 'arp', kind: 'missing', detail: /does not within 20000 ms/ }]);
});

t.test('a replica that answers nothing: missing, with what was asked', async (t) => {
  const a = new Audit();
  a.replica = { deaf: ['arp', 'neighbour', 'echo', 'clock'] };
  a.run(PROBE_LIMIT_MS - 20);
  t.same(a.ends, []);
  a.run(40);
  t.match(a.ends, [
    { probe: 'arp', kind: 'missing', interval: 1, detail: /^arp 10\.77\.0\.10: the primary answers, the replica does not within 2000 ms/ },
    { probe: 'neighbour', kind: 'missing' },
  ]);
  t.ok(a.asked.length >= 6, 'asked again meanwhile: the channel may have skipped one');
});

t.test('only the running time of the replica counts, over as many intervals as it takes', async (t) => {
  const a = new Audit([]);
  a.replica = { deaf: ['arp'] };
  // 40 ms of running in each 140 ms.
  for (let i = 0; i < 40; i++) {
    a.run(40);
    a.checkpoint(100);
  }
  t.same(a.ends, [], `${a.now - 1000} ms have passed, at most ${40 * 40} of them count`);
  for (let i = 0; i < 40 && a.ends.length === 0; i++) {
    a.run(40);
    a.checkpoint(100);
  }
  t.match(a.ends, [{ probe: 'arp', kind: 'missing' }]);
});

t.test('a question that a checkpoint swallowed is asked again: a sound replica is never accused', async (t) => {
  const a = new Audit();
  a.talks();
  for (let i = 0; i < 300; i++) {
    a.talks();
    a.run(i % 7 === 0 ? 30 : 10);
    a.checkpoint(20);
  }
  t.match(a.probes.statistics(a.now), { missing: 0, different: 0 });
  t.ok(a.of('arp').length >= 4 && a.of('echo').length >= 2);
  t.same(new Set(a.of('clock')), new Set(['silent']), 'intervals too short to see a clock move');
});

t.test('the primary does not answer: silent, and the replica is not accused', async (t) => {
  const a = new Audit();
  a.primary = { deaf: ['neighbour'] };
  a.replica = { deaf: ['neighbour'] };
  a.run(PROBE_LIMIT_MS + 100);
  t.same(new Set(a.of('neighbour')), new Set(['silent']));
  t.same(new Set(a.of('arp')), new Set(['answered']));
});

t.test('another address is asked for after silence', async (t) => {
  const a = new Audit([]);
  a.addresses.ipv4 = [ip4('10.77.0.99'), ip4(GUEST_IP)];
  a.run(2 * PROBE_PACE_MS + PROBE_LIMIT_MS + 100);
  t.match(a.ends, [{ kind: 'answered' }, { kind: 'silent', detail: /10\.77\.0\.99/ }, { kind: 'answered' }]);
});

t.test('the replica says something else: different', async (t) => {
  const a = new Audit();
  a.replica = { mac: OTHER_MAC };
  a.run(20);
  t.match(a.ends, [
    { probe: 'arp', kind: 'different', detail: /replica 020000000099/ },
    { probe: 'neighbour', kind: 'different' },
  ]);
});

t.test('the clock of the replica stands still: different; both stand still: not', async (t) => {
  const a = new Audit();
  a.run(20);
  a.talks();
  a.replica = { clockMs: () => 5 };
  a.run(PROBE_PACE_MS + 500);
  t.match(a.ends.filter((e) => e.probe === 'clock')[0], { kind: 'different', detail: /clock went 0 ms further/ });

  const b = new Audit();
  b.run(20);
  b.talks();
  b.primary = { clockMs: () => 5 };
  b.replica = { clockMs: () => 5 };
  b.run(PROBE_PACE_MS + 500);
  t.equal(b.of('clock')[0], 'answered');
});

t.test('a slow replica answers twice at once what it was asked twice: that says nothing of its clock', async (t) => {
  for (const stallMs of [600, 1100, 1700]) {
    const a = new Audit();
    a.run(20);
    a.talks();
    a.replicaStallsUntil = a.now + stallMs;
    a.run(stallMs + PROBE_PACE_MS);
    t.match(a.of('clock')[0], 'answered', `${stallMs} ms`);
    t.notOk(a.ends.some((e) => e.kind === 'different'));
  }
});

t.test('a clock that runs over midnight, or in the other byte order, is a clock', async (t) => {
  for (const read of [
    (ms: number) => (86_400_000 - 1900 + ms) % 86_400_000,
    (ms: number) => Buffer.from(new Uint32Array([ms]).buffer).readUInt32BE(0),
  ]) {
    const a = new Audit();
    a.primary = { clockMs: () => read(a.now) };
    a.replica = { clockMs: () => read(a.now) };
    a.run(20);
    a.talks();
    a.run(PROBE_PACE_MS + 500);
    t.equal(a.of('clock')[0], 'answered');
  }
});

t.test('an echo is doubted once: the replica may have had to look for the peer first', async (t) => {
  const a = new Audit();
  a.replica = { deaf: ['echo'] };
  a.run(20);
  a.talks();
  a.run(PROBE_PACE_MS + PROBE_LIMIT_MS + 100);
  t.same(a.of('echo'), []);
  a.talks();
  a.run(PROBE_LIMIT_MS + PROBE_PACE_MS + 500);
  t.same(a.of('echo'), ['missing']);
});

t.test('a guest that forwards: nothing is asked in the name of a peer before the address is surely its own', async (t) => {
  const a = new Audit();
  a.probes.guestSent(ipv4Frame(OTHER_MAC, GUEST_MAC, '192.0.2.7', CLIENT_IP), a.now);
  a.run(PROBE_PACE_MS * 2);
  t.same(a.of('echo').length > 0, true);
  t.notOk(
    a.asked.some((f) => f.readUInt16BE(12) === 0x0800),
    'echo by IPv6 only',
  );
});

t.test('answers are known by the session, and nothing else is taken for one', async (t) => {
  const a = new Audit();
  a.run(20);
  a.talks();
  a.run(PROBE_PACE_MS + 500);
  for (const q of a.asked) {
    const answer = guestAnswer(q) as Buffer;
    t.ok(isForProbe(answer, SESSION) && readProbeAnswer(answer, SESSION));
    t.notOk(isForProbe(answer, SESSION + 1), 'of another session');
    t.notOk(isForProbe(q, SESSION), 'the question itself is not an answer');
    for (let n = 0; n < answer.length; n++) t.doesNotThrow(() => readProbeAnswer(answer.subarray(0, n), SESSION));
    const batch = Buffer.concat([Buffer.alloc(7), answer]);
    t.ok(isForProbe(batch, SESSION, 7, answer.length));
  }
  t.equal(probeMac(SESSION).toString('hex'), '0254c0ffee01');
});

t.test('what did not fit into the stream is not held against the replica', async (t) => {
  const a = new Audit();
  a.replica = { deaf: ['arp', 'neighbour', 'echo', 'clock'] };
  a.run(500);
  a.lost = 3;
  a.run(PROBE_LIMIT_MS + 500);
  t.notOk(a.of('arp').includes('missing'));
  t.match(
    a.ends.find((e) => e.probe === 'arp'),
    { kind: 'silent', detail: /the stream between the CoServers was full/ },
  );
  a.run(2 * (PROBE_LIMIT_MS + PROBE_PACE_MS));
  t.ok(a.of('arp').includes('missing'), 'the next question, which nothing kept back, counts');
});
