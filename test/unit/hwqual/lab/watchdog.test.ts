// The real stand-in, the real client, and a process that it kills.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openWatchdog } from '../../../../drivers/watchdog/index.ts';
import { LabWatchdog } from '../../../../hwqual/lab/watchdog.ts';

t.setTimeout(60_000);

/** Long enough that a busy machine renews in time, short enough to wait for. */
const TIMEOUT_MS = 1_500;

async function setUp(t: Test) {
  const directory = mkdtempSync(join(tmpdir(), 'watchdog-'));
  const path = join(directory, 'dog.sock');
  const resets: string[] = [];
  const dog = await LabWatchdog.start(path, (text) => resets.push(text));
  const victim = spawn('sh', ['-c', 'sleep 600 & wait'], { stdio: 'ignore' });
  const ended = new Promise<string | null>((resolve) => victim.once('exit', (_code, signal) => resolve(signal)));
  t.teardown(async () => {
    await dog.close();
    victim.kill('SIGKILL');
    rmSync(directory, { recursive: true });
  });
  const lost: string[] = [];
  const open = (timeoutMs = TIMEOUT_MS) =>
    openWatchdog({ device: `unix:${path}`, timeoutMs, onLost: (e) => lost.push(e.message), ioctl: () => 0 });
  return { dog, victim, ended, path, open, resets, lost };
}

const lives = (child: ChildProcess) => child.exitCode === null && child.signalCode === null;

async function renewFor(dog: { renew: () => void }, ms: number): Promise<void> {
  const end = performance.now() + ms;
  while (performance.now() < end) {
    dog.renew();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

t.test('renewed it lives, not renewed it dies', async (t) => {
  const { dog, victim, ended, open, resets } = await setUp(t);
  dog.guard(victim.pid ?? 0);
  const watchdog = await open();
  t.equal(watchdog.timeoutMs, TIMEOUT_MS);
  await renewFor(watchdog, 2 * TIMEOUT_MS);
  t.ok(lives(victim), 'twice the time-out, renewed');
  const last = performance.now();
  t.equal(await ended, 'SIGKILL');
  t.comment(`killed ${Math.round(performance.now() - last)} ms after the last renewal`);
  t.match(resets, [/not renewed for 1500 ms: pid \d+ killed, with 2 processes/], 'with its child');
});

t.test('a connection that ends without a word stops nothing; who comes in time takes over', async (t) => {
  const { dog, victim, ended, open } = await setUp(t);
  dog.guard(victim.pid ?? 0);
  (await open()).close();
  let second = await open().catch(() => null);
  // The other side sees the end of the connection when it gets to it.
  while (second === null) second = await open().catch(() => null);
  await renewFor(second, 2 * TIMEOUT_MS);
  t.ok(lives(victim));
  second.close();
  t.equal(await ended, 'SIGKILL');
});

t.test('disarmed it kills nobody', async (t) => {
  const { dog, victim, open, lost } = await setUp(t);
  dog.guard(victim.pid ?? 0);
  await (await open(100)).disarm();
  // Longer than what it was armed with: the other clock has fired when this one would have.
  const other = await setUp(t);
  other.dog.guard(other.victim.pid ?? 0);
  await other.open(300);
  t.equal(await other.ended, 'SIGKILL');
  t.ok(lives(victim));
  t.same(lost, [], 'to let go is no loss');
});

t.test('whom it shall kill it may learn later than it fires', async (t) => {
  const { dog, victim, ended, open } = await setUp(t);
  const watchdog = await open(50);
  const end = performance.now() + 200;
  while (performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 20));
  t.ok(lives(victim));
  dog.guard(victim.pid ?? 0);
  t.equal(await ended, 'SIGKILL');
  watchdog.close();
});

t.test('one holder at a time, and only what it knows', async (t) => {
  const { dog, open, lost } = await setUp(t);
  const watchdog = await open(60_000);
  await t.rejects(open(), /held by another connection/);
  t.same(lost, []);
  const { path, dog: other } = await setUp(t);
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = connect(path).setEncoding('utf8').once('data', resolve).once('error', reject);
    socket.write('dance\n');
  });
  t.equal(String(answer), 'refused it knows: arm MILLISECONDS, renew, disarm\n');
  await other.close();
  await dog.close();
  await new Promise<void>((resolve) => {
    const look = () => (lost.length > 0 ? resolve() : void setTimeout(look, 10));
    look();
  });
  t.match(lost, [/the watchdog at .* is gone/]);
  watchdog.close();
  await t.rejects(open(), /the watchdog at .*: connect ENOENT/);
});
