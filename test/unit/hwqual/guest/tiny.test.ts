// The tiny guest from outside: its disk read, its answers asked for again; and the guest itself, started by the engine.
import { spawn } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { buildTinyGuest, TINY_MEMORY_MIB, tinyAppend } from '../../../../hwqual/lab/guest/tiny/build.ts';
import { TinyClient } from '../../../../hwqual/lab/guest/tiny/client.ts';
import { createTinyDisk, readTinyDisk } from '../../../../hwqual/lab/guest/tiny/disk.ts';
import { engineProgram } from '../../../../hwqual/lab/network.ts';
import { engineRootPath } from '../../../../image/engine/engine-root.ts';

t.setTimeout(180_000);
const folder = mkdtempSync(join(tmpdir(), 'tiny-'));
t.teardown(() => rmSync(folder, { recursive: true }));

function sectors(...texts: [number, string][]): Buffer {
  const disk = Buffer.alloc(64 * 512);
  for (const [sector, text] of texts) disk.write(text, sector * 512, 'latin1');
  return disk;
}

t.test('the disk, read without the guest', async (t) => {
  const path = join(folder, 'read');
  await createTinyDisk(path, 1);
  t.same(await readTinyDisk(path), { starts: null, beats: 0, records: [] }, 'as it is made');
  await t.rejects(createTinyDisk(path, 1), { code: 'EEXIST' });
  writeFileSync(path, sectors([0, 'TINY 3\n'], [1, 'BEAT 17\n'], [8, 'R 5\n'], [9, 'R 999999999\n']));
  t.same(await readTinyDisk(path), { starts: 3, beats: 17, records: [5, 999_999_999] });
  writeFileSync(path, sectors([0, 'TINY 3\n'], [8, 'R 5\n'], [9, 'R 6']));
  await t.rejects(readTinyDisk(path), /read at 4608: "R <number>" is expected, it holds "R 6"/);
  writeFileSync(path, sectors([0, 'BEAT 3\n']));
  await t.rejects(readTinyDisk(path), /"TINY <number>" is expected/);
});

t.test('a question is asked until it is answered, and what answers another one is no answer', async (t) => {
  const guest = dgram.createSocket('udp4');
  guest.bind(0, '127.0.0.1');
  await once(guest, 'listening');
  t.teardown(() => guest.close());
  const asked: string[] = [];
  guest.on('message', (bytes, from) => {
    asked.push(bytes.toString());
    const say = (text: string) => guest.send(text, from.port, from.address);
    if (bytes.toString() === 'append 13') say('error the disk refuses');
    // The first time it is lost, the second time a late answer comes before the right one.
    else if (asked.length > 1) {
      say('ok 6');
      say(bytes.toString() === 'status' ? 'starts 2 records 7 last 8 up 900' : 'ok 7');
    }
  });
  const client = new TinyClient('127.0.0.1', guest.address().port);
  await client.append(7, 60_000);
  t.same(asked, ['append 7', 'append 7']);
  t.same(await client.status(60_000), { starts: 2, records: 7, last: 8, upMs: 900 });
  await t.rejects(client.append(13, 60_000), /answers "error the disk refuses" to "append 13"/);
  guest.removeAllListeners('message');
  await t.rejects(client.status(50), /does not answer "status" within 50 ms/);
});

const root = engineRootPath();
const skip = existsSync(join(root, 'usr/bin')) ? false : 'the engine is not set up here';

t.test('the engine starts it: ready, starts and beats on its disk', { skip }, async (t) => {
  const guest = await buildTinyGuest({ out: folder });
  t.equal((await buildTinyGuest({ out: folder, beatMs: 50 })).kernel, guest.kernel, 'found built');
  const disk = join(folder, 'disk');
  await createTinyDisk(disk, 1);
  const firmware = ['usr/share/qemu', 'usr/share/seabios'].flatMap((f) => ['-L', join(root, f)]);
  for (const start of [1, 2]) {
    const [program, before] = engineProgram(root, 'usr/bin/qemu-system-x86_64');
    const args = [
      ...[...firmware, '-machine', 'pc-i440fx-11.1', '-accel', 'tcg', '-cpu', 'qemu64', '-m', String(TINY_MEMORY_MIB), '-nodefaults'],
      ...['-display', 'none', '-no-reboot', '-kernel', guest.kernel, '-initrd', guest.initrd, '-append', tinyAppend({ beatMs: 10 })],
      ...['-serial', 'stdio', '-netdev', 'hubport,id=n,hubid=0', '-device', 'virtio-net-pci,netdev=n,romfile='],
      ...['-blockdev', `driver=file,node-name=d,filename=${disk}`, '-device', 'virtio-blk-pci,drive=d'],
    ];
    const engine = spawn(program, [...before, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    t.teardown(() => engine.kill('SIGKILL'));
    let said = '';
    for await (const bytes of engine.stdout) {
      said += bytes;
      if (said.includes('GUEST READY')) break;
    }
    t.match(said, /GUEST READY/);
    while ((await readTinyDisk(disk)).beats < 3 * start) await new Promise((resolve) => setTimeout(resolve, 5));
    engine.kill('SIGKILL');
    await once(engine, 'exit');
    t.equal((await readTinyDisk(disk)).starts, start);
  }
});
