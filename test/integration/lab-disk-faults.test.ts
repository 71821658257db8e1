// A disk that fails below one file of a real process: each fault as the process sees it, and nothing of it at another file.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t from 'tap';
import { breakDisk, DISK_FAULTS_FILE, diskFaults, makeFaultFile, parseDiskAction, WELL } from '../../hwqual/lab/disk-faults.ts';
import { volatileCacheEnvironment, volatileCacheLibrary } from '../../hwqual/lab/volatile-cache.ts';

/** Does what each line says, and answers with a line: 'ok', or the error's code. */
const CHILD = `
import { open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
const files = [await open(process.argv[2], 'r+'), await open(process.argv[3], 'r+')];
const bytes = Buffer.alloc(4096, 7);
for await (const line of createInterface({ input: process.stdin })) {
  const [id, file, what, offset] = line.split(' ');
  const f = files[Number(file)];
  const done = what === 'read' ? f.read(bytes, 0, 4096, Number(offset)) : what === 'write' ? f.write(bytes, 0, 4096, Number(offset))
    : what === 'writev' ? f.writev([bytes, bytes], Number(offset)) : f.datasync();
  done.then(() => 'ok', (e) => e.code).then((said) => process.stdout.write(id + ' ' + said + '\\n'));
}
`;

t.test('the disk below one file', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'disk-faults-'));
  const [disks, undo] = [join(directory, 'disks'), join(directory, 'undo')];
  mkdirSync(disks);
  mkdirSync(undo);
  const [disk, other, control] = [join(disks, 'disk0'), join(disks, 'other'), join(undo, DISK_FAULTS_FILE)];
  for (const path of [disk, other]) writeFileSync(path, Buffer.alloc(1 << 20, 1));
  makeFaultFile(control);
  const library = await volatileCacheLibrary(join(directory, 'cache'));
  writeFileSync(join(directory, 'child.mjs'), CHILD);
  const child = spawn(process.execPath, [join(directory, 'child.mjs'), disk, other], {
    env: volatileCacheEnvironment(library, [disks], undo),
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.teardown(async () => {
    child.kill('SIGKILL');
    await once(child, 'exit');
    rmSync(directory, { recursive: true });
  });
  const waiting = new Map<string, (said: string) => void>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    const [id = '', said = ''] = line.split(' ');
    waiting.get(id)?.(said);
  });
  let next = 0;
  const ask = (file: 0 | 1, what: 'read' | 'write' | 'writev' | 'flush', offset = 0): Promise<string> => {
    const id = String(next++);
    const answer = new Promise<string>((resolve) => waiting.set(id, resolve));
    child.stdin.write(`${id} ${file} ${what} ${offset}\n`);
    return answer;
  };
  const all = async (file: 0 | 1): Promise<string[]> => [
    await ask(file, 'read', 8192),
    await ask(file, 'write', 8192),
    await ask(file, 'writev', 8192),
    await ask(file, 'flush'),
  ];
  const act = (...words: string[]) => breakDisk(control, disk, parseDiskAction(words), [other]);
  const well = ['ok', 'ok', 'ok', 'ok'];

  t.same(await all(0), well, 'a whole disk');
  act('write-error');
  t.same(await all(0), ['ok', 'EIO', 'EIO', 'ok'], 'write-error');
  t.same(await all(1), well, 'another file does not feel it');
  act('ok');
  act('flush-error');
  t.same(await all(0), ['ok', 'ok', 'ok', 'EIO'], 'flush-error');
  act('ok');
  act('full');
  t.same(await all(0), ['ok', 'ENOSPC', 'ENOSPC', 'ok'], 'full');
  t.equal(diskFaults(control), 'has no space left');
  act('ok');

  act('read-error', '65536', '12288');
  t.equal(await ask(0, 'read', 61440), 'ok', 'beside the range');
  t.same([await ask(0, 'read', 65536), await ask(0, 'read', 73728)], ['EIO', 'EIO'], 'its first and last block');
  t.equal(await ask(0, 'write', 69632), 'ok');
  t.equal(await ask(0, 'read', 69632), 'ok', 'what was written can be read again');
  t.same([await ask(0, 'read', 65536), await ask(0, 'read', 73728)], ['EIO', 'EIO'], 'the blocks beside it still cannot');
  act('ok');

  act('hang');
  const hung = [ask(0, 'read'), ask(0, 'write'), ask(0, 'flush')];
  t.same(await all(1), well, 'another file is served meanwhile');
  t.equal(await Promise.race([...hung, ask(1, 'read')]), 'ok');
  act('ok');
  t.same(await Promise.all(hung), ['ok', 'ok', 'ok'], 'when it ends the requests are done');

  act('hang', 'files');
  t.equal(diskFaults(control), 'below the files beside it: does not answer');
  const beside = ask(1, 'write');
  t.same(await all(0), well, 'the disk is served meanwhile');
  const first = await Promise.race([beside.then(() => 'beside'), ask(0, 'read')]);
  t.equal(first, 'ok', 'those beside it are not');
  act('ok');
  t.equal(await beside, 'ok');
  act('flush-error', 'files');
  t.same([await all(0), await all(1)], [well, ['ok', 'ok', 'ok', 'EIO']]);
  act('ok');

  act('slow', '1');
  t.same(await all(0), well, 'slow, and well');
  t.equal(diskFaults(control), 'takes 1 ms longer');
  act('ok');
  t.equal(diskFaults(control), WELL);

  const before = readFileSync(disk);
  t.match(act('rot', '4096', '4096'), /^8 bits/);
  const fd = openSync(disk, 'r');
  const rotten = Buffer.alloc(4096);
  readSync(fd, rotten, 0, 4096, 4096);
  closeSync(fd);
  t.equal(
    rotten.reduce((n, byte, i) => n + (byte === before[4096 + i] ? 0 : 1), 0),
    8,
  );

  act('write-error');
  rmSync(disk);
  writeFileSync(disk, Buffer.alloc(1 << 20, 2));
  t.match(
    breakDisk(control, disk, { kind: 'slow', ms: 5 }),
    /^takes 5 ms longer$/,
    "a new disk in the broken one's place has none of its faults",
  );
});

t.test('words that no disk understands', async (t) => {
  t.throws(() => parseDiskAction([]), /nothing that a disk can do/);
  t.throws(() => parseDiskAction(['burn']), /"burn" is nothing that a disk can do/);
  t.throws(() => parseDiskAction(['read-error']), /no offset in bytes/);
  t.throws(() => parseDiskAction(['slow', '0']), /"0" is no number of milliseconds/);
  t.throws(() => parseDiskAction(['hang', '1']), /too much/);
  t.throws(() => parseDiskAction(['ok', 'files']), /too much/);
  t.same(parseDiskAction(['hang', 'files']), { kind: 'hang', files: true });
  t.same(parseDiskAction(['rot', '8192']), { kind: 'rot', offset: 8192, length: 4096 });
});
