// Which disks are offered, and in which words.
import { writeFileSync } from 'node:fs';
import t from 'tap';
import { encodeGpt } from '../../../../image/disk/gpt.ts';
import { diskLayout } from '../../../../image/disk/layout.ts';
import { type DiskContent, type DiskFacts, diskChoice, newerState, type TwinstepContent } from '../../../../image/installer/disk-choice.ts';
import { contentOf, contentOfHead, partitionDevice, stateOf, versionsIn } from '../../../../image/installer/disk-facts.ts';
import { MIB } from '../../../../image/installer/medium-layout.ts';

const { esp, slots, diskId, diskSectors } = diskLayout();
const STATE = { ...slots.b, name: 'twinstep-state', firstSector: slots.b.firstSector + slots.b.sectors };
const FACTS: DiskFacts = {
  device: '/dev/nvme0n1',
  model: 'SSD 960',
  serial: 'S4EWNX0R123456',
  bytes: 480e9,
  logicalBlockBytes: 512,
  writeProtected: false,
  inUse: null,
  content: { kind: 'blank' },
};
const twinstep = (state: TwinstepContent['state'], partitions = [esp, slots.a, slots.b, STATE]): DiskContent => ({
  kind: 'partitions',
  partitions,
  twinstep: { versions: ['0.9.0', '1.0.0'], stateVersion: '1.0.0', state },
});

t.test('an empty disk is taken, and the end of its serial number is typed', async (t) => {
  const choice = diskChoice(FACTS);
  t.match(choice, { refusal: null, keepable: false, word: '3456', contents: 'nothing' });
  t.equal(diskChoice({ ...FACTS, serial: '' }).word, 'nvme0n1', 'or the name of a disk that has none');
});

t.test('disks that cannot be taken, each with its reason', async (t) => {
  const medium = { ...slots.a, name: 'twinstep-medium' };
  const cases: [Partial<DiskFacts>, RegExp][] = [
    [{ content: { kind: 'partitions', partitions: [medium], twinstep: null } }, /installation medium/],
    [{ writeProtected: true }, /write-protected/],
    [{ logicalBlockBytes: 4096 }, /4096 bytes, not 512.*nvme format/],
    [{ bytes: 3e9 }, /too small: 3 GB; 4\.03 GB are needed/],
    [{ inUse: 'a file system or a mapping of the kernel' }, /in use/],
    [{ content: { kind: 'unreadable', why: 'EIO' } }, /cannot be read \(EIO\)/],
  ];
  for (const [facts, why] of cases) t.match(diskChoice({ ...FACTS, ...facts }).refusal, why);
});

t.test('a state that a newer version wrote is known as one', async (t) => {
  const disk = diskChoice({ ...FACTS, content: twinstep({ kind: 'unconfigured' }) });
  t.equal(newerState(disk, '0.9.9'), '1.0.0');
  t.equal(newerState(disk, '1.0.0'), null);
  t.equal(newerState(disk, '1.0.1'), null);
  t.equal(newerState(disk, 'built by hand'), null);
  t.equal(newerState(diskChoice(FACTS), '0.9.9'), null);
});

t.test('what is on a disk, and when its state can stay', async (t) => {
  const pair = { kind: 'pair', pairId: '0123456789abcdef'.repeat(2), coServer: 'B' } as const;
  const cases: [DiskContent, string, boolean][] = [
    [twinstep(pair), 'Twinstep 0.9.0 and 1.0.0: CoServer B of pair 01234567', true],
    [twinstep({ kind: 'unconfigured' }), 'Twinstep 0.9.0 and 1.0.0, not configured yet', true],
    [twinstep({ kind: 'unreadable' }), 'Twinstep 0.9.0 and 1.0.0, with a state that cannot be read', true],
    [twinstep({ kind: 'encrypted' }), 'Twinstep 0.9.0 and 1.0.0, with an encrypted state', true],
    [twinstep({ kind: 'none' }, [esp, slots.a, slots.b]), 'Twinstep 0.9.0 and 1.0.0, never started', false],
    [twinstep(pair, [esp, { ...slots.a, sectors: 2048 }, slots.b, STATE]), 'Twinstep 0.9.0 and 1.0.0: CoServer B of pair 01234567', false],
    [{ kind: 'partitions', partitions: [{ ...esp, name: '' }], twinstep: null }, '1 partition: no name 268 MB', false],
    [{ kind: 'partitions', partitions: [], twinstep: null }, 'a partition table without partitions', false],
    [{ kind: 'other', what: 'encrypted data (LUKS)' }, 'encrypted data (LUKS)', false],
  ];
  for (const [content, contents, keepable] of cases) t.match(diskChoice({ ...FACTS, content }), { contents, keepable, refusal: null });
  t.equal(diskChoice({ ...FACTS, content: twinstep(pair), inUse: 'x' }).keepable, false, 'not of a disk that cannot be taken');
});

t.test('the first MiB of a disk says what it is', async (t) => {
  const head = (at: number, text: string) => {
    const b = Buffer.alloc(MIB);
    b.write(text, at, 'latin1');
    return b;
  };
  t.strictSame(contentOfHead(Buffer.alloc(MIB)), { kind: 'blank' });
  const cases: [Buffer, RegExp][] = [
    [head(0, 'XFSB'), /xfs/],
    [head(1080, '\x53\xef'), /ext/],
    [head(0, 'LUKS\xba\xbe'), /LUKS/],
    [head(512, 'LABELONE'), /LVM/],
    [head(510, '\x55\xaa'), /MBR/],
    [head(5000, 'x'), /not known/],
    [head(512, 'EFI PART'), /damaged GPT/],
  ];
  for (const [data, what] of cases) t.match(contentOfHead(data), { kind: 'other', what });
  const { front } = encodeGpt([esp, slots.a], diskId, diskSectors);
  const found = contentOfHead(Buffer.concat([front, Buffer.alloc(MIB - front.length)]));
  t.match(found, { kind: 'partitions', partitions: [{ name: 'twinstep-esp' }, { name: 'twinstep-a' }] });
});

t.test('a disk that is not there, or too short to be one, is said to be unreadable', async (t) => {
  const folder = t.testdir({ short: 'x' });
  t.match(await contentOf(`${folder}/none`), { kind: 'unreadable', why: /ENOENT/ });
  t.match(await contentOf(`${folder}/short`), { kind: 'unreadable', why: /ends after 1 bytes/ });
});

t.test('a state that is encrypted is known by its first bytes', async (t) => {
  const state = { ...STATE, sectors: 2048 };
  const head = Buffer.alloc(MIB);
  encodeGpt([esp, slots.a, slots.b, state], diskId, diskSectors + 2048).front.copy(head);
  const folder = t.testdir({ disk: head, disk4: Buffer.from('LUKS\xba\xbe\0\x02', 'latin1') });
  t.match(await contentOf(`${folder}/disk`), { kind: 'partitions', twinstep: { stateVersion: null, state: { kind: 'encrypted' } } });
  // cryptsetup 2.6.1: config --label twinstep-state --subsystem twinstep-version=1.4.2
  const header = Buffer.alloc(512);
  header.write('LUKS\xba\xbe\0\x02', 0, 'latin1');
  header.write('twinstep-version=1.4.2', 208, 'latin1');
  writeFileSync(`${folder}/disk4`, header);
  t.match(await contentOf(`${folder}/disk`), { twinstep: { stateVersion: '1.4.2', state: { kind: 'encrypted' } } });
  header.write('twinstep-version=one\0\0', 208, 'latin1');
  writeFileSync(`${folder}/disk4`, header);
  t.match(await contentOf(`${folder}/disk`), { twinstep: { stateVersion: null, state: { kind: 'encrypted' } } });
});

t.test('names: of partitions, of programs, of pairs', async (t) => {
  t.equal(partitionDevice('/dev/sda', 1), '/dev/sda1');
  t.equal(partitionDevice('/dev/nvme0n1', 4), '/dev/nvme0n1p4');
  t.strictSame(versionsIn(['twinstep_1.0.0+2-1.efi', 'twinstep_0.9.0.efi', 'twinstep_1.0.0.efi.new', 'other.efi', 'TWINSTEP_1.0.0.EFI']), [
    '0.9.0',
    '1.0.0',
  ]);
  const id = 'ab'.repeat(16);
  t.strictSame(stateOf(`coServer: A\npair:\n  id: ${id}\n`), { kind: 'pair', pairId: id, coServer: 'A' });
  t.strictSame(stateOf(''), { kind: 'unconfigured' });
  for (const text of ['{', 'coServer: C\n', 'null', '[]', `coServer: A\npair: { id: x }`])
    t.strictSame(stateOf(text), { kind: 'unreadable' }, text);
});
