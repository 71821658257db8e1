// The whole of `twinstep install` on a file instead of a disk: what is asked, what is written, what is read back.
import { closeSync, mkdirSync, openSync, readSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import t, { type Test } from 'tap';
import { writeDisk as writeImage } from '../../../../image/disk/disk-image.ts';
import { decodeGpt, encodeGpt } from '../../../../image/disk/gpt.ts';
import { diskLayout } from '../../../../image/disk/layout.ts';
import { hashTree } from '../../../../image/disk/verity.ts';
import { install } from '../../../../image/installer/command.ts';
import type { DiskFacts } from '../../../../image/installer/disk-choice.ts';
import { contentOfHead } from '../../../../image/installer/disk-facts.ts';
import { writeDisk } from '../../../../image/installer/disk-writer.ts';
import { installPlan } from '../../../../image/installer/install-plan.ts';
import { installWords, MIB, mediumLayout } from '../../../../image/installer/medium-layout.ts';

const DISK_BYTES = 4096 * MIB;
const DATA = Buffer.alloc(3 * MIB, 'the appliance');
const { rootHash, dataBlocks, tree } = hashTree(DATA, 'ab');
const SLOT = Buffer.concat([DATA, tree]);
const VERITY = { rootHash, dataBlocks, salt: 'ab' };
const FILES = [
  { path: 'EFI/BOOT/BOOTX64.EFI', data: Buffer.alloc(3000, 1) },
  { path: 'EFI/Linux/twinstep_1.2.3.efi', data: Buffer.alloc(MIB, 2) },
];
const { esp, slots, diskId } = diskLayout();

/** A sparse file with a past: every place where something is written, and more, has other bytes. */
function usedDisk(t: Test): string {
  const path = join(t.testdir(), 'disk');
  writeFileSync(path, Buffer.alloc(40 * MIB, 0xaa));
  truncateSync(path, DISK_BYTES);
  const fd = openSync(path, 'r+');
  for (const sector of [slots.a.firstSector, slots.b.firstSector, slots.b.firstSector + slots.b.sectors])
    writeSync(fd, Buffer.alloc(8 * MIB, 0xbb), 0, 8 * MIB, sector * 512);
  return path;
}

function range(path: string, offset: number, bytes: number): Buffer {
  const data = Buffer.alloc(bytes);
  const fd = openSync(path, 'r');
  try {
    readSync(fd, data, 0, bytes, offset);
  } finally {
    closeSync(fd);
  }
  return data;
}

// File systems are made and copied, on a machine that may have other work.
t.setTimeout(120_000);

t.test("erased: the disk is what the image is, but for its table's size; what is behind the slots is nobody's", async (t) => {
  const path = usedDisk(t);
  const plan = installPlan({ diskBytes: DISK_BYTES, keep: false, slot: SLOT, files: FILES });
  const seen: string[] = [];
  await writeDisk(path, plan, VERITY, { progress: (phase, done, total) => seen.push(`${phase} ${done === total}`) });
  const image = join(t.testdirName, 'image');
  writeImage(image, { files: FILES, slots: { a: SLOT } });
  const espAt = esp.firstSector * 512;
  const ends = plan.pieces
    .filter(({ offset }) => offset >= espAt && offset < plan.slotOffset)
    .map(({ offset, data }) => offset + data.length);
  const espBytes = Math.max(...ends) - espAt;
  t.ok(espBytes > 2 * MIB, 'file allocation tables and files');
  t.ok(range(path, espAt, espBytes).equals(range(image, espAt, espBytes)), 'also where the image has nothing');
  t.ok(range(path, slots.a.firstSector * 512, SLOT.length).equals(SLOT));
  const { partitions } = decodeGpt(range(path, 0, MIB));
  t.strictSame(partitions, [esp, slots.a, slots.b], 'no state: the first boot makes it');
  const { front, back } = encodeGpt(partitions, diskId, DISK_BYTES / 512);
  t.ok(
    range(path, 0, front.length).equals(front) && range(path, DISK_BYTES - back.length, back.length).equals(back),
    "the table is for this disk's size",
  );
  t.strictSame([seen.at(0), seen.includes('writing true'), seen.at(-1)], ['writing false', true, 'checking true']);
});

t.test('kept: table, other slot and state are not touched', async (t) => {
  const path = usedDisk(t);
  const [before, b, state] = [
    range(path, 0, MIB),
    range(path, slots.b.firstSector * 512, 8 * MIB),
    (slots.b.firstSector + slots.b.sectors) * 512,
  ];
  const stateBefore = range(path, state, 8 * MIB);
  const plan = installPlan({ diskBytes: DISK_BYTES, keep: true, slot: SLOT, files: FILES });
  await writeDisk(path, plan, VERITY, { progress: () => {} });
  t.ok(range(path, 0, MIB).equals(before));
  t.ok(range(path, slots.b.firstSector * 512, 8 * MIB).equals(b));
  t.ok(range(path, state, 8 * MIB).equals(stateBefore));
  t.ok(range(path, slots.a.firstSector * 512, SLOT.length).equals(SLOT));
});

t.test('until all is on the disk it does not boot', async (t) => {
  const path = usedDisk(t);
  const { front } = encodeGpt([esp, slots.a, slots.b], diskId, DISK_BYTES / 512);
  const fd = openSync(path, 'r+');
  writeSync(fd, front, 0, front.length, 0);
  const plan = installPlan({ diskBytes: DISK_BYTES, keep: false, slot: SLOT, files: FILES });
  const interrupted = writeDisk(path, plan, VERITY, {
    progress: (_, done) => {
      if (done > plan.bytes - MIB / 2) throw new Error('power failure');
    },
  });
  await t.rejects(interrupted, { message: 'power failure' });
  t.strictSame(contentOfHead(range(path, 0, MIB)), { kind: 'blank' }, 'the old table is gone, the new one not there');
});

t.test('what is read back is compared: a disk that forgets, and memory that does', async (t) => {
  const path = usedDisk(t);
  const plan = installPlan({ diskBytes: DISK_BYTES, keep: true, slot: SLOT, files: FILES });
  const forgets = writeDisk(path, plan, VERITY, {
    progress: (phase, done, total) => {
      if (phase !== 'writing' || done !== total) return;
      writeSync(openSync(path, 'r+'), Buffer.from('x'), 0, 1, slots.a.firstSector * 512 + MIB + 5);
    },
  });
  await t.rejects(forgets, {
    message: `what is read back from ${path} at byte ${slots.a.firstSector * 512 + MIB} is not what was written there`,
    remedy: /disk, its cable/,
  });
  const memory = installPlan({
    diskBytes: DISK_BYTES,
    keep: true,
    slot: Buffer.concat([Buffer.alloc(1, 9), SLOT.subarray(1)]),
    files: FILES,
  });
  await t.rejects(writeDisk(path, memory, VERITY, { progress: () => {} }), { message: /does not have the root hash/, remedy: /memory/ });
  await t.rejects(writeDisk(join(path, 'none'), plan, VERITY, { progress: () => {} }), { message: /opening .*none failed: ENOTDIR/ });
});

t.test('a slot that does not fit is refused before anything is written', async (t) => {
  const large = { length: slots.a.sectors * 512 + 1 } as Buffer;
  t.throws(() => installPlan({ diskBytes: DISK_BYTES, keep: false, slot: large, files: FILES }), {
    message: /a slot of the disk is smaller/,
  });
});

/** A console that a person sits at: sees what is shown, types. */
function terminal() {
  const line = new PassThrough();
  let said = '';
  let waiting: (() => void) | null = null;
  line.write = ((bytes: string) => {
    said += bytes;
    waiting?.();
    return true;
  }) as PassThrough['write'];
  return {
    line,
    type: (keys: string) => line.emit('data', Buffer.from(keys, 'latin1')),
    until: (pattern: RegExp) =>
      new Promise<void>((resolve) => {
        waiting = () => {
          if (!pattern.test(said)) return;
          waiting = null;
          said = '';
          resolve();
        };
        waiting();
      }),
  };
}

function mediumOf(t: Test, damage = false) {
  const folder = t.testdir();
  for (const { path, data } of FILES) {
    mkdirSync(dirname(join(folder, 'esp', path)), { recursive: true });
    writeFileSync(join(folder, 'esp', path), damage ? data.subarray(1) : data);
  }
  const content = join(folder, 'content');
  writeFileSync(content, Buffer.concat([SLOT, Buffer.alloc(4 * MIB - SLOT.length)]));
  const own = `twinstep.version=1.2.3 twinstep.hash=${rootHash} twinstep.salt=ab twinstep.blocks=${dataBlocks}`;
  const commandLine = `${own} ${installWords(mediumLayout(SLOT.length, FILES), FILES)}\n`;
  const disk = join(folder, 'disk');
  writeFileSync(disk, '');
  truncateSync(disk, DISK_BYTES);
  const facts: DiskFacts = {
    ...{ device: disk, model: 'SSD', serial: 'S123456', bytes: DISK_BYTES, logicalBlockBytes: 512, writeProtected: false },
    ...{ inUse: null, content: { kind: 'blank' } },
  };
  return {
    options: { version: '1.2.3', content, esp: join(folder, 'esp'), commandLine, consoles: ['serial', 'screen'], answers: null },
    disk,
    facts,
  };
}

t.test('asked on one console, seen on both, installed', async (t) => {
  const { options, disk, facts } = mediumOf(t);
  const [serial, screen] = [terminal(), terminal()];
  const doors = {
    findDisks: async () => [facts],
    open: (path: string) => (path === 'serial' ? serial.line : screen.line),
    nowMs: () => performance.now(),
    log: () => {},
  };
  const code = install(options, doors);
  await Promise.all([serial.until(/On which disk/), screen.until(/S123456/)]);
  serial.type('\r');
  await Promise.all([serial.until(/type the last 4 characters/), screen.until(/Everything on this disk will be lost/)]);
  screen.type('3456\r');
  await Promise.all([serial.until(/read back, and found right/), screen.until(/read back, and found right/)]);
  t.strictSame(decodeGpt(range(disk, 0, MIB)).partitions.length, 3);
  serial.type('\r');
  t.equal(await code, 0, 'start again');
  t.ok(serial.line.destroyed || serial.line.writableEnded);
});

t.test('by itself, and then off', async (t) => {
  const { options, disk, facts } = mediumOf(t);
  const lines: string[] = [];
  const doors = {
    findDisks: async () => [facts],
    open: () => new PassThrough(),
    nowMs: () => performance.now(),
    log: (line: string) => lines.push(line),
  };
  t.equal(await install({ ...options, answers: 'disk S123456\nstate erase\nsure yes\nfinally off\n' }, doors), 10);
  t.ok(range(disk, slots.a.firstSector * 512, SLOT.length).equals(SLOT));
  t.match(lines.join('\n'), /S123456: nothing.*working.*done/s);
});

t.test('a damaged medium is named, and no disk is looked at', async (t) => {
  const { options } = mediumOf(t, true);
  const serial = terminal();
  const doors = {
    findDisks: () => Promise.reject(new Error('looked')),
    open: () => serial.line,
    nowMs: () => performance.now(),
    log: () => {},
  };
  const code = install({ ...options, consoles: ['serial'] }, doors);
  await serial.until(/The medium is damaged.*Fetch the medium again/s);
  serial.type('q');
  t.equal(await code, 0);
});
