// The link flood on real NICs (veth) between two network namespaces: straight and crossed cables, a stranger.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import t from 'tap';
import type { BurnInResult, TestResult } from '../../hwqual/burn-in/index.ts';

if (process.getuid?.() !== 0) t.bailout('network namespaces and packet sockets need root');
// Threads start slowly on a busy machine.
t.setTimeout(120_000);

const NAMES = { A: `burnin-${process.pid}-a`, B: `burnin-${process.pid}-b` } as const;
const KEY = 'ab'.repeat(32);
/** Never reached: an end stops when it has seen what it waits for. */
const LONGEST_S = 100;
const STRANGER = 'of somebody else';
/** Of what is shown: something left, or came, on each of two links. */
const OUT = '[1-9][\\d.]* Mbit/s out.*[1-9][\\d.]* Mbit/s out';
const IN = ' [1-9][\\d.]* in.* [1-9][\\d.]* in';
const BOTH = '[1-9][\\d.]* Mbit/s out, [1-9][\\d.]* in.* [1-9][\\d.]* Mbit/s out, [1-9][\\d.]* in';
const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' });

for (const name of Object.values(NAMES)) {
  ip('netns', 'add', name);
  t.teardown(() => ip('netns', 'del', name));
}
// link3 of A leads to link4 of B, and the other way round.
for (const [a, b] of [
  ['link1', 'link1'],
  ['link2', 'link2'],
  ['link3', 'link4'],
  ['link4', 'link3'],
] as const) {
  ip('-n', NAMES.A, 'link', 'add', a, 'type', 'veth', 'peer', 'name', b, 'netns', NAMES.B);
  ip('-n', NAMES.A, 'link', 'set', a, 'up');
  ip('-n', NAMES.B, 'link', 'set', b, 'up');
}

interface Asked {
  links: string[];
  until: string;
  answerOnly?: boolean;
  key?: string;
}

function start(coServer: 'A' | 'B', { links, until, answerOnly = false, key = KEY }: Asked): ChildProcess {
  const asked = { coServer, durationS: LONGEST_S, until, links: links.map((nic) => ({ nic })), answerOnly, key, stateDir: '/nowhere' };
  const script = `${import.meta.dirname}/burn-in-end.ts`;
  return spawn('ip', ['netns', 'exec', NAMES[coServer], process.execPath, '--no-warnings', script, JSON.stringify(asked)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

async function resultOf(child: ChildProcess): Promise<BurnInResult> {
  return JSON.parse(child.stdout ? await text(child.stdout) : '') as BurnInResult;
}

async function both(a: Asked, b: Asked): Promise<{ A: TestResult; B: TestResult }> {
  const [first, second] = await Promise.all([resultOf(start('A', a)), resultOf(start('B', b))]);
  const links = (result: BurnInResult): TestResult => {
    const found = result.tests.find((test) => test.id === 'links');
    if (!found) throw new Error('no test of links');
    return found;
  };
  return { A: links(first), B: links(second) };
}

t.test('two straight cables, flooded both ways', async (t) => {
  const { A, B } = await both({ links: ['link1', 'link2'], until: BOTH }, { links: ['link1', 'link2'], until: BOTH });
  t.comment(A.reason);
  t.comment(B.reason);
  for (const [end, other] of [
    [A, 'B'],
    [B, 'A'],
  ] as const) {
    t.equal(end.verdict, 'pass', end.reason);
    t.equal(end.figures.cables, `link1 to ${other}'s link 0, link2 to ${other}'s link 1`);
    t.ok(Number(end.figures['link1.receivedFrames']) > 0, `${end.figures['link1.receivedFrames']} frames came`);
  }
});

t.test('crossed cables are named, also when the partner only answers; another pair is not believed', async (t) => {
  const [{ A, B }, strangers] = await Promise.all([
    both({ links: ['link3', 'link4'], until: OUT }, { links: ['link3', 'link4'], answerOnly: true, until: IN }),
    both({ links: ['link2'], until: STRANGER }, { links: ['link2'], key: 'cd'.repeat(32), until: STRANGER }),
  ]);
  t.equal(A.verdict, 'fail');
  t.match(A.reason, "link3: is link 0 here and leads to B's link 1: cables are crossed");
  t.match(A.reason, "link4: is link 1 here and leads to B's link 0");
  t.equal(A.figures['link3.receivedFrames'], 0, 'who only answers floods nothing');
  t.ok(Number(B.figures['link3.receivedFrames']) > 0);
  t.match(strangers.A, { verdict: 'notTested', reason: /does not answer on link2/ });
  t.ok(Number(strangers.A.figures['link2.foreignFrames']) > 0, 'it was heard, and not believed');
});
