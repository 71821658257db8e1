// Cables that go dead without a word (no FIN, no RST), between two network namespaces. Needs root.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import t from 'tap';
import { PairChannel } from '../../../../drivers/link/index.ts';
import { enterNamespace, ip, OtherEnd } from '../ethernet/namespace.ts';

t.setTimeout(180_000);
enterNamespace(import.meta.url);

const KEY = Buffer.alloc(32, 3);
const PORT = 7401;
const AGENT = new URL('./agent.ts', import.meta.url).pathname;
const other = await OtherEnd.open();
t.teardown(() => other.close());
for (const n of [0, 1]) {
  ip('link', 'add', `link${n}`, 'type', 'veth', 'peer', 'name', `link${n}`, 'netns', String(other.pid));
  ip('addr', 'add', `10.2.${n}.1/24`, 'dev', `link${n}`);
  ip('link', 'set', `link${n}`, 'up');
  other.run('ip', 'addr', 'add', `10.2.${n}.2/24`, 'dev', `link${n}`);
  other.run('ip', 'link', 'set', `link${n}`, 'up');
}
const addresses = (own: number, peer: number) =>
  [0, 1].map((n) => ({ localAddress: `10.2.${n}.${own}`, remoteAddress: `10.2.${n}.${peer}` }));

class PartnerB {
  readonly process: ChildProcess;
  readonly seen: { event: string; data: unknown }[] = [];
  #look: () => void = () => undefined;

  constructor() {
    const setup = JSON.stringify({ port: PORT, links: addresses(2, 1), key: KEY.toString('hex') });
    this.process = other.spawn(process.execPath, '--no-warnings', AGENT, setup);
    const { stdout } = this.process;
    if (!stdout) throw new Error('no output');
    createInterface({ input: stdout }).on('line', (line) => {
      this.seen.push(JSON.parse(line));
      this.#look();
    });
  }

  until(what: string, fits: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`not within 60 s: ${what}; seen ${JSON.stringify(this.seen.slice(-5))}`)), 60_000);
      this.#look = () => {
        if (!fits()) return;
        clearTimeout(timer);
        resolve();
      };
      this.#look();
    });
  }

  verdict(link: number, up: boolean): void {
    this.process.stdin?.write(`${link} ${up ? 'up' : 'down'}\n`);
  }

  get received(): number {
    return Number(this.seen.filter((o) => o.event === 'received').at(-1)?.data ?? 0);
  }

  count(event: string): number {
    return this.seen.filter((o) => o.event === event).length;
  }

  async kill(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const gone = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await gone;
  }
}

function cable(n: number, up: boolean): void {
  // The far end: this side sees a dead carrier and nothing else.
  other.run('ip', 'link', 'set', `link${n}`, up ? 'up' : 'down');
}

t.test('a cable dies in the middle of a stream, then the other, then everything', { timeout: 120_000 }, async (t) => {
  const b = new PartnerB();
  const a = new PairChannel({ side: 'A', port: PORT, links: addresses(1, 2), key: KEY, windowBytes: 1024 * 1024 });
  t.teardown(() => Promise.all([a.close(), b.kill()]));
  if (!a.isUp) await once(a, 'up');
  // The second link may be a moment later; it must carry, too.
  while (a.stats().links.some((l) => !l.connected)) await new Promise((resolve) => setTimeout(resolve, 5));

  let next = 0;
  let stopped = false;
  const more = () => {
    while (!stopped) {
      const message = Buffer.alloc(1200, next);
      message.writeUInt32BE(next++, 0);
      if (!a.send(message)) return;
    }
  };
  a.on('drain', more);
  more();
  let answers = 0;
  a.on('message', () => answers++);
  const advance = (count: number) => {
    const from = b.received;
    return b.until(`${count} more after ${from}`, () => b.received >= from + count);
  };

  await advance(5_000);
  cable(0, false);
  const start = performance.now();
  a.linkVerdict(0, false);
  b.verdict(0, false);
  await advance(10_000);
  t.comment(`cable 1 dead: 10000 messages later after ${(performance.now() - start).toFixed(0)} ms`);
  t.equal(a.isUp, true);
  cable(0, true);
  a.linkVerdict(0, true);
  b.verdict(0, true);
  while (!a.stats().links[0]?.connected) await new Promise((resolve) => setTimeout(resolve, 5));
  await advance(5_000);

  // Only this side notices the next one: the partner's connection is replaced by the new one.
  cable(1, false);
  a.linkVerdict(1, false);
  await advance(5_000);
  cable(1, true);
  a.linkVerdict(1, true);
  while (!a.stats().links[1]?.connected) await new Promise((resolve) => setTimeout(resolve, 5));
  await advance(5_000);

  const down = once(a, 'down');
  for (const n of [0, 1]) {
    cable(n, false);
    a.linkVerdict(n, false);
    b.verdict(n, false);
  }
  await down;
  await b.until('down', () => b.count('down') > 0);
  cable(1, true);
  a.linkVerdict(1, true);
  b.verdict(1, true);
  await advance(5_000);
  stopped = true;
  const rest = Math.floor(next / 1000) * 1000;
  await b.until('the rest', () => b.received >= rest);
  while (answers < rest / 1000) await once(a, 'message');
  t.equal(answers, rest / 1000, 'answers, each once');
  t.equal(b.count('fault'), 0, 'in order, each once');
  t.equal(b.count('reset'), 0);
  t.ok(a.stats().links.some((l) => l.resentMessages > 0));
  cable(0, true);
});

t.test('power failure of the partner: kept, then a new session after its restart', { timeout: 120_000 }, async (t) => {
  const b = new PartnerB();
  const a = new PairChannel({ side: 'A', port: PORT, links: addresses(1, 2), key: KEY });
  t.teardown(() => Promise.all([a.close(), b.kill()]));
  if (!a.isUp) await once(a, 'up');
  for (let i = 0; i < 1000; i++) {
    const message = Buffer.alloc(100);
    message.writeUInt32BE(i, 0);
    a.send(message);
  }
  await b.until('1000 messages', () => b.received === 1000);
  for (const n of [0, 1]) cable(n, false);
  await b.kill();
  a.send(Buffer.alloc(100));
  const down = once(a, 'down');
  for (const n of [0, 1]) a.linkVerdict(n, false);
  await down;
  t.ok(a.stats().unacknowledgedBytes > 0, 'kept');

  const reset = once(a, 'reset');
  const second = new PartnerB();
  t.teardown(() => second.kill());
  for (const n of [0, 1]) {
    cable(n, true);
    a.linkVerdict(n, true);
  }
  t.same(await reset, ['the partner restarted']);
  t.equal(a.stats().unacknowledgedBytes, 0);
  for (let i = 0; i < 1000; i++) {
    const message = Buffer.alloc(100);
    message.writeUInt32BE(i, 0);
    a.send(message);
  }
  await second.until('1000 messages of the new session', () => second.received === 1000);
  t.equal(second.count('fault'), 0);
});
