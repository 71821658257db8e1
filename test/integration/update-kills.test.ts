// A server whose power fails at random moments of an update: the installing process is killed, and of what it had not flushed a random part is
// lost (hwqual/lab/power-loss.ts). Each time the server must start with what the loader takes first, whole, and take the update afterwards.
import { spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { applyPowerLoss, seededDice } from '../../hwqual/lab/power-loss.ts';
import { volatileCacheEnvironment, volatileCacheLibrary } from '../../hwqual/lab/volatile-cache.ts';
import { fatFileSystem } from '../../image/disk/fat.ts';
import { FileDisk } from '../unit/appliance/update/file-disk.ts';
import { bundle, ESP_BYTES, KEYS, Machine, version } from '../unit/appliance/update/machine.ts';

const KILLS = Number(process.env.TWINSTEP_UPDATE_KILLS ?? 20);
const SLOT_BYTES = 8 << 20;
/** After the last byte came: the tables and the names are written then. */
const END_MS = 400;
const OLD = version('1.0.0', 5 << 20, 1 << 20);
const BEFORE = version('0.9.0', 4 << 20, 1 << 20);
const NEW = version('1.1.0', 6 << 20, 2 << 20);
const SCRIPT = join(import.meta.dirname, 'update-installer.ts');

t.setTimeout(600_000);

t.test(`killed ${KILLS} times in the middle of an update`, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-update-kills-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const library = await volatileCacheLibrary(join(folder, 'library'));
  const [disks, fresh, undo] = ['disks', 'fresh', 'undo'].map((name) => join(folder, name)) as [string, string, string];
  for (const path of [disks, fresh, undo]) mkdirSync(path);
  const update = join(folder, 'twinstep-1.1.0.update');
  writeFileSync(update, bundle(NEW));
  const programs = [OLD, BEFORE].map((v) => ({ path: `EFI/Linux/twinstep_${v.version}.efi`, data: v.program }));
  const pieces = fatFileSystem(programs, ESP_BYTES, { volumeId: 1, label: 'TWINSTEP' });
  FileDisk.make(join(fresh, 'esp'), ESP_BYTES, pieces);
  FileDisk.make(join(fresh, 'a'), SLOT_BYTES, [{ offset: 0, data: OLD.slot }]);
  FileDisk.make(join(fresh, 'b'), SLOT_BYTES, [{ offset: 0, data: BEFORE.slot }]);

  const device = (name: string, bytes: number) => ({ path: join(disks, name), bytes });
  const place = {
    version: '1.0.0',
    slot: 'a',
    slots: { a: device('a', SLOT_BYTES), b: device('b', SLOT_BYTES) },
    esp: device('esp', ESP_BYTES),
    key: KEYS.publicKey.export({ type: 'spki', format: 'pem' }),
    recordFile: join(folder, 'update.json'),
    lockFile: join(folder, 'lock'),
  };
  /** Killed when so much of the update came, and some time later. Answers whether it ended before. */
  const install = (kill: { percent: number; ms: number } | null): Promise<boolean> =>
    new Promise((resolve, reject) => {
      const child = spawn(process.execPath, ['--no-warnings', SCRIPT, JSON.stringify(place), update], {
        env: { ...process.env, ...volatileCacheEnvironment(library, [disks], undo) },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let said = '';
      let isDue = kill !== null;
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        said += text;
        const percent = Number(/(\d+) %\n(?!.* %\n)/s.exec(said)?.[1] ?? 0);
        if (kill === null || !isDue || percent < kill.percent) return;
        isDue = false;
        setTimeout(() => child.kill('SIGKILL'), kill.ms);
      });
      child.once('error', reject);
      child.once('close', (code, signal) => {
        if (said.includes('end')) resolve(true);
        else if (signal === 'SIGKILL') resolve(false);
        else reject(new Error(`the installer ended with ${code ?? signal}`));
      });
    });
  const restore = () => {
    for (const name of ['esp', 'a', 'b']) copyFileSync(join(fresh, name), join(disks, name));
  };
  const machine = () => {
    const disk = (name: string, bytes: number) => new FileDisk(join(disks, name), bytes);
    const slots = { a: disk('a', SLOT_BYTES), b: disk('b', SLOT_BYTES) };
    return new Machine({ esp: disk('esp', ESP_BYTES), slots, running: { version: '1.0.0', slot: 'a' }, folder });
  };

  restore();
  t.ok(await install(null), 'undisturbed it ends');
  applyPowerLoss(undo, [disks], 1);
  t.equal(await machine().start(), 1);
  const seed = Number(process.env.TWINSTEP_SEED ?? Date.now() % 1_000_000);
  t.comment(`TWINSTEP_SEED=${seed}`);
  const dice = seededDice(seed);
  const ends: Record<string, number> = {};
  let lostSectors = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    restore();
    // A third of them in the short time in which names change.
    const percent = Math.min(100, dice(150));
    const ended = await install({ percent, ms: dice(percent === 100 ? END_MS : 5) });
    for (const loss of applyPowerLoss(undo, [disks], seed + kill)) lostSectors += loss.lostSectors;
    const m = machine();
    t.equal(await m.start(), 1, `kill ${kill}: the first that the loader takes is whole`);
    const { version: runs } = m.running;
    t.not(runs, '0.9.0', 'never the version before the running one');
    if (ended) t.equal(runs, '1.1.0', 'what was said to be installed is');
    const how = ended ? 'ended before the kill' : `killed, ${runs} runs`;
    ends[how] = (ends[how] ?? 0) + 1;
    if (runs === '1.0.0') {
      await install(null);
      applyPowerLoss(undo, [disks], seed + kill);
      const again = machine();
      t.equal(await again.start(), 1);
      t.equal(again.running.version, '1.1.0', 'the update can be done again');
    }
  }
  t.comment(`${KILLS} kills: ${JSON.stringify(ends)}; ${lostSectors} sectors of 4 KiB were lost`);
});
