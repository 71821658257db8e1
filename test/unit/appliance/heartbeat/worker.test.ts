// Two heartbeats in two network namespaces, two cables between them. Needs root. Times are bounded loosely: the machine may be busy.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { MessageChannel } from 'node:worker_threads';
import t from 'tap';
import { DROP_KINDS, type HeartbeatSetup, type HeartbeatStatus, runHeartbeatWorker } from '../../../../appliance/heartbeat/index.ts';
import { BROADCAST_MAC, buildFrame, ETHER_TYPE_LOCAL, PacketSocket, unpackFrames } from '../../../../drivers/ethernet/index.ts';
import { enterNamespace, ip, OtherEnd } from '../../drivers/ethernet/namespace.ts';
import type { AgentOutput } from './agent.ts';

t.setTimeout(180_000);
enterNamespace(import.meta.url);

const INTERVAL_MS = 10;
const TIMEOUT_MS = 150;
/** A busy machine: how much later than the rule a verdict may be seen. */
const SLACK_MS = 3_000;
const MAC_A1 = '52:54:00:cc:00:01';
const AGENT = new URL('./agent.ts', import.meta.url).pathname;

const other = await OtherEnd.open();
for (const n of [1, 2]) {
  ip('link', 'add', `link${n}`, 'address', `52:54:00:cc:00:0${n}`, 'type', 'veth', 'peer', 'name', `link${n}`, 'netns', String(other.pid));
  ip('addr', 'add', `10.1.${n}.1/24`, 'dev', `link${n}`);
  ip('link', 'set', `link${n}`, 'up');
  other.run('ip', 'addr', 'add', `10.1.${n}.2/24`, 'dev', `link${n}`);
  other.run('ip', 'link', 'set', `link${n}`, 'up');
}
t.teardown(() => other.close());

function setup(coServer: 'A' | 'B', pairKey: string): Omit<HeartbeatSetup, 'pairId' | 'pairKey'> & { pairId: string; pairKey: string } {
  const [own, peer] = coServer === 'A' ? [1, 2] : [2, 1];
  return {
    coServer,
    pairId: '0f'.repeat(16),
    pairKey,
    links: [1, 2].map((n) => ({ nic: `link${n}`, localAddress: `10.1.${n}.${own}`, remoteAddress: `10.1.${n}.${peer}` })),
    intervalMs: INTERVAL_MS,
    timeoutMs: TIMEOUT_MS,
  };
}

class Agent {
  readonly process: ChildProcess;
  readonly seen: (AgentOutput & { at: number })[] = [];
  readonly #waiting = new Set<() => void>();

  constructor(coServer: 'A' | 'B', pairKey = 'ab'.repeat(32)) {
    const command = [process.execPath, '--no-warnings', AGENT, JSON.stringify(setup(coServer, pairKey))];
    const [file, args] = coServer === 'A' ? [command[0] ?? '', command.slice(1)] : other.command(...command);
    this.process = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const { stdout } = this.process;
    if (!stdout) throw new Error('no output');
    createInterface({ input: stdout }).on('line', (line) => {
      this.seen.push({ ...(JSON.parse(line) as AgentOutput), at: performance.now() });
      for (const look of [...this.#waiting]) look();
    });
  }

  tell(command: string): void {
    this.process.stdin?.write(`${command}\n`);
  }

  /** The first event after `from` that fits. */
  next(what: string, fits: (o: AgentOutput) => boolean, from = performance.now(), limitMs = 60_000): Promise<AgentOutput & { at: number }> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = this.seen.find((o) => o.at >= from && fits(o));
        if (!found) return;
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve(found);
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(look);
        reject(
          new Error(`not within ${limitMs} ms: ${what}; seen: ${JSON.stringify(this.seen.filter((o) => o.event !== 'status').slice(-6))}`),
        );
      }, limitMs);
      this.#waiting.add(look);
      look();
    });
  }

  async status(): Promise<HeartbeatStatus> {
    const answer = this.next('status', (o) => o.event === 'answer');
    this.tell('status');
    return (await answer).data as HeartbeatStatus;
  }

  /** Both links, since it started. */
  async up(): Promise<void> {
    await Promise.all([0, 1].map((link) => this.next(`link ${link} up`, isLink(link, true), 0)));
  }

  async kill(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const gone = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await gone;
  }
}

const isLink = (link: number, up: boolean) => (o: AgentOutput) => o.event === 'link' && o.data.link === link && o.data.up === up;

async function pair(): Promise<[Agent, Agent]> {
  const agents: [Agent, Agent] = [new Agent('A'), new Agent('B')];
  t.teardown(() => {
    for (const agent of agents) agent.process.kill('SIGKILL');
  });
  await Promise.all(agents.map((agent) => agent.up()));
  return agents;
}

t.test('links, payload, both paths, a cut cable, a frozen, a restarted and a dead partner', { timeout: 120_000 }, async (t) => {
  const [a, b] = await pair();
  t.teardown(() => Promise.all([a.kill(), b.kill()]));

  b.tell('payload {"generation":7,"role":1,"revision":3}');
  const news = await a.next('the payload', (o) => o.event === 'partner' && o.data.generation === 7, 0);
  t.match(news.data, { generation: 7, role: 1, revision: 3, restarted: false, incarnation: /^[0-9a-f]{16}$/ });
  const refused = b.next('a refusal', (o) => o.event === 'answer' && o.data !== 'ok');
  b.tell('payload {"generation":7,"role":4,"revision":3}');
  t.match((await refused).data, /role 4: 0 to 3/);
  const status = await a.status();
  for (const link of status.links) {
    t.match(link, { up: true, carrier: true });
    t.same(
      DROP_KINDS.filter((kind) => link.dropped[kind] > 0),
      [],
      'frames of the time before it was proven are genuine after all',
    );
    t.ok(link.ethernetAgeMs >= 0 && link.ethernetAgeMs < SLACK_MS, `Ethernet ${link.ethernetAgeMs.toFixed(1)} ms ago`);
    t.ok(link.ipAgeMs >= 0 && link.ipAgeMs < SLACK_MS, `IP ${link.ipAgeMs.toFixed(1)} ms ago`);
    t.ok(link.rttMs >= 0 && link.rttMs < SLACK_MS, `round trip ${link.rttMs.toFixed(3)} ms`);
  }
  t.ok(status.timeoutMs >= TIMEOUT_MS && status.jitter.samples > 0);
  t.ok(Math.abs(status.jitter.floorMs - (3 * INTERVAL_MS + 2 * status.jitter.maxMs)) < 1e-6);

  let start = performance.now();
  const cut = [a, b].map((agent) => agent.next('link 0 down', isLink(0, false)));
  other.run('ip', 'link', 'set', 'link1', 'down');
  for (const verdict of await Promise.all(cut)) t.match(verdict.data, { reason: /carrier|silent/ });
  t.comment(`cable cut: ${(performance.now() - start).toFixed(0)} ms with the command`);
  t.match((await a.status()).links, [{ up: false, carrier: false }, { up: true }]);
  start = performance.now();
  other.run('ip', 'link', 'set', 'link1', 'up');
  await Promise.all([a, b].map((agent) => agent.next('link 0 up', isLink(0, true), start)));

  start = performance.now();
  b.process.kill('SIGSTOP');
  const frozen = await Promise.all([0, 1].map((link) => a.next(`link ${link} down`, isLink(link, false), start)));
  for (const verdict of frozen) {
    t.match(verdict.data, { reason: 'silent' });
    t.ok(verdict.at - start < TIMEOUT_MS + SLACK_MS, `frozen: ${(verdict.at - start).toFixed(0)} ms`);
  }
  start = performance.now();
  b.process.kill('SIGCONT');
  const late = await b.next('suspects itself', (o) => o.event === 'late', start);
  t.ok(late.event === 'late' && late.data.lateMs > TIMEOUT_MS / 2);
  await Promise.all([0, 1].map((link) => a.next(`link ${link} up`, isLink(link, true), start)));

  start = performance.now();
  await b.kill();
  const dead = await Promise.all([0, 1].map((link) => a.next(`link ${link} down`, isLink(link, false), start)));
  for (const verdict of dead) t.ok(verdict.at - start < TIMEOUT_MS + SLACK_MS, `dead: ${(verdict.at - start).toFixed(0)} ms`);
  const second = new Agent('B');
  t.teardown(() => second.kill());
  const restart = await a.next('the restart', (o) => o.event === 'partner' && o.data.restarted, start);
  t.not((restart.data as { incarnation: string }).incarnation, (news.data as { incarnation: string }).incarnation);
});

function record(nic: string): { frames: Buffer[]; ear: PacketSocket } {
  const frames: Buffer[] = [];
  const ear = new PacketSocket({ nic, etherType: ETHER_TYPE_LOCAL }, { onFrames: (batch) => frames.push(...unpackFrames(batch).frames) });
  return { frames, ear };
}

t.test('copies, forgeries and noise are counted and change nothing', { timeout: 120_000 }, async (t) => {
  const [recorded, elsewhere] = [record('link1'), record('link2')];
  const [a, b] = await pair();
  t.teardown(() => Promise.all([a.kill(), b.kill()]));
  for (const { ear } of [recorded, elsewhere]) ear.close();
  const sample = recorded.frames.at(-1) ?? Buffer.alloc(0);
  t.equal(sample.length, 14 + 112);
  const changed = Buffer.from(sample);
  changed[14 + 50] = (changed[14 + 50] ?? 0) ^ 1;
  const told = a.next('forged frames', (o) => o.event === 'dropped' && o.data.kind === 'forged');
  const tell = (frame: Buffer) => b.tell(`frame ${frame.toString('hex')}`);
  const payload = sample.subarray(14);
  const packed = (bytes: Uint8Array) => buildFrame(BROADCAST_MAC, MAC_A1, ETHER_TYPE_LOCAL, bytes);
  const newer = Buffer.from(payload);
  newer[4] = 2;
  const ofOtherPair = Buffer.from(payload);
  ofOtherPair[8] = (ofOtherPair[8] ?? 0) ^ 1;
  for (let i = 0; i < 10; i++) tell(sample);
  for (let i = 0; i < 5; i++) tell(changed);
  tell(sample.subarray(0, 60));
  tell(packed(Buffer.alloc(112)));
  tell(packed(Buffer.concat([payload, Buffer.alloc(3)])));
  for (let i = 0; i < 2; i++) tell(packed(newer));
  tell(packed(ofOtherPair));
  b.tell('reflect 3');
  tell(elsewhere.frames.at(-1) ?? Buffer.alloc(0));
  t.match((await told).data, { link: 0, kind: 'forged', sentence: /made without this pair's key/ });
  const wanted = {
    replayed: 10,
    forged: 5,
    truncated: 1,
    malformed: 1,
    oversized: 1,
    version: 2,
    otherPair: 1,
    reflected: 3,
    wrongLink: 1,
  };
  let link = (await a.status()).links[0];
  for (
    const end = performance.now() + 60_000;
    link && (link.dropped.wrongLink < 1 || link.dropped.reflected < 3) && performance.now() < end;
  )
    link = (await a.status()).links[0];
  t.match(link, { up: true, dropped: { ...wanted, sameSide: 0, wrongPath: 0, unproven: 0 } });
  const version = await a.next('the version', (o) => o.event === 'dropped' && o.data.kind === 'version', 0);
  t.match(version.data, { sentence: /^The partner speaks heartbeat version 2, this CoServer version 1: update this CoServer\. / });
  t.equal(a.seen.filter((o) => o.event === 'link' && !o.data.up).length, 0);
});

t.test('recorded frames, played to a receiver that has restarted', { timeout: 120_000 }, async (t) => {
  const { frames, ear } = record('link1');
  const [a, b] = await pair();
  for (const end = performance.now() + 60_000; frames.length < 30 && performance.now() < end; ) await a.status();
  ear.close();
  await Promise.all([a.kill(), b.kill()]);
  const again = new Agent('A');
  // Only a hand on the cable: with another key it sends nothing that counts.
  const hand = new Agent('B', 'cd'.repeat(32));
  t.teardown(() => Promise.all([again.kill(), hand.kill()]));
  const played = frames.slice(-30);
  t.equal(played.length, 30);
  await again.next('it listens', (o) => o.event === 'dropped' && o.data.kind === 'forged', 0);
  for (const frame of played) hand.tell(`frame ${frame.toString('hex')}`);
  for (const frame of played) hand.tell(`frame ${frame.toString('hex')}`);
  const counted = ({ dropped }: HeartbeatStatus['links'][number]) => dropped.unproven + dropped.replayed;
  let [link] = (await again.status()).links;
  for (const end = performance.now() + 60_000; link && counted(link) < 60 && performance.now() < end; )
    [link] = (await again.status()).links;
  t.match(link, { up: false, received: 0, ethernetAgeMs: -1, dropped: { unproven: 30, replayed: 30 } });
  t.equal(again.seen.filter((o) => o.event === 'link' || o.event === 'partner').length, 0);
});

t.test("another pair's key: strangers on both sides, no link", { timeout: 120_000 }, async (t) => {
  const a = new Agent('A');
  const b = new Agent('B', 'cd'.repeat(32));
  t.teardown(() => Promise.all([a.kill(), b.kill()]));
  await Promise.all([a, b].map((agent) => agent.next('frames of another key', (o) => o.event === 'dropped', 0)));
  const status = await a.status();
  for (const link of status.links) {
    t.match(link, { up: false, received: 0, ethernetAgeMs: -1, ipAgeMs: -1 });
    t.ok(link.dropped.forged > 0);
  }
  t.equal(a.seen.filter((o) => o.event === 'link' || o.event === 'partner').length, 0);
  const first = a.seen.filter((o) => o.event === 'dropped').length;
  t.ok(first <= 2, 'once per link, not once per frame');
});

t.test('a NIC that is not there yet, and one that is replaced', { timeout: 120_000 }, async (t) => {
  ip('link', 'del', 'link2');
  const a = new Agent('A');
  const b = new Agent('B');
  t.teardown(() => Promise.all([a.kill(), b.kill()]));
  await Promise.all([a, b].map((agent) => agent.next('link 0 up', isLink(0, true), 0)));
  t.match((await a.status()).links[1], { up: false, carrier: false });
  for (let round = 0; round < 2; round++) {
    const start = performance.now();
    ip('link', 'add', 'link2', 'type', 'veth', 'peer', 'name', 'link2', 'netns', String(other.pid));
    ip('addr', 'add', '10.1.2.1/24', 'dev', 'link2');
    ip('link', 'set', 'link2', 'up');
    other.run('ip', 'addr', 'add', '10.1.2.2/24', 'dev', 'link2');
    other.run('ip', 'link', 'set', 'link2', 'up');
    await Promise.all([a, b].map((agent) => agent.next('link 1 up', isLink(1, true), start)));
    if (round === 0) {
      const gone = performance.now();
      ip('link', 'del', 'link2');
      await Promise.all([a, b].map((agent) => agent.next('link 1 down', isLink(1, false), gone)));
    }
  }
  t.match((await a.status()).links[1], { up: true });
});

t.test('process.exit with the thread running, and what a setup must be', { timeout: 120_000 }, async (t) => {
  const [a, b] = await pair();
  t.teardown(() => b.kill());
  const exit = once(a.process, 'exit');
  a.tell('exit');
  t.same(await exit, [5, null], 'no abort');
  const { port1 } = new MessageChannel();
  const good = { ...setup('A', ''), pairId: Buffer.alloc(16), pairKey: Buffer.alloc(32) };
  t.throws(() => runHeartbeatWorker({ ...good, intervalMs: 1 }, port1), /interval of 1 ms: at least 2/);
  t.throws(() => runHeartbeatWorker({ ...good, timeoutMs: 29 }, port1), /time-out of 29 ms: at least 3 intervals of 10 ms/);
  t.throws(() => runHeartbeatWorker({ ...good, pairKey: Buffer.alloc(3) }, port1), /3 bytes/);
  port1.close();
});
