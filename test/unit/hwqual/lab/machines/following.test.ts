// What the lab follows of a machine: how far its boot is, by a growing file; and a shell in it, by a serial port (here: a socket with a shell).
import { spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { BootLog } from '../../../../../hwqual/lab/machines/boot-log.ts';
import { Hands } from '../../../../../hwqual/lab/machines/hands.ts';

const folder = mkdtempSync(join(tmpdir(), 'machines-following-'));
t.teardown(() => rmSync(folder, { recursive: true }));
const FOREVER_MS = 60_000;

t.test('a boot is told stage by stage, a line may come in pieces, and is over with "up"', async (t) => {
  const path = join(folder, 'boot.log');
  const said: string[] = [];
  const log = new BootLog(path, (text) => said.push(text.replace(/ \(.*/, '')));
  t.teardown(() => log.close());
  log.power(true);
  t.match(log.view(), { bootS: null, stage: 'kernel', restarts: 0 });
  appendFileSync(path, '[ 1.0] some kernel words\r\nMACHINE 17.40 modules\r\nMACHINE 20.10 ni');
  appendFileSync(path, 'cs\r\nMACHINE 30.00 up\r\n');
  const seconds = await log.booted(FOREVER_MS);
  t.ok(seconds >= 0 && seconds < 60);
  t.strictSame(said, ['modules', 'nics', 'up']);
  t.match(log.view(), { bootS: seconds, stage: 'up', restarts: 0 });
});

t.test('a machine that starts anew is not booted until it is up again', async (t) => {
  const path = join(folder, 'again.log');
  const seen = Promise.withResolvers<void>();
  const log = new BootLog(path, (text) => text.startsWith('again') && seen.resolve());
  t.teardown(() => log.close());
  log.power(true);
  appendFileSync(path, 'MACHINE 1.00 modules\nMACHINE 2.00 up\nKernel panic\nMACHINE 1.00 modules\nMACHINE 1.50 again\n');
  await seen.promise;
  t.match(log.view(), { bootS: null, restarts: 1 });
  log.power(false);
  log.power(true);
  t.match(log.view(), { bootS: null, restarts: 0, stage: 'kernel' }, 'power on counts anew');
});

t.test('a boot that does not end is said with its last word', async (t) => {
  const log = new BootLog(join(folder, 'stuck.log'), () => undefined);
  t.teardown(() => log.close());
  log.power(true);
  await t.rejects(log.booted(1), { message: /its last word: kernel/, remedy: /stuck\.log/ });
});

t.test('commands in a machine: output, status, one at a time; a machine without power', async (t) => {
  const path = join(folder, 'hands.sock');
  // As QEMU does with a serial port: one shell behind it, whoever is connected.
  const shell = spawn('sh', [], { stdio: ['pipe', 'pipe', 'inherit'], detached: true });
  const server = createServer((socket) => {
    const forward = (chunk: Buffer) => socket.write(chunk);
    // Who hangs up before it has read everything resets the connection.
    socket.on('error', () => undefined);
    shell.stdout.on('data', forward);
    socket.on('data', (chunk) => shell.stdin.write(chunk));
    socket.on('close', () => shell.stdout.off('data', forward));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const hands = new Hands('A', path);
  const [one, two] = await Promise.all([hands.ask('echo first; exit 3', FOREVER_MS), hands.ask('echo second >&2', FOREVER_MS)]);
  t.strictSame(one, { status: 3, output: 'first' });
  t.strictSame(two, { status: 0, output: 'second' });
  await t.rejects(hands.ask('tail -f /dev/null', 1), { message: /did not answer within/ });
  // With what it still runs.
  process.kill(-(shell.pid ?? 0), 'SIGKILL');
  await new Promise((resolve) => server.close(resolve));
  await t.rejects(hands.ask('true', FOREVER_MS), { message: /machine A has no power/ });
});
