// The volatile write cache under a real process: whatever was flushed survives the kill, what was not sometimes does not.
// A child makes seeded random changes and is killed; a model in memory knows every state each sector may have gone back to.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { applyPowerLoss, seededDice } from '../../hwqual/lab/power-loss.ts';
import { volatileCacheEnvironment, volatileCacheLibrary } from '../../hwqual/lab/volatile-cache.ts';

const SECTOR = 4096;
type Step =
  | { do: 'write' | 'writev' | 'append'; offset: number; length: number; byte: number }
  | { do: 'truncate'; size: number }
  | { do: 'sync' | 'dsync'; offset: number; length: number; byte: number };

function steps(seed: number, count: number): Step[] {
  const dice = seededDice(seed);
  return Array.from({ length: count }, (): Step => {
    const length = 1 + dice(3 * SECTOR);
    const offset = dice(12 * SECTOR);
    const byte = 1 + dice(255);
    const kind = dice(12);
    if (kind < 6) return { do: 'write', offset, length, byte };
    if (kind < 8) return { do: 'writev', offset, length, byte };
    if (kind < 9) return { do: 'append', offset: 0, length, byte };
    if (kind < 10) return { do: 'truncate', size: dice(14 * SECTOR) };
    return { do: kind < 11 ? 'sync' : 'dsync', offset, length, byte };
  });
}

/** Runs in the child: makes the steps, says how far it came, then waits to be killed. */
const CHILD = `
import { open, readFile } from 'node:fs/promises';
import { constants as c } from 'node:fs';
const [path, stepsPath] = process.argv.slice(2);
const steps = JSON.parse(await readFile(stepsPath, 'utf8'));
const f = await open(path, 'r+');
const appended = await open(path, 'a');
const durable = await open(path, c.O_RDWR | c.O_DSYNC);
for (const s of steps) {
  const bytes = s.length ? Buffer.alloc(s.length, s.byte) : null;
  if (s.do === 'write') await f.write(bytes, 0, s.length, s.offset);
  else if (s.do === 'writev') await f.writev([bytes.subarray(0, 1), bytes.subarray(1)], s.offset);
  else if (s.do === 'append') await appended.write(bytes);
  else if (s.do === 'truncate') await f.truncate(s.size);
  else if (s.do === 'dsync') await durable.write(bytes, 0, s.length, s.offset);
  else await (s.byte % 2 ? f.sync() : f.datasync());
}
process.stdout.write('done\\n');
setInterval(() => {}, 1000);
`;

/** The states a file may be found in: per sector every content since it was last durable, every size likewise. */
class Model {
  content: Buffer;
  sizes: number[];
  sectors = new Map<number, Set<string>>();
  constructor(content: Buffer) {
    this.content = content;
    this.sizes = [content.length];
  }
  sector(s: number): string {
    const bytes = Buffer.alloc(SECTOR);
    bytes.set(this.content.subarray(s * SECTOR, (s + 1) * SECTOR));
    return bytes.toString('latin1');
  }
  states(s: number): Set<string> {
    const known = this.sectors.get(s) ?? new Set([this.sector(s)]);
    this.sectors.set(s, known);
    return known;
  }
  write(offset: number, length: number, byte: number): void {
    const last = Math.floor((offset + length - 1) / SECTOR);
    for (let s = Math.floor(offset / SECTOR); s <= last; s++) this.states(s);
    if (offset + length > this.content.length) {
      const grown = Buffer.alloc(offset + length);
      this.content.copy(grown);
      this.content = grown;
      this.sizes.push(grown.length);
    }
    this.content.fill(byte, offset, offset + length);
    for (let s = Math.floor(offset / SECTOR); s <= last; s++) this.states(s).add(this.sector(s));
  }
  truncate(size: number): void {
    for (let s = 0; s * SECTOR < Math.max(size, this.content.length); s++) this.states(s);
    const next = Buffer.alloc(size);
    this.content.copy(next);
    this.content = next;
    this.sizes.push(size);
    for (const [s, known] of this.sectors) known.add(this.sector(s));
  }
  sync(): void {
    this.sectors.clear();
    this.sizes = [this.content.length];
  }
  dsync(offset: number, length: number, byte: number): void {
    this.write(offset, length, byte);
    const last = Math.floor((offset + length - 1) / SECTOR);
    for (let s = Math.floor(offset / SECTOR); s <= last; s++) this.sectors.delete(s);
    this.sizes = [this.content.length];
  }
}

t.test('killed at random places', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'volatile-cache-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const disks = join(directory, 'disks');
  const undo = join(directory, 'undo');
  mkdirSync(disks);
  mkdirSync(undo);
  const library = await volatileCacheLibrary(directory);
  writeFileSync(join(directory, 'child.mjs'), CHILD);
  const path = join(disks, 'disk');
  let sectorsLost = 0;
  let sectorsKept = 0;
  for (let seed = 1; seed <= 25; seed++) {
    const initial = Buffer.alloc(6 * SECTOR + 77, 0xee);
    rmSync(path, { force: true });
    writeFileSync(path, initial);
    const made = steps(seed, 10 + seed);
    writeFileSync(join(directory, 'steps.json'), JSON.stringify(made));
    const child = spawn(process.execPath, [join(directory, 'child.mjs'), path, join(directory, 'steps.json')], {
      env: { ...process.env, ...volatileCacheEnvironment(library, [disks], undo) },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise<void>((resolve, reject) => {
      child.stdout.once('data', () => resolve());
      child.once('exit', (code) => reject(new Error(`the child ended with ${code} before it was killed`)));
    });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;

    const model = new Model(initial);
    for (const s of made) {
      if (s.do === 'write' || s.do === 'writev') model.write(s.offset, s.length, s.byte);
      else if (s.do === 'append') model.write(model.content.length, s.length, s.byte);
      else if (s.do === 'truncate') model.truncate(s.size);
      else if (s.do === 'sync') model.sync();
      else model.dsync(s.offset, s.length, s.byte);
    }
    t.same(readFileSync(path), model.content, `seed ${seed}: the program itself sees all it wrote`);
    applyPowerLoss(undo, [disks], seed);
    t.same(readdirSync(undo), [], `seed ${seed}: the logs are gone`);
    const found = readFileSync(path);
    t.ok(model.sizes.includes(found.length), `seed ${seed}: size ${found.length} is one of ${model.sizes}`);
    for (let s = 0; s * SECTOR < found.length; s++) {
      const length = Math.min(SECTOR, found.length - s * SECTOR);
      const bytes = found.subarray(s * SECTOR, s * SECTOR + length).toString('latin1');
      const allowed = [...(model.sectors.get(s) ?? [model.sector(s)])].map((a) => a.slice(0, length));
      if (!allowed.includes(bytes)) t.fail(`seed ${seed}: sector ${s} is in a state it never had or that was flushed over`);
      if (bytes === model.sector(s).slice(0, length)) sectorsKept++;
      else sectorsLost++;
    }
  }
  t.ok(sectorsLost > 50, `${sectorsLost} sectors lost`);
  t.ok(sectorsKept > 50, `${sectorsKept} sectors kept`);
});

t.test('a log outlives a restart of the process, O_TRUNC and rewriting are covered', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'volatile-cache-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const disks = join(directory, 'disks');
  const undo = join(directory, 'undo');
  mkdirSync(disks);
  mkdirSync(undo);
  const library = await volatileCacheLibrary(directory);
  const path = join(disks, 'record');
  const outside = join(directory, 'outside');
  const outcomes = new Set<string>();
  const node = async (script: string) => {
    const child = spawn(process.execPath, ['-e', script], {
      env: { ...process.env, ...volatileCacheEnvironment(library, [disks], undo) },
      stdio: 'inherit',
    });
    t.equal(await new Promise((resolve) => child.once('exit', resolve)), 0);
  };
  for (let seed = 1; seed <= 12; seed++) {
    writeFileSync(path, 'old');
    await node(`fs.writeFileSync(${JSON.stringify(path)}, 'new'); fs.writeFileSync(${JSON.stringify(outside)}, 'x')`);
    await node(`const fd = fs.openSync(${JSON.stringify(path)}, 'r+'); fs.writeSync(fd, 'N', 0)`);
    t.equal(readFileSync(path, 'utf8'), 'New');
    applyPowerLoss(undo, [disks], seed);
    outcomes.add(readFileSync(path, 'utf8'));
  }
  t.ok(outcomes.has('old'), 'all of it lost');
  t.ok(
    [...outcomes].some((o) => o !== 'old'),
    'some of it kept',
  );
  t.notOk(
    [...outcomes].some((o) => !['old', 'new', 'New', '', '\0\0\0'].includes(o)),
    `only states it had: ${[...outcomes].map((o) => JSON.stringify(o))}`,
  );
  await node(`fs.writeFileSync(${JSON.stringify(path)}, 'flushed', { flush: true })`);
  applyPowerLoss(undo, [disks], 1);
  t.equal(readFileSync(path, 'utf8'), 'flushed');
  t.ok(existsSync(outside));
});
