import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { UpdateRefusal } from '../../../../appliance/update/bundle.ts';
import { runUpdate } from '../../../../appliance/update/command.ts';
import { findPlace } from '../../../../appliance/update/place.ts';
import { readPublicKey } from '../../../../image/sign/keys.ts';
import { bundle, folderFor, KEYS, Machine, stream, version } from './machine.ts';

const OLD = version('1.0.0');
const NEW = version('1.1.0');

function desk(m: Machine, stdin: Buffer = Buffer.alloc(0)) {
  const said = { out: '', err: '', restarts: 0 };
  const say = (where: 'out' | 'err', text: string) => {
    said[where] += text;
  };
  const io = {
    stdin: stream(stdin),
    stdout: { write: (text: string) => say('out', text) },
    stderr: { write: (text: string) => say('err', text) },
  };
  const restart = () => {
    said.restarts += 1;
  };
  const doors = { place: () => m.place, store: () => m.store(), restart };
  const run = (...argv: string[]) => runUpdate([...argv, '--socket', join(m.folder, 'none.sock')], io, doors);
  return { said, run };
}

t.test('install, status, rollback, restart, as they are typed', async (t) => {
  const m = Machine.make([OLD], folderFor(t));
  const file = join(m.folder, 'twinstep-1.1.0.update');
  writeFileSync(file, bundle(NEW));
  const { said, run } = desk(m);
  t.equal(await run('status'), 0);
  t.equal(said.out, 'Running    1.0.0, slot a\nOther slot no version that could be started\nNext start 1.0.0\n');
  said.out = '';
  t.equal(await run('install', file), 0);
  t.equal(said.out, '18 % written\n100 % written\nVersion 1.1.0 is installed: it is tried at the next start of this server.\n');
  t.equal(said.restarts, 0);
  await m.start();
  said.out = '';
  t.equal(await run('status'), 0);
  t.match(said.out, /Running {4}1\.1\.0, slot b, on trial: not found healthy yet, 2 more starts before/);
  t.equal(await run('install', file), 1);
  t.match(said.err, /twinstep update: Version 1\.1\.0 runs here already/);
  t.equal(await run('rollback', '--restart'), 0);
  t.equal(said.restarts, 1);
  said.out = '';
  t.equal(await run('status', '--json'), 0);
  t.match(JSON.parse(said.out), { version: '1.1.0', next: '1.0.0' });
  t.equal(await run('restart'), 0);
  t.equal(said.restarts, 2);
});

t.test('from standard input; a file that is not there; wrong words', async (t) => {
  const m = Machine.make([OLD], folderFor(t));
  t.equal(await desk(m, bundle(NEW)).run('install', '-'), 0);
  const { said, run } = desk(m);
  t.equal(await run('install', join(m.folder, 'none')), 1);
  t.match(said.err, /ENOENT/);
  t.equal(await run('explode'), 2);
  t.equal(await run('install'), 2);
  const complaints: string[] = [];
  const nowhere = { place: () => findPlace(m.folder), store: () => m.store(), restart: () => {} };
  const io = { stdin: stream(Buffer.alloc(0)), stdout: { write: () => {} }, stderr: { write: (text: string) => complaints.push(text) } };
  t.equal(await runUpdate(['status'], io, nowhere), 3);
  t.match(complaints.join(''), /no appliance that was started from its image/);
});

t.test('where everything is: partitions by their names on the disk that runs, and the keys of the image', async (t) => {
  const root = folderFor(t);
  const put = (path: string, text: string) => {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  put('run/twinstep/slot', 'b nvme0n1p3 nvme0n1 1.2.3\n');
  // A stick with an image is plugged in, too.
  for (const [disk, p] of [
    ['sda', 'sda'],
    ['nvme0n1', 'nvme0n1p'],
  ])
    for (const [i, name] of ['twinstep-esp', 'twinstep-a', 'twinstep-b', 'twinstep-state'].entries()) {
      put(`sys/block/${disk}/${p}${i + 1}/uevent`, `MAJOR=1\nPARTNAME=${name}\n`);
      put(`sys/block/${disk}/${p}${i + 1}/size`, '2048\n');
    }
  const pem = KEYS.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  put('usr/lib/twinstep/update-keys/one.pem', pem);
  put('usr/lib/twinstep/update-keys/broken.pem', 'x');
  put('usr/lib/twinstep/update-keys/readme', 'x');
  const place = findPlace(root);
  t.match(place, {
    version: '1.2.3',
    slot: 'b',
    esp: { path: join(root, 'dev/nvme0n1p1'), bytes: 1 << 20 },
    slots: { a: { path: join(root, 'dev/nvme0n1p2') }, b: { path: join(root, 'dev/nvme0n1p3') } },
  });
  t.equal(place.keys.length, 1);
  t.equal(readPublicKey(join(root, 'usr/lib/twinstep/update-keys/one.pem')), pem);
  put('sys/block/nvme0n1/nvme0n1p1/uevent', 'PARTNAME=other\n');
  t.throws(() => findPlace(root), { kind: 'disk', message: /nvme0n1 has no partition twinstep-esp/ });
  put('run/twinstep/slot', 'c');
  t.throws(() => findPlace(root), UpdateRefusal);
});
