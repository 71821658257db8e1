// The partitions of an appliance are devices, which the kernel gives to one user alone: who only looks at versions does so beside an update.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { UpdateStore } from '../../appliance/update/update-store.ts';
import { fatFileSystem } from '../../image/disk/fat.ts';
import { FileDisk } from '../unit/appliance/update/file-disk.ts';
import { bundle, ESP_BYTES, KEYS, version } from '../unit/appliance/update/machine.ts';

const run = promisify(execFile);
const SLOT_BYTES = 8 << 20;
const PIECE_BYTES = 1 << 16;
const OLD = version('1.0.0', 1 << 20, 1 << 18);
const NEW = version('1.1.0', 2 << 20, 1 << 18);

t.test('looked at in the middle of an update, by others too', { skip: process.getuid?.() === 0 ? false : 'needs root' }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'twinstep-update-devices-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const device = async (name: string, bytes: number, pieces: Parameters<typeof FileDisk.make>[2]) => {
    FileDisk.make(join(folder, name), bytes, pieces);
    const path = (await run('losetup', ['--find', '--show', join(folder, name)])).stdout.trim();
    t.teardown(() => run('losetup', ['--detach', path]));
    return { path, bytes };
  };
  const program = [{ path: 'EFI/Linux/twinstep_1.0.0.efi', data: OLD.program }];
  const place = {
    version: '1.0.0',
    slot: 'a' as const,
    slots: {
      a: await device('a', SLOT_BYTES, [{ offset: 0, data: OLD.slot }]),
      b: await device('b', SLOT_BYTES, []),
    },
    esp: await device('esp', ESP_BYTES, fatFileSystem(program, ESP_BYTES, { volumeId: 1, label: 'TWINSTEP' })),
    keys: [KEYS.publicKey],
    recordFile: join(folder, 'update.json'),
    lockFile: join(folder, 'lock'),
  };
  const [store, console] = [new UpdateStore(place), new UpdateStore(place)];
  const update = bundle(NEW);
  let looks = 0;
  async function* arriving() {
    for (let at = 0; at < update.length; at += PIECE_BYTES) {
      yield update.subarray(at, at + PIECE_BYTES);
      if (at < update.length / 2) continue;
      t.match(await console.status(), { version: '1.0.0', received: null, next: '1.0.0' });
      t.match(await store.versions(), { version: '1.0.0', received: null });
      looks++;
    }
  }
  await store.receive(arriving());
  t.ok(looks > 3);
  t.equal(await store.activate(), '1.1.0');
  t.match(await console.status(), { next: '1.1.0' });
});
