import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { checkEngine } from '../../../image/engine/build.ts';
import { engineRootId, engineRootPath } from '../../../image/engine/engine-root.ts';
import { parseLock } from '../../../image/engine/lock.ts';
import { probeAcceleration } from '../../../image/engine/probe.ts';
import { wantedPackages } from '../../../image/engine/refresh-lock.ts';

const directory = mkdtempSync(join(tmpdir(), 'su-engine-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));
const needsRoot = process.getuid?.() === 0 ? false : 'needs root: chroot and mounts';
const ENGINE = join(import.meta.dirname, '../../../image/engine');

t.test('the lock holds what is wanted, at the version that lockstep needs', async (t) => {
  const locked = new Map(parseLock(readFileSync(join(ENGINE, 'packages.lock'), 'utf8')).map((p) => [p.name, p]));
  for (const name of wantedPackages()) t.ok(locked.has(name), name);
  t.match(locked.get('qemu-system-x86')?.version, /^1:1[1-9]\.[1-9]/);
  t.match(engineRootId(), /^[0-9a-f]{12}$/);
  t.ok(engineRootPath().endsWith(`/engine-${engineRootId()}/root`));
});

t.test('a root without an engine is an error that says so', { skip: needsRoot }, async (t) => {
  const root = mkdtempSync(join(directory, 'empty-'));
  await t.rejects(checkEngine(root, '1:11.1.3+ds-1'), { message: /chroot ended with code 127.*\n.*qemu-system-x86_64/ });
});

const noEngine = needsRoot || (existsSync(engineRootPath()) ? false : 'needs the engine root: npm start makes it');

t.test('the engine must be what its package says, and new enough', { skip: noEngine }, async (t) => {
  const version = parseLock(readFileSync(join(ENGINE, 'packages.lock'), 'utf8')).find((p) => p.name === 'qemu-system-x86')?.version ?? '';
  await t.resolves(checkEngine(engineRootPath(), version));
  await t.rejects(checkEngine(engineRootPath(), '1:10.0.2+ds-2'), {
    message: /the engine says it is [\d.]+, but its package is 1:10\.0\.2/,
  });
});

t.test('acceleration: why not, in a sentence', async (t) => {
  const none = await probeAcceleration(directory, { device: join(directory, 'no-kvm'), cacheDirectory: directory });
  t.equal(none.acceleration, 'tcg');
  t.match(none.reason, /^software emulation: there is no usable .*no-kvm \(is virtualization enabled/);
});

t.test('acceleration: an engine that ends at once is not believed, nor remembered', { skip: needsRoot }, async (t) => {
  // Any file we may read and write stands for the device: the guest never gets that far.
  const device = join(directory, 'device');
  writeFileSync(device, '');
  const root = mkdtempSync(join(directory, 'empty-'));
  const answer = await probeAcceleration(root, { device, cacheDirectory: join(directory, 'run') });
  t.equal(answer.acceleration, 'tcg');
  t.match(answer.reason, /the trial guest ended too soon \(code \d+, ".+"\)$/);
  t.throws(() => readFileSync(join(directory, 'run')), 'nothing was kept');
});
