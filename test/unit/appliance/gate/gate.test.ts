// The gate with a wire, an engine and a channel of our own: its modes, commands and events.
import t from 'tap';
import type { GateEvents, GateMode } from '../../../../appliance/gate/api.ts';
import type { EngineLink } from '../../../../appliance/gate/engine-socket.ts';
import { Gate } from '../../../../appliance/gate/gate.ts';
import type { LanPort } from '../../../../appliance/gate/lan-port.ts';
import { fakePair } from '../../../../drivers/link/fake.ts';
import { arpFrame, BROADCAST, framed, GUEST_MAC, ipv4Frame, labelOf, neighborFrame, OTHER_MAC, unframed } from './guest-frames.ts';

class FakeLan implements LanPort {
  readonly sent: Buffer[] = [];
  /** Bytes it takes before it is full. */
  room = Number.POSITIVE_INFINITY;
  refuses: string | null = null;
  #frames: (batch: Buffer) => void = () => {};
  #writable: () => void = () => {};

  send(batch: Buffer): number {
    if (this.refuses) throw new Error(this.refuses);
    let taken = 0;
    for (const f of unframed(batch)) {
      if (f.length + 4 > this.room) break;
      this.room -= f.length + 4;
      taken += f.length + 4;
      this.sent.push(f);
    }
    return taken;
  }
  onFrames(callback: (batch: Buffer) => void): void {
    this.#frames = callback;
  }
  onWritable(callback: () => void): void {
    this.#writable = callback;
  }
  readonly lost = { sendLost: 0, receiveLost: 0, problem: '' };
  health() {
    return this.lost;
  }
  close(): void {}
  /** Frames arrive from the LAN. */
  arrive(...frames: Buffer[]): void {
    this.#frames(framed(...frames));
  }
  drain(room = Number.POSITIVE_INFINITY): void {
    this.room = room;
    this.#writable();
  }
  get labels(): number[] {
    return this.sent.filter((f) => f.readUInt16BE(12) === 0x0800).map(labelOf);
  }
}

class FakeEngine implements EngineLink {
  connected = true;
  bytesRead = 0;
  readonly fed: number[] = [];
  write(batch: Buffer): boolean {
    if (this.connected) this.fed.push(...unframed(batch).map(labelOf));
    return this.connected;
  }
  async close(): Promise<void> {}
}

function setUp(channel = fakePair().a, guestMac: string | null = GUEST_MAC, lockstep = false) {
  const lan = new FakeLan();
  const engine = new FakeEngine();
  const interval = { current: 0 };
  const held: number[] = [];
  const events: { name: string; data: unknown }[] = [];
  const clock = { ms: 0 };
  const gate = new Gate({
    lan,
    channel,
    interval,
    guestMac,
    lockstep,
    nowMs: () => clock.ms,
    emit: (name, data) => {
      events.push({ name, data });
      if (name === 'outputHeld') held.push((data as GateEvents['outputHeld']).interval);
    },
  });
  gate.attach(engine);
  const guestSends = (...labels: number[]) => {
    const frames = labels.map((n) => ipv4Frame(OTHER_MAC, GUEST_MAC, '10.77.0.10', '10.77.0.1', n));
    for (const f of frames) gate.sink.frame(f, 0, f.length);
    gate.sink.batch(framed(...frames), frames.length);
    engine.bytesRead += 64;
  };
  const lanSends = (...labels: number[]) => lan.arrive(...labels.map((n) => ipv4Frame(GUEST_MAC, OTHER_MAC, '10.77.0.1', '10.77.0.10', n)));
  return { gate, lan, engine, interval, held, events, clock, guestSends, lanSends };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

t.test('closed: nothing passes; solo: everything at once', async (t) => {
  const s = setUp();
  s.guestSends(1);
  s.lanSends(2);
  t.same([s.lan.labels, s.engine.fed], [[], []]);
  s.gate.setMode('solo');
  s.guestSends(3, 4);
  s.lanSends(5, 6);
  t.same(
    [s.lan.labels, s.engine.fed],
    [
      [3, 4],
      [5, 6],
    ],
  );
  const st = s.gate.status();
  t.match(st, { mode: 'solo', framesIn: 2, framesOut: 2, bytesIn: 120, bytesOut: 120, dropped: 0, drops: { notOwner: 1 } });
});

t.test('holding: interval 0 passes; from 1 on each interval waits for its commit and asks once', async (t) => {
  const s = setUp();
  s.gate.setMode('holding');
  s.guestSends(1);
  s.interval.current = 1;
  s.guestSends(2);
  s.guestSends(3);
  s.lanSends(90);
  t.same(s.engine.fed, [90], 'inputs are never held');
  s.interval.current = 2;
  s.guestSends(4);
  t.same(s.lan.labels, [1]);
  t.same(s.held, [1, 2]);
  t.match(s.gate.status(), { heldFrames: 3 });
  s.gate.commit(1);
  t.same(s.lan.labels, [1, 2, 3]);
  s.gate.commit(2);
  t.same(s.lan.labels, [1, 2, 3, 4]);
  t.same(s.held, [1, 2]);
});

t.test('frozen: commits release nothing; releaseAll does, in order, before what follows', async (t) => {
  const s = setUp();
  s.gate.setMode('holding');
  s.interval.current = 1;
  s.guestSends(1);
  s.gate.setMode('frozen');
  s.gate.commit(1);
  // The memory stream ends its session: its counter goes back, the guest runs on.
  s.interval.current = 0;
  s.guestSends(2);
  t.same(s.lan.labels, []);
  t.throws(() => s.gate.setMode('solo'), /2 frames are held/);
  t.throws(() => s.gate.announce(), /does not speak/);
  t.same(s.gate.releaseAll(), { frames: 2 });
  s.guestSends(3);
  t.same(s.lan.labels, [1, 2, 3]);
  t.equal(s.gate.status().mode, 'solo');
  t.same(s.gate.releaseAll(), { frames: 0 }, 'again: nothing more to do');
});

t.test('holding: a session that ends by itself releases nothing either', async (t) => {
  const s = setUp();
  s.gate.setMode('holding');
  s.interval.current = 3;
  s.guestSends(1);
  s.gate.commit(3);
  s.interval.current = 0;
  s.guestSends(2);
  t.same(s.lan.labels, [1]);
});

t.test('a session that began counts also when the guest was silent', async (t) => {
  const looks = {
    tick: (s: ReturnType<typeof setUp>) => s.gate.tick(),
    cut: (s: ReturnType<typeof setUp>) => s.gate.cut(),
    commit: (s: ReturnType<typeof setUp>) => s.gate.commit(1),
    input: (s: ReturnType<typeof setUp>) => s.lanSends(1),
  };
  for (const [name, look] of Object.entries(looks)) {
    const s = setUp();
    s.gate.setMode('holding');
    s.interval.current = 1;
    await look(s);
    s.interval.current = 0;
    s.guestSends(1);
    t.same(s.lan.labels, [], name);
  }
});

t.test('frozen holds also what no interval ever covered', async (t) => {
  const s = setUp();
  s.gate.setMode('solo');
  s.gate.setMode('frozen');
  s.guestSends(1);
  t.same(s.lan.labels, []);
  t.same(s.gate.releaseAll(), { frames: 1 });
  t.same(s.lan.labels, [1]);
});

t.test('the partner answers again before anyone decided', async (t) => {
  const s = setUp();
  s.gate.setMode('holding');
  s.interval.current = 1;
  s.guestSends(1);
  s.gate.setMode('frozen');
  s.gate.commit(1);
  s.interval.current = 2;
  s.guestSends(2);
  s.gate.setMode('holding');
  t.same(s.lan.labels, [1]);
  s.gate.commit(2);
  t.same(s.lan.labels, [1, 2]);
});

t.test('this side lost: what is held, and what waits for the NIC, is gone', async (t) => {
  const s = setUp();
  s.gate.setMode('holding');
  s.interval.current = 1;
  s.guestSends(1, 2);
  s.lan.room = 0;
  s.gate.commit(1);
  s.guestSends(3);
  t.same(s.gate.dropAll(), { frames: 1 });
  s.gate.setMode('closed');
  s.lan.drain();
  t.same(s.lan.labels, []);
  t.match(s.gate.status(), { heldFrames: 0, dropped: 0, drops: { discarded: 3 } });
  for (const f of [() => s.gate.releaseAll(), () => s.gate.takeOver(), () => s.gate.announce()]) t.throws(f, { code: 'WRONG_MODE' });
});

t.test('a second protection begins with its own intervals', async (t) => {
  const s = setUp();
  s.gate.setMode('holding');
  s.interval.current = 7;
  s.guestSends(1);
  s.gate.releaseAll();
  s.interval.current = 0;
  s.gate.setMode('holding');
  s.guestSends(2);
  s.interval.current = 1;
  s.guestSends(3);
  t.same(s.lan.labels, [1, 2]);
  t.same(s.held, [7, 1]);
});

t.test('the NIC is full: what does not fit waits in order, then is dropped and counted', async (t) => {
  const s = setUp();
  s.gate.setMode('solo');
  s.lan.room = 64;
  s.guestSends(1, 2);
  s.guestSends(3);
  t.same(s.lan.labels, [1]);
  s.lan.drain(64);
  t.same(s.lan.labels, [1, 2]);
  s.lan.drain();
  t.same(s.lan.labels, [1, 2, 3]);
  s.lan.room = 0;
  const big = framed(...Array.from({ length: 40 }, () => ipv4Frame(OTHER_MAC, GUEST_MAC, '10.77.0.10', '10.77.0.1', 9, 1500)));
  for (let i = 0; i < 100; i++) s.gate.sink.batch(big, 40);
  const { lanFull } = s.gate.status().drops;
  t.ok(lanFull > 0 && lanFull % 40 === 0 && lanFull < 4000, `${lanFull} dropped`);
  s.lan.drain();
  t.equal(s.lan.labels.length, 3 + 4000 - lanFull);
});

t.test('the NIC is down: dropped, counted, told', async (t) => {
  const s = setUp();
  s.gate.setMode('solo');
  s.lan.refuses = 'Network is down';
  s.guestSends(1);
  t.match(s.gate.status(), { dropped: 1, drops: { lanFull: 1 }, problem: 'Network is down' });
  s.lan.refuses = null;
  s.guestSends(2);
  t.match(s.gate.status(), { problem: '' });
  t.same(s.lan.labels, [2]);
});

t.test('what the NIC lost counts as lost', async (t) => {
  const s = setUp();
  Object.assign(s.lan.lost, { sendLost: 3, receiveLost: 4, problem: 'offloads are on' });
  t.match(s.gate.status(), { dropped: 7, drops: { lanFull: 3, lanReceive: 4 }, problem: 'offloads are on' });
});

t.test('without an engine inputs are dropped and counted', async (t) => {
  const s = setUp();
  s.gate.setMode('solo');
  s.engine.connected = false;
  s.lanSends(1, 2);
  t.match(s.gate.status(), { engineConnected: false, framesIn: 0, dropped: 2, drops: { engineFull: 2 } });
});

const whole = (f: Buffer): [Buffer, number, number] => [f, 0, f.length];

async function pair() {
  const channels = fakePair();
  const a = setUp(channels.a);
  const b = setUp(channels.b, null);
  a.gate.setMode('holding');
  b.gate.setMode('standby');
  return { a, b, channels };
}

/** The recorder collects for a millisecond, then the channel delivers. */
async function recorded(s: ReturnType<typeof setUp>, frames: number): Promise<void> {
  while (s.gate.status().recordedFrames !== frames) await new Promise((resolve) => setTimeout(resolve, 1));
}

t.test('takeover: the inputs since the commit are fed in order, then the LAN; addresses are announced', async (t) => {
  const { a, b } = await pair();
  const arp = arpFrame(GUEST_MAC, 1, GUEST_MAC, '10.77.0.10', '10.77.0.1');
  a.gate.sink.frame(arp, 0, arp.length);
  const na = neighborFrame(GUEST_MAC, 136, '20010db8000000000000000000000010', '20010db8000000000000000000000010');
  a.gate.sink.frame(na, 0, na.length);
  a.gate.tick();
  for (let i = 1; i <= 3; i++) {
    a.interval.current = i;
    a.lanSends(i * 10, i * 10 + 1);
  }
  await recorded(b, 6);
  b.gate.commit(2);
  t.equal(b.gate.status().recordedFrames, 4, 'interval 2 itself stays');
  b.guestSends(66);
  t.same(b.lan.labels, [], 'the replica is silent');
  t.same(b.engine.fed, []);
  const before = performance.now();
  const r = b.gate.takeOver();
  t.same(r, { fedFrames: 4, addresses: { mac: GUEST_MAC, ipv4: ['10.77.0.10'], ipv6: ['2001:db8::10'] } });
  b.lanSends(99);
  b.guestSends(77);
  t.same(b.engine.fed, [20, 21, 30, 31, 99]);
  t.same(b.lan.labels, [77]);
  const announced = () => b.lan.sent.filter((f) => f.readUInt16BE(12) === 0x0806).length;
  t.equal(announced(), 2, 'at once');
  while (announced() < 8) await new Promise((resolve) => setTimeout(resolve, 5));
  t.ok(performance.now() - before >= 590, 'and three times more');
  t.equal(b.lan.sent.filter((f) => f.readUInt16BE(12) === 0x86dd).length, 4);
  t.same(b.gate.takeOver().fedFrames, 0, 'again: nothing is fed twice');
  b.gate.setMode('closed');
});

t.test('announcements end with the ownership', async (t) => {
  const s = setUp();
  s.gate.setMode('solo');
  s.guestSends(1);
  s.gate.announce();
  const n = s.lan.sent.length;
  s.gate.setMode('closed');
  await new Promise((resolve) => setTimeout(resolve, 80));
  t.equal(s.lan.sent.length, n);
});

t.test('inputs are skipped, not queued, when the channel is down or slow', async (t) => {
  const channels = fakePair({ windowBytes: 300 });
  const a = setUp(channels.a);
  const b = setUp(channels.b);
  a.gate.setMode('holding');
  b.gate.setMode('standby');
  channels.a.hold();
  a.lanSends(1, 2, 3, 4, 5);
  await new Promise((resolve) => setTimeout(resolve, 5));
  a.lanSends(6, 7);
  t.equal(a.gate.status().drops.unrecorded, 2, 'the window is full');
  channels.a.release();
  await recorded(b, 5);
  await turn();
  a.lanSends(8);
  await recorded(b, 6);
  channels.cut();
  a.lanSends(9);
  t.equal(a.gate.status().drops.unrecorded, 3);
  t.equal(a.engine.fed.length, 9, 'the guest got everything');
  t.equal(a.gate.status().dropped, 0);
});

t.test('a message of another version is told, not fatal', async (t) => {
  const { a, b, channels } = await pair();
  channels.a.send(Buffer.from([77]));
  a.lanSends(1);
  await recorded(b, 1);
  t.match(b.gate.status(), { problem: 'network stream: unknown message type 77' });
});

t.test('what was recorded or is being recorded ends with the mode', async (t) => {
  const { a, b } = await pair();
  a.lanSends(1, 2);
  a.gate.setMode('solo');
  t.equal(a.gate.status().drops.unrecorded, 2, 'not sent yet: for nobody any more');
  a.gate.setMode('holding');
  a.lanSends(3);
  await recorded(b, 1);
  b.gate.setMode('solo');
  t.equal(b.gate.status().recordedFrames, 0);
  t.same(b.gate.takeOver().fedFrames, 0);
  b.gate.setMode('closed');
});

t.test('what was held finds room in front of a slow NIC', async (t) => {
  const s = setUp();
  s.gate.setMode('holding');
  s.interval.current = 1;
  const batch = framed(...Array.from({ length: 40 }, () => ipv4Frame(OTHER_MAC, GUEST_MAC, '10.77.0.10', '10.77.0.1', 9, 1500)));
  for (let i = 0; i < 200; i++) s.gate.sink.batch(batch, 40);
  s.lan.room = 0;
  s.gate.commit(1);
  t.match(s.gate.status(), { heldFrames: 0, dropped: 0, framesOut: 8000 });
  s.lan.drain();
  t.equal(s.lan.labels.length, 8000);
});

t.test('takeover: what clients sent since the partner’s last inputs is fed behind them; the announcement leaves first', async (t) => {
  const { a, b } = await pair();
  const arp = arpFrame(GUEST_MAC, 1, GUEST_MAC, '10.77.0.10', '10.77.0.1');
  a.gate.sink.frame(arp, 0, arp.length);
  a.gate.tick();
  b.clock.ms = 1000;
  // A switch that floods: both sides hear it, and the partner feeds it.
  b.lanSends(1);
  b.clock.ms = 1500;
  a.lanSends(1, 2);
  await recorded(b, 2);
  b.clock.ms = 1600;
  b.lanSends(3);
  b.lanSends(4, 5);
  t.same(b.engine.fed, [], 'nothing before the takeover');
  b.clock.ms = 1700;
  t.equal(b.gate.takeOver().fedFrames, 5);
  t.same(b.engine.fed, [1, 2, 3, 4, 5]);
  t.equal(b.lan.sent[0]?.readUInt16BE(12), 0x8035, 'RARP: switches learn before anything else');
  t.equal(b.gate.takeOver().fedFrames, 0, 'once');
  b.gate.setMode('closed');
});

t.test('standby, told again, forgets what the LAN sent to the guest', async (t) => {
  const { a, b } = await pair();
  a.gate.sink.frame(...whole(arpFrame(GUEST_MAC, 1, GUEST_MAC, '10.77.0.10', '10.77.0.1')));
  a.gate.tick();
  await new Promise((resolve) => setImmediate(resolve));
  b.lanSends(1);
  b.gate.setMode('standby');
  t.equal(b.gate.takeOver().fedFrames, 0);
  b.gate.setMode('closed');
});

t.test('standby, told again, forgets the inputs of an earlier session', async (t) => {
  const { a, b } = await pair();
  a.lanSends(1);
  await recorded(b, 1);
  b.gate.setMode('standby');
  t.equal(b.gate.status().recordedFrames, 0);
});

t.test('cut: answers when two turns brought nothing; refuses while the guest sends', async (t) => {
  const s = setUp();
  s.gate.setMode('holding');
  s.interval.current = 1;
  let left = 20;
  const late = () => {
    if (left-- === 0) return;
    s.guestSends(left);
    setImmediate(late);
  };
  late();
  t.same(await s.gate.cut(), { heldFrames: 20 });
  let running = true;
  const forever = () => {
    s.guestSends(1);
    s.clock.ms += 10;
    if (running) setImmediate(forever);
  };
  forever();
  await t.rejects(s.gate.cut(), { code: 'NOT_STOPPED' });
  running = false;
});

t.test('every mode refuses to leave with held frames except where they belong', async (t) => {
  const outcome = (to: GateMode): string => {
    const s = setUp();
    s.gate.setMode('holding');
    s.interval.current = 1;
    s.guestSends(1);
    try {
      s.gate.setMode(to);
      return `${s.gate.status().heldFrames} held, ${s.lan.labels.length} left`;
    } catch (e) {
      return (e as { code: string }).code;
    }
  };
  t.same(
    (['closed', 'solo', 'holding', 'frozen', 'standby'] as const).map((m) => [m, outcome(m)]),
    [
      ['closed', '0 held, 0 left'],
      ['solo', 'HELD_OUTPUT'],
      ['holding', '1 held, 0 left'],
      ['frozen', '1 held, 0 left'],
      ['standby', '0 held, 0 left'],
    ],
  );
});

t.test('a broadcast of the guest that comes back is not fed to it', async (t) => {
  const s = setUp();
  s.gate.setMode('solo');
  s.lan.arrive(ipv4Frame(BROADCAST, GUEST_MAC, '10.77.0.10', '10.77.0.255', 1));
  t.same(s.engine.fed, []);
  t.equal(s.gate.status().drops.echoed, 1);
});

t.test('lockstep: READY waits for the primary\u2019s begin, of this standby and not of an earlier one', async (t) => {
  const { a, b } = fakePair();
  const primary = setUp(a, GUEST_MAC, true);
  const secondary = setUp(b, GUEST_MAC, true);
  primary.gate.setMode('solo');
  await t.rejects(secondary.gate.ready(), { code: 'WRONG_MODE' });
  secondary.gate.setMode('standby');
  const ready = secondary.gate.ready();
  primary.gate.setMode('lockstep');
  await ready;
  t.equal(secondary.gate.status().lockstep?.secondary.inSession, true);

  primary.gate.setMode('closed');
  secondary.gate.setMode('standby');
  await t.rejects(secondary.gate.ready(), { code: 'NO_BEGIN', message: /has not begun a session within 2000 ms/ });
});

t.test('lockstep: a gap in the stream between the gates ends the comparison until the next protection, and says so once', async (t) => {
  const { a, b } = fakePair();
  const primary = setUp(a, GUEST_MAC, true);
  const secondary = setUp(b, GUEST_MAC, true);
  primary.gate.setMode('solo');
  a.reset();
  secondary.gate.setMode('standby');
  primary.gate.setMode('lockstep');
  await secondary.gate.ready();
  primary.interval.current = 1;
  const lost = () => primary.events.filter((e) => e.name === 'comparisonLost').map((e) => e.data);
  t.same(lost(), [], 'outside of a protection it means nothing');
  await turn();
  a.reset();
  await turn();
  a.reset();
  t.match(lost(), [{ interval: 1, reason: /interrupted/ }]);
  // The policy may switch between the two as it likes: what the partner lacks it still lacks.
  primary.gate.setMode('holding');
  primary.gate.setMode('lockstep');
  primary.guestSends(1);
  t.match(primary.events.at(-1), { name: 'checkpointWanted', data: { cause: 'passive' } }, 'every frame waits for its commit');
  primary.gate.setMode('closed');
});
