// Two gates in lockstep, joined by the real channel, with engines and a LAN played by the test: a connection that begins while
// protected lives through a checkpoint, a takeover, the next protection in the other direction, and its takeover.
import { randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { connect, type Socket } from 'node:net';
import t from 'tap';
import type { GateStatus, ProbeVerdict } from '../../appliance/gate/api.ts';
import { type GateThread, startGateThread } from '../unit/appliance/gate/gate-threads.ts';
import { arpFrame, framed, GUEST_MAC, ipv4Frame, OTHER_MAC, unframed } from '../unit/appliance/gate/guest-frames.ts';
import { type GuestHabits, guestAnswer } from '../unit/appliance/gate/lockstep/probe-guest.ts';
import { CLIENT_IP, describe, GUEST_IP, isChecksumRight, tcp } from '../unit/appliance/gate/lockstep/tcp-frames.ts';

/** Real limits of the gate's are awaited, on a machine that may be busy. */
t.setTimeout(120_000);

/** Frames in words, as they come; `next` awaits the one that is wanted and forgets those before it. */
class Heard extends EventEmitter {
  readonly frames: Buffer[] = [];
  hear(frames: readonly Buffer[]): void {
    this.frames.push(...frames.filter((f) => [6].includes(f[23] ?? 0) && f.readUInt16BE(12) === 0x0800));
    this.emit('more');
  }
  async next(wanted: string): Promise<Buffer> {
    const limit = AbortSignal.timeout(5000);
    for (;;) {
      const at = this.frames.findIndex((f) => describe(f) === wanted);
      const found = this.frames[at];
      if (found) {
        this.frames.splice(0, at + 1);
        return found;
      }
      await once(this, 'more', { signal: limit }).catch(() => {
        throw new Error(`'${wanted}' does not come; there is: ${this.frames.map(describe).join(', ')}`);
      });
    }
  }
}

class Side {
  readonly thread: GateThread;
  readonly lan = new Heard();
  readonly engine = new Heard();
  #socket: Socket | undefined;
  /** How this guest answers the audit's questions; null: not at all. */
  habits: GuestHabits | null = null;
  /** Everything that reached the LAN. */
  readonly left: Buffer[] = [];

  constructor(thread: GateThread) {
    this.thread = thread;
    thread.lan.on('message', (m: Uint8Array) => {
      this.lan.hear(unframed(Buffer.from(m)));
      this.left.push(...unframed(Buffer.from(m)));
    });
  }
  async startEngine(): Promise<void> {
    this.#socket?.destroy();
    const socket = connect(this.thread.setup.socketPath);
    this.#socket = socket;
    let rest = Buffer.alloc(0);
    socket.on('data', (d: Buffer) => {
      rest = Buffer.concat([rest, d]);
      let at = 0;
      while (rest.length - at >= 4 && rest.length - at - 4 >= rest.readUInt32BE(at)) at += 4 + rest.readUInt32BE(at);
      const frames = unframed(rest.subarray(0, at));
      this.engine.hear(frames);
      this.#answer(frames);
      rest = Buffer.from(rest.subarray(at));
    });
    await once(socket, 'connect');
  }
  #answer(frames: readonly Buffer[]): void {
    const { habits } = this;
    if (habits) this.guestSends(...frames.flatMap((f) => guestAnswer(f, habits) ?? []));
  }
  guestSends(...frames: Buffer[]): void {
    this.#socket?.write(framed(...frames));
  }
  clientSends(...frames: Buffer[]): void {
    this.thread.lan.postMessage(framed(...frames));
  }
  status(): Promise<GateStatus> {
    return this.thread.gate.call('status', {});
  }
  async until(what: string, wanted: (s: GateStatus) => boolean): Promise<GateStatus> {
    const deadline = performance.now() + 5000;
    for (;;) {
      const s = await this.status();
      if (wanted(s)) return s;
      if (performance.now() > deadline) throw new Error(`not within 5 s: ${what}; ${JSON.stringify(s)}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
  end(): void {
    this.#socket?.destroy();
  }
}

/** As the memory stream says it: order and waiting are those of memory/target.ts and memory/source.ts. */
async function protect(primary: Side, secondary: Side): Promise<void> {
  await secondary.thread.gate.call('setMode', { mode: 'standby' });
  await secondary.startEngine();
  await primary.thread.gate.call('setMode', { mode: 'lockstep' });
  await primary.thread.gate.call('guestStopped', {});
  // It travels on another channel than the guest's state, which takes far longer.
  await secondary.until('the session has begun', (s) => s.lockstep?.secondary.inSession === true);
  await secondary.thread.memory.call('ready', {});
  primary.thread.interval.current = 1;
  secondary.thread.interval.current = 1;
}

async function checkpoint(primary: Side, secondary: Side): Promise<void> {
  const n = primary.thread.interval.current;
  await secondary.thread.memory.call('replied', { interval: n });
  await primary.thread.memory.call('replied', { interval: n });
  await primary.thread.memory.call('cut', { interval: n });
  primary.thread.interval.current = n + 1;
  await primary.thread.memory.call('commit', { interval: n });
  secondary.thread.interval.current = n + 1;
  await secondary.thread.memory.call('commit', { interval: n });
}

/** Two gates with their engines; A's is the guest's owner, not protected yet. */
async function setUp(t: { teardown(f: () => unknown): void }): Promise<{ a: Side; b: Side }> {
  const pairKey = randomBytes(32);
  // Addresses of this process alone: tests run beside each other.
  const address = (link: number, side: number) => `127.${110 + link}.${process.pid & 0xff}.${((process.pid >> 8) & 0x7f) * 2 + side}`;
  const links = (own: number) => [0, 1].map((l) => ({ localAddress: address(l, own), remoteAddress: address(l, 1 - own) }));
  const a = new Side(startGateThread(t, { stream: 'network', side: 'A', links: links(0), pairKey }, true));
  const b = new Side(startGateThread(t, { stream: 'network', side: 'B', links: links(1), pairKey }, true));
  t.teardown(() => {
    a.end();
    b.end();
  });
  await Promise.all([a.thread.gate.call('open', {}), b.thread.gate.call('open', {})]);
  await a.thread.gate.call('setMode', { mode: 'solo' });
  await a.startEngine();
  return { a, b };
}

t.test('one connection through checkpoints, a takeover, a protection the other way, and its takeover', async (t) => {
  const { a, b } = await setUp(t);
  await protect(a, b);

  a.clientSends(tcp({ fromGuest: false, seq: 99, flags: 'S', timestamps: [1, 0] }));
  await a.engine.next('S 99');
  await b.engine.next('S 99');
  b.guestSends(tcp({ seq: 7000, ack: 100, flags: 'SA', timestamps: [90_000, 1] }));
  a.guestSends(tcp({ seq: 999, ack: 100, flags: 'SA', timestamps: [20_000, 1] }));
  await a.lan.next('SA 999 ack 100');
  a.clientSends(tcp({ fromGuest: false, seq: 100, ack: 1000, data: 'get', timestamps: [2, 20_000] }));
  await a.engine.next('A 100 ack 1000 "get"');
  const fed = await b.engine.next('A 100 ack 7001 "get"');
  t.ok(isChecksumRight(fed, false));

  const wanted = a.thread.event('checkpointWanted');
  a.guestSends(tcp({ seq: 1000, ack: 103, data: 'answer' }));
  t.match(await wanted, { cause: 'data', interval: 1 }, 'held too long: the replica says nothing');
  b.guestSends(tcp({ seq: 7001, ack: 103, data: 'answer' }));
  await a.lan.next('A 1000 ack 103 "answer"');
  t.match((await a.status()).lockstep, { primary: { releasedByComparison: 2, releasedByCommit: 0, causes: { data: 1 } } });

  // Other bytes: nothing leaves, until the commit; then both are equal.
  a.guestSends(tcp({ seq: 1006, ack: 103, data: '12:00' }));
  b.guestSends(tcp({ seq: 7007, ack: 103, data: '12:01' }));
  await a.until('held', (s) => s.heldFrames === 1);
  await checkpoint(a, b);
  await a.lan.next('A 1006 ack 103 "12:00"');
  a.guestSends(tcp({ seq: 1011, ack: 103, data: 'same' }));
  b.guestSends(tcp({ seq: 1011, ack: 103, data: 'same' }));
  await a.lan.next('A 1011 ack 103 "same"');

  // A second connection begins: its numbers differ when the primary's server loses its power.
  b.guestSends(tcp({ clientPort: 41_000, seq: 50_000, ack: 500, flags: 'SA' }));
  a.guestSends(tcp({ clientPort: 41_000, seq: 1, ack: 500, flags: 'SA' }));
  await a.lan.next('SA 1 ack 500');
  b.guestSends(tcp({ clientPort: 41_000, seq: 50_001, ack: 500, data: 'lost' }));
  await a.until('the replica’s words are there', (s) => (s.lockstep?.primary.replicaBytes ?? 0) > 0);
  await a.thread.gate.call('dropAll', {});
  await a.thread.gate.call('setMode', { mode: 'closed' });
  a.thread.interval.current = 0;
  b.thread.interval.current = 0;
  await b.thread.gate.call('takeOver', {});
  const again = await b.lan.next('A 2 ack 500 "lost"');
  t.ok(isChecksumRight(again, true), 'what nobody has acknowledged is said again');
  b.clientSends(tcp({ fromGuest: false, clientPort: 41_000, seq: 500, ack: 6 }));
  await b.engine.next('A 500 ack 50005');

  // Protected again, the other way: the base goes over, and A's replica starts as the copy of B's guest.
  await protect(b, a);
  b.clientSends(tcp({ fromGuest: false, clientPort: 41_000, seq: 500, ack: 6, data: 'q' }));
  await b.engine.next('A 500 ack 50005 "q"');
  await a.engine.next('A 500 ack 50005 "q"');
  for (const s of [a, b]) s.guestSends(tcp({ clientPort: 41_000, seq: 50_005, ack: 501, data: 'r' }));
  await b.lan.next('A 6 ack 501 "r"');
  await checkpoint(b, a);
  await b.thread.gate.call('setMode', { mode: 'closed' });
  await a.thread.gate.call('takeOver', {});
  a.guestSends(tcp({ clientPort: 41_000, seq: 50_006, ack: 501, data: 's' }));
  t.ok(isChecksumRight(await a.lan.next('A 7 ack 501 "s"'), true));
});

t.test('the audit: both guests are asked, their answers stay inside, and a replica that falls silent is found', async (t) => {
  const { a, b } = await setUp(t);
  const clockMs = (): number => Math.floor(performance.now());
  a.habits = { clockMs };
  b.habits = { clockMs };
  const verdicts: ProbeVerdict[] = [];
  const heard = new EventEmitter();
  a.thread.gate.on('probed', (v) => {
    verdicts.push(v);
    heard.emit('verdict');
  });
  const verdict = async (probe: string, kind: string): Promise<ProbeVerdict> => {
    const limit = AbortSignal.timeout(15_000);
    for (;;) {
      const found = verdicts.find((v) => v.probe === probe && v.kind === kind);
      if (found) return found;
      await once(heard, 'verdict', { signal: limit }).catch(() => {
        throw new Error(`no ${probe} ${kind}: ${JSON.stringify(verdicts)}`);
      });
    }
  };
  // The gate learns the address from what the guest says.
  a.guestSends(ipv4Frame(OTHER_MAC, GUEST_MAC, GUEST_IP, CLIENT_IP));
  await a.until('the address is learned', (s) => s.addresses.ipv4.length > 0);
  const revision = (await a.status()).addresses;
  await protect(a, b);
  t.match(await verdict('arp', 'answered'), { interval: 1 });

  // A receiver that the guest can reach: a reply to it, held as any other output.
  a.guestSends(ipv4Frame(OTHER_MAC, GUEST_MAC, GUEST_IP, CLIENT_IP, 1));
  b.guestSends(ipv4Frame(OTHER_MAC, GUEST_MAC, GUEST_IP, CLIENT_IP, 1));
  await verdict('echo', 'answered');
  await verdict('clock', 'answered');
  await checkpoint(a, b);
  const before = await a.status();
  t.match(before, { heldFrames: 0, addresses: revision, lockstep: { primary: { releasedByCommit: 0 } } });
  t.match(before.lockstep?.primary.causes, { data: 0, datagram: 0, opaque: 0, different: 0, passive: 0 }, 'no checkpoint was asked for');

  b.habits = null;
  t.match(await verdict('arp', 'missing'), { interval: 2, detail: /the replica does not/ });
  t.match((await a.status()).lockstep?.probes, { missing: 1 });
  t.same(
    a.left.filter((f) => f.readUInt16BE(0) === 0x0254 || (f[23] === 1 && f.readUInt16BE(12) === 0x0800)),
    [],
    'no answer has reached the LAN',
  );
});

t.test('floods from the LAN: the gates live, keep within their limits, and ask for one checkpoint at a time', async (t) => {
  const { a, b } = await setUp(t);
  await protect(a, b);
  const wanted: string[] = [];
  a.thread.gate.on('checkpointWanted', ({ cause }) => wanted.push(cause));
  const sender = (i: number): string => `10.77.${(i >> 8) & 0xff}.${i & 0xff}`;
  const syn = tcp({ fromGuest: false, seq: 1, flags: 'S' });
  const answer = tcp({ seq: 5, ack: 2, flags: 'SA' });
  const COUNT = 20_000;
  const AT_ONCE = 500;
  for (let i = 0; i < COUNT; i += AT_ONCE) {
    const n = Array.from({ length: AT_ONCE }, (_, k) => i + k);
    const ports = (f: Buffer, k: number, at: number): Buffer => {
      const own = Buffer.from(f);
      own.writeUInt16BE(k & 0xffff, at);
      return own;
    };
    a.clientSends(
      ...n.map((k) => ports(syn, k, 34)),
      ...n.map((k) => ipv4Frame(GUEST_MAC, OTHER_MAC, sender(k), GUEST_IP, k)),
      ...n.map((k) => arpFrame(OTHER_MAC, 1, OTHER_MAC, sender(k), GUEST_IP)),
      ...n.map((k) => ports(syn, k, 34).subarray(0, 14 + (k % 46))),
    );
    // The guest answers every SYN; its replica has died.
    a.guestSends(...n.map((k) => ports(answer, k, 36)));
  }
  await a.until('all of it was seen', (s) => (s.lockstep?.primary.connections ?? 0) >= COUNT);
  const s = await a.status();
  t.ok(s.heldBytes <= 64 * 1024 * 1024 && s.heldFrames >= COUNT, `${s.heldFrames} frames of ${s.heldBytes} bytes are held`);
  await a.until('a checkpoint is wanted', () => wanted.length > 0);
  t.equal(wanted.length, 1, 'one, until it is made');
  t.match(s.addresses.ipv4, [], 'nobody else speaks for the guest');
  await checkpoint(a, b);
  await a.until('released', (now) => now.heldFrames === 0);
  // Forgotten with the next ones.
  a.guestSends(...Array.from({ length: 2048 }, (_, k) => tcp({ guestPort: 81, clientPort: k, seq: 5, ack: 2, flags: 'SA' })));
  const after = await a.until('they were seen', (now) => (now.lockstep?.primary.forgottenConnections ?? 0) > 0);
  t.ok((after.lockstep?.primary.connections ?? 0) <= COUNT, `${after.lockstep?.primary.connections} connections`);
  const { lostInputs = 0, heldInputs = 0 } = (await b.status()).lockstep?.secondary ?? {};
  t.ok(heldInputs <= 16_384 && lostInputs >= 0);
});
