// The installation medium, read by another implementation (xorriso) and by ourselves.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { decodeGpt } from '../../../../image/disk/gpt.ts';
import { hashTree } from '../../../../image/disk/verity.ts';
import { isoPieces } from '../../../../image/installer/iso.ts';
import { writeMedium } from '../../../../image/installer/medium.ts';
import { MediumError, readMedium } from '../../../../image/installer/medium-content.ts';
import { filesHash, installWords, MIB, mediumLayout, parseInstallWords } from '../../../../image/installer/medium-layout.ts';

const FILES = [
  { path: 'EFI/BOOT/BOOTX64.EFI', data: Buffer.alloc(3000, 1) },
  { path: 'EFI/Linux/twinstep_1.2.3.efi', data: Buffer.alloc(5 * MIB, 2) },
];
const SLOT = Buffer.alloc(2 * MIB + 4096, 3);
const sha256 = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');

/** The least that can get one section more: as systemd's stub for addons, in which the command line is put. */
function stub(): Buffer {
  const b = Buffer.alloc(0x600);
  b.writeUInt32LE(0x40, 0x3c);
  b.write('PE\0\0', 0x40, 'latin1');
  b.writeUInt16LE(1, 0x46);
  b.writeUInt16LE(240, 0x54);
  b.writeUInt16LE(0x20b, 0x58);
  b.writeUInt32LE(0x1000, 0x58 + 32);
  b.writeUInt32LE(0x200, 0x58 + 36);
  b.writeUInt32LE(0x400, 0x58 + 60);
  return b;
}

function toolsFolder(folder: string): string {
  const path = join(folder, 'usr/lib/systemd/boot/efi/addonx64.efi.stub');
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, stub());
  return folder;
}

t.test('a CD-ROM, a disk with partitions, and files that a person can look at', async (t) => {
  const folder = t.testdir();
  const iso = join(folder, 'medium.iso');
  const content = { version: '1.2.3', tools: toolsFolder(folder), slot: SLOT, files: FILES };
  const { bytes } = writeMedium(iso, content);
  const data = readFileSync(iso);
  t.equal(data.length, bytes);

  const said = execFileSync(
    'xorriso',
    ['-indev', iso, '-report_el_torito', 'plain', '-report_system_area', 'plain', '-find', '/', '-exec', 'lsdl'],
    {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  );
  const { slotMib, espMib } = mediumLayout(SLOT.length, FILES);
  t.match(said, /El Torito boot img : +1 +UEFI +y +none/);
  t.match(said, /El Torito img path : +1 +\/EFI\.IMG/);
  t.match(said, /GPT partname local : +1 +twinstep-medium\n/);
  t.match(said, new RegExp(`GPT start and size : +2 +${(1 + slotMib) * 2048} +${espMib * 2048}`));
  for (const name of ['BOOT.CAT', 'EFI.IMG', 'README.TXT', 'SLOT.IMG']) t.match(said, `'/${name}'`);
  t.notMatch(said, /SORRY|FAILURE|GPT.*(wrong|damaged)/);
  execFileSync('xorriso', ['-osirrox', 'on', '-indev', iso, '-extract', '/SLOT.IMG', join(folder, 'slot')], { stdio: 'ignore' });
  t.ok(readFileSync(join(folder, 'slot')).equals(SLOT), 'the slot is a file of the CD-ROM');

  const { partitions } = decodeGpt(data.subarray(0, MIB));
  t.strictSame(
    partitions.map(({ name }) => name),
    ['twinstep-medium', 'twinstep-medium-esp'],
  );
  t.ok(data.subarray(MIB, MIB + SLOT.length).equals(SLOT), 'the slot is at the first MiB');
  const words = installWords({ slotMib, espMib }, FILES);
  t.ok(data.includes(Buffer.from(words)), 'the addon carries the words');
  t.strictSame(parseInstallWords(`quiet ${words} x`), { filesHash: filesHash(FILES), slotMib, espMib });

  // xorriso does not look at it; firmware does: the words of the validation entry sum to nothing.
  const catalog = data.subarray(22 * 2048, 22 * 2048 + 32);
  const sum = Array.from({ length: 16 }, (_, i) => catalog.readUInt16LE(2 * i)).reduce((a, b) => (a + b) & 0xffff, 0);
  t.equal(sum, 0, "the catalog's checksum");

  writeMedium(join(folder, 'again.iso'), content);
  t.equal(sha256(join(folder, 'again.iso')), sha256(iso), 'the same content gives the same bytes');
  writeMedium(join(folder, 'signed.iso'), { ...content, sign: (program) => Buffer.concat([program, Buffer.from('SIGNED')]) });
  t.ok(readFileSync(join(folder, 'signed.iso')).includes('SIGNED'), 'the addon is signed');
});

t.test('names and sizes that a CD-ROM cannot have are refused', async (t) => {
  const medium = { label: 'X', sectors: 1000, bootSector: 900 };
  t.throws(() => isoPieces([{ name: 'readme.txt', data: Buffer.alloc(1) }], medium), { message: /readme\.txt is no name/ });
  t.throws(() => isoPieces([{ name: 'BIG.BIN', data: Buffer.alloc(MIB) }], medium), { message: /do not fit/ });
});

t.test('other command lines are no installation', async (t) => {
  for (const line of [
    'quiet',
    `twinstep.install=${'a'.repeat(64)}`,
    `twinstep.install=x twinstep.medium=1+2`,
    `xtwinstep.install=${'a'.repeat(64)} twinstep.medium=1+2`,
  ])
    t.equal(parseInstallWords(line), null, line);
});

t.test('what is in memory is checked before anybody is asked', async (t) => {
  const folder = t.testdir();
  const esp = join(folder, 'esp');
  const write = (path: string, data: Buffer) => {
    mkdirSync(dirname(join(esp, path)), { recursive: true });
    writeFileSync(join(esp, path), data);
  };
  for (const { path, data } of FILES) write(path, data);
  write('EFI/Linux/twinstep_1.2.3.efi.extra.d/install.addon.efi', Buffer.from('addon'));
  const content = join(folder, 'content');
  writeFileSync(content, Buffer.concat([SLOT, Buffer.alloc(4 * MIB)]));
  const { rootHash, dataBlocks } = hashTree(SLOT, 'ab');
  const own = `twinstep.version=1.2.3 twinstep.hash=${rootHash} twinstep.salt=ab twinstep.blocks=${dataBlocks}`;
  const commandLine = `${own} ${installWords(mediumLayout(SLOT.length, FILES), FILES)}\n`;
  const medium = readMedium({ content, esp, commandLine });
  t.equal(medium.version, '1.2.3');
  t.strictSame(medium.verity, { rootHash, salt: 'ab', dataBlocks });
  t.equal(medium.slot.length, 3 * MIB, 'whole MiB');
  t.strictSame(
    medium.files.map(({ path }) => path).sort(),
    FILES.map(({ path }) => path).sort(),
    'without the addon, which would install again',
  );

  t.throws(
    () => readMedium({ content, esp, commandLine: own }),
    new MediumError('this server was not started from an installation medium'),
  );
  writeFileSync(content, SLOT.subarray(0, MIB));
  t.throws(() => readMedium({ content, esp, commandLine }), { message: /its slot ends after/ });
  write('EFI/BOOT/BOOTX64.EFI', Buffer.alloc(3000, 9));
  t.throws(() => readMedium({ content, esp, commandLine }), { message: /EFI system partition does not have the medium's own files/ });
});
