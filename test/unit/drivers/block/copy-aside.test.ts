import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { copyAside } from '../../../../drivers/block/index.ts';

const MIB = 1048576;
const running = new AbortController().signal;

function makeFolder(t: { teardown(f: () => void): void }) {
  const folder = mkdtempSync(join(tmpdir(), 'aside-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** 8 MiB: data, a hole, and data that ends on no even byte. */
function makeDisk(folder: string): string {
  const path = join(folder, 'disk0');
  const bytes = Buffer.alloc(8 * MIB - 123);
  bytes.fill('history', 0, 100_000);
  bytes.fill('more', 7 * MIB);
  writeFileSync(path, bytes, { mode: 0o644 });
  return path;
}

t.test('the copy is equal, sparse, private, and the original is as it was', async (t) => {
  const folder = makeFolder(t);
  const from = makeDisk(folder);
  const to = join(folder, 'disk0.generation-7');
  const before = readFileSync(from);
  const told: number[] = [];
  const { how, bytes } = await copyAside({ from, to, deviceBytes: 0, signal: running, progress: (done) => told.push(done) });
  t.equal(bytes, before.length);
  t.ok(before.equals(readFileSync(to)));
  t.ok(before.equals(readFileSync(from)));
  t.equal(statSync(to).mode & 0o777, 0o600);
  t.same(readdirSync(folder).sort(), ['disk0', 'disk0.generation-7']);
  if (how === 'copied') {
    t.equal(told.at(-1), bytes);
    t.ok(statSync(to).blocks * 512 < 3 * MIB, 'zeroes became holes');
  }
});

t.test('what has the name already is never replaced: a whole copy is one, anything else is named', async (t) => {
  const folder = makeFolder(t);
  const from = makeDisk(folder);
  const to = join(folder, 'disk0.generation-7');
  const order = { from, to, deviceBytes: 0, signal: running, progress: () => undefined };
  await copyAside(order);
  writeFileSync(from, 'x', { flag: 'r+' });
  t.equal((await copyAside(order)).how, 'there already');
  t.equal(readFileSync(to).toString('latin1', 0, 7), 'history', 'the first one stays');
  truncateSync(to, 5);
  await t.rejects(copyAside(order), /exists and is no copy of .* \(5 instead of 8388485 bytes\): move it away/);
  t.equal(statSync(to).size, 5);
});

t.test('an attempt that was cut short leaves nothing, and what a crash left is begun anew', async (t) => {
  const folder = makeFolder(t);
  const from = makeDisk(folder);
  const to = join(folder, 'disk0.generation-7');
  writeFileSync(`${to}.part`, 'torn');
  const cut = new AbortController();
  cut.abort(new Error('overtaken by events'));
  const order = { from, to, deviceBytes: 0, signal: cut.signal, progress: () => undefined };
  await t.rejects(copyAside(order), /overtaken/);
  t.same(readdirSync(folder), ['disk0']);
  writeFileSync(`${to}.part`, 'torn');
  await copyAside({ ...order, signal: running });
  t.ok(readFileSync(from).equals(readFileSync(to)));
  t.notOk(existsSync(`${to}.part`));
});

t.test('what cannot be read is named', async (t) => {
  const folder = makeFolder(t);
  const order = { from: join(folder, 'none'), to: join(folder, 'to'), deviceBytes: 0, signal: running, progress: () => undefined };
  await t.rejects(copyAside(order), { code: 'ENOENT' });
});

t.test(
  'a file system without room is refused before the first byte, by name',
  { skip: process.getuid?.() !== 0 && 'needs root' },
  async (t) => {
    const folder = makeFolder(t);
    const from = makeDisk(folder);
    const small = mkdtempSync(join(tmpdir(), 'aside-small-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', small]);
    t.teardown(() => {
      execFileSync('umount', [small]);
      rmSync(small, { recursive: true });
    });
    chmodSync(small, 0o700);
    const order = { from, to: join(small, 'copy'), deviceBytes: 0, signal: running, progress: () => undefined };
    await t.rejects(copyAside(order), /needs \d+ MB, and 269 MB must stay free: .* has 5 MB\. Free some space there/);
    t.same(readdirSync(small), []);
  },
);
