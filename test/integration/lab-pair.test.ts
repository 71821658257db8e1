// The lab with a small program in the product's place: cables, power, frost, and that nothing is left behind. Needs root and the
// engine's root file system.
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { askLab } from '../../hwqual/lab/control-socket.ts';
import type { LabStatus } from '../../hwqual/lab/describe.ts';
import { processTree, startTimeOf } from '../../hwqual/lab/processes.ts';
import { labPaths, labSettings } from '../../hwqual/lab/settings.ts';
import { waitDuplex } from '../../hwqual/lab/wait-duplex.ts';
import { engineRootPath } from '../../image/engine/engine-root.ts';

// Two starts of a pair, and a command line's start for every step: a minute on a busy machine.
t.setTimeout(180_000);

const run = promisify(execFile);
const CLI = join(import.meta.dirname, '../../hwqual/lab/cli.ts');
const INSTANCE = 'it';
const PORT = 18443;

/** Talks to its partner over link 1 in one long connection, writes to its disk, and tells how connections ended. */
const PRODUCT = `
import fs from 'node:fs'; import http from 'node:http'; import net from 'node:net';
if (process.argv[3] === 'enrol') process.stdin.resume();
else if (process.argv[2] === 'witness') net.createServer().listen(7410, '10.78.0.100');
else {
  const me = /coServer: (\\w)/.exec(fs.readFileSync('/etc/twinstep/config.yaml', 'utf8'))[1];
  const [mine, theirs] = me === 'A' ? ['10.76.1.1', '10.76.1.2'] : ['10.76.1.2', '10.76.1.1'];
  const ends = []; let heard = 0;
  net.createServer((s) => { s.on('data', () => { heard = Date.now(); }).on('end', () => ends.push('FIN')).on('error', (e) => ends.push(e.code)); }).listen(7, mine);
  const call = () => { const s = net.connect({ host: theirs, port: 7 }); const timer = setInterval(() => s.write('x'), 10);
    s.on('error', () => 0).on('close', () => { clearInterval(timer); setTimeout(call, 100); }); };
  call();
  const disk = fs.openSync('/var/lib/twinstep/disks/disk0', 'r+');
  fs.writeSync(disk, Buffer.alloc(65536, 1), 0, 65536, 0); fs.fdatasyncSync(disk);
  fs.writeSync(disk, Buffer.alloc(65536, 2), 0, 65536, 65536);
  const carrier = (nic) => fs.readFileSync('/sys/class/net/' + nic + '/carrier', 'utf8').trim() === '1';
  http.createServer((q, r) => { const duplex = Date.now() - heard < 300;
    r.end(JSON.stringify({ coServer: me, redundancy: duplex ? 'duplex' : 'simplex', redundancySentence: ends.join(), coServers: [],
      links: ['link1', 'link2'].map((n) => ({ up: carrier(n), rttMs: 0 })), workload: {}, checkpoints: {}, progress: null })); }).listen('/run/twinstep/console.sock');
}`;

const engine = engineRootPath();
const why =
  process.getuid?.() !== 0
    ? 'needs root'
    : existsSync(join(engine, 'usr/bin/busybox'))
      ? false
      : `needs the engine's root file system, ${engine}`;

t.test('a pair in namespaces', { skip: why, timeout: 180_000 }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'lab-pair-'));
  const bundle = join(directory, 'bundle');
  mkdirSync(bundle);
  writeFileSync(join(bundle, 'twinstep.mjs'), PRODUCT);
  const env = { ...process.env, TWINSTEP_LAB_DIR: directory, TWINSTEP_LAB_INSTANCE: INSTANCE };
  const lab = async (...args: string[]) => (await run(process.execPath, ['--no-warnings', CLI, ...args], { env })).stdout;
  const refused = (...args: string[]) =>
    lab(...args).then(
      () => 'accepted',
      (e: { stderr: string }) => e.stderr,
    );
  const settings = labSettings({ instance: INSTANCE, root: directory });
  // Without a command line's start, where that is not what is tested.
  const ask = async (action: string, target = '') => {
    const { result, close } = await askLab(labPaths(settings).controlSocket, { action, target });
    close();
    return result;
  };
  const status = async () => (await ask('status')) as LabStatus;
  const duplex = () => waitDuplex(async () => (await status()).coServers, 60_000);
  const up = ['up', '--detach', '--bundle', bundle, '--port', String(PORT), '--acceleration', 'tcg', '--disk', '16'];
  const namespaces = () => readdirSync('/run/netns').filter((n) => n.startsWith(`ts${INSTANCE}-`));
  const until = async (what: string, condition: () => boolean | Promise<boolean>) => {
    const end = Date.now() + 60_000;
    while (!(await condition())) {
      if (Date.now() > end) throw new Error(`not within 60 s: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  t.teardown(async () => {
    await lab('down');
    rmSync(directory, { recursive: true });
  });

  t.match(await refused('status'), /no pair runs here/);
  t.match(await lab(...up), /password of the web consoles: [a-z0-9]{16}/);
  t.match(await lab('wait', 'duplex', '--timeout', '60'), /duplex after/);
  const { lab: view } = await status();
  const everything = processTree(view.pid).map((pid) => ({ pid, startTime: startTimeOf(pid) }));
  t.match(await refused(...up), new RegExp(`a pair already runs here \\(pid ${view.pid}\\)`));
  t.match(await lab('exec', 'A', '--', 'sh', '-c', 'hostname; ls /work 2>&1; cat /proc/1/comm'), /coserver-a\n.*No such file.*\nbusybox/);
  t.match(await lab('exec', 'lan', '--', 'ip', '-br', 'addr'), /lan0\S* +UP +10\.77\.0\.1\/24 fd77::1\/64/);
  t.notMatch(readFileSync(join(directory, INSTANCE, 'lab.log'), 'utf8'), /password/);

  await lab('link', '1', 'down');
  t.match((await status()).coServers, { A: { links: [{ up: false }, { up: true }] }, B: { links: [{ up: false }, { up: true }] } });
  t.match(await lab('exec', 'A', '--', 'ip', '-br', 'link', 'show', 'link1'), /NO-CARRIER.*UP/, 'the NIC itself stays up');
  t.match(await ask('cut-link', '1').catch(String), /link 1 is down already/);
  await ask('mend-link', '1');
  await duplex();

  await ask('freeze', 'A');
  t.equal((await status()).coServers.A, null);
  t.match(await ask('freeze', 'A').catch(String), /frozen already/);
  await ask('thaw', 'A');
  await duplex();

  t.match(await lab('power-off', 'A', '--seed', '1'), /processes stood still .*\nthe disks lost \d+ of 16 unflushed sectors \(seed 1\)/);
  await until('B notices', async () => (await status()).coServers.B?.redundancy === 'simplex');
  const alone = await status();
  t.equal(alone.coServers.B?.redundancySentence, '', 'no FIN and no RST reached the partner');
  t.match(alone.coServers.B, { links: [{ up: false }, { up: false }] });
  t.equal(alone.lab.coServers.A.powered, false);
  const disk = readFileSync(join(directory, INSTANCE, 'A/disks/disk0'));
  t.ok(
    disk.subarray(0, 65536).every((b) => b === 1),
    'what was flushed is there',
  );
  t.notOk(
    disk.subarray(65536, 131072).every((b) => b === 2),
    'not all of what was not flushed is',
  );
  t.match(await ask('power-off', 'A').catch(String), /has no power/);
  t.match(await refused('exec', 'A', '--', 'true'), /has no power/);
  await ask('power-on', 'A');
  await duplex();

  t.equal(await lab('down'), 'the pair is gone\n');
  t.same(namespaces(), []);
  t.same(
    everything.filter((p) => p.startTime !== 0 && startTimeOf(p.pid) === p.startTime),
    [],
    'no process is left',
  );
  t.notOk(existsSync(join(directory, INSTANCE, 'A/disks')));
  t.equal(await lab('down'), 'no pair runs here\n', 'again: nothing to do');

  await lab(...up);
  const holder = (await status()).lab.pid;
  process.kill(holder, 'SIGKILL');
  await until('a killed lab is swept', () => namespaces().length === 0 && !existsSync(join(directory, INSTANCE, 'lab.json')));
  t.pass('a lab whose process was killed removes itself');

  const taken = spawn(process.execPath, [
    '-e',
    `require('net').createServer().listen(${PORT + 1}, '127.0.0.1', () => console.log('taken'))`,
  ]);
  await new Promise((resolve) => taken.stdout.once('data', resolve));
  t.match(await refused(...up), new RegExp(`port ${PORT + 1} .* is in use`));
  taken.kill('SIGKILL');
  t.same(namespaces(), [], 'a start that fails leaves nothing');
  t.match(await refused('dance'), /unknown command 'dance'/);
  t.match(await refused('link', '3', 'up'), /"3" is not a link\n {2}give 1 or 2/);
});
