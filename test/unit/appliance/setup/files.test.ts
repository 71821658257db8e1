// What touches disks: files that are there together or not at all; what a disk holds; the label of a stick.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { identifyDisk, pairName } from '../../../../appliance/mirror/disk-identity.ts';
import { encodeMetadataSlot } from '../../../../appliance/mirror/metadata-codec.ts';
import { contentOf } from '../../../../appliance/setup/disk-content.ts';
import { answersAmong, findAnswers, whatIsOn } from '../../../../appliance/setup/find-answers.ts';
import { findDisks, otherDisks } from '../../../../appliance/setup/find-disks.ts';
import { labelOf } from '../../../../appliance/setup/volume-label.ts';
import { WriteError, writeFiles } from '../../../../appliance/setup/write-files.ts';
import { smbiosTable } from '../../../../drivers/inventory/fake.ts';
import { oemStrings } from '../../../../drivers/inventory/index.ts';
import { fatFileSystem } from '../../../../image/disk/fat.ts';

const folder = mkdtempSync(join(tmpdir(), 'twinstep-setup-files-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const FILES = [
  { path: 'nics', text: 'link1\n' },
  { path: 'state/bmc.password', text: 'hush\n' },
  { path: 'config.yaml', text: 'coServer: A\n' },
];

t.test('files are written whole, for root only', async (t) => {
  const state = join(folder, 'good');
  mkdirSync(state);
  writeFileSync(join(state, 'nics.new'), 'of a setup that was cut short');
  writeFiles(state, FILES);
  for (const { path, text } of FILES) {
    t.equal(readFileSync(join(state, path), 'utf8'), text);
    t.equal(statSync(join(state, path)).mode & 0o777, 0o600);
    t.notOk(existsSync(join(state, `${path}.new`)));
  }
});

const skip = process.getuid?.() === 0 ? false : 'mounting needs root';
t.test('a full state partition: a sentence, and nothing half written', { skip }, async (t) => {
  const state = join(folder, 'full');
  mkdirSync(state);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', state]);
  try {
    const fill = join(state, 'log');
    writeFileSync(fill, Buffer.alloc(1 << 20, 1));
    t.throws(() => writeFiles(state, [...FILES.slice(0, 2), { path: 'config.yaml', text: 'x'.repeat(2 << 20) }]), {
      name: 'WriteError',
      message: /no room left on the state partition/,
    });
    t.notOk(existsSync(join(state, 'nics')) || existsSync(join(state, 'config.yaml')), 'none in place');
    t.notOk(existsSync(join(state, 'nics.new')) || existsSync(join(state, 'config.yaml.new')), 'nothing left behind');
    rmSync(fill);
    writeFiles(state, FILES);
    t.ok(existsSync(join(state, 'config.yaml')), 'with room it goes');
  } finally {
    execFileSync('umount', [state]);
  }
  t.throws(() => writeFiles(join(folder, 'nowhere'), FILES), WriteError);
});

t.test('a copy of another pair is named, one of this pair is not', async (t) => {
  const stateFolder = join(folder, 'disks');
  for (const name of ['disks', 'state']) mkdirSync(join(stateFolder, name), { recursive: true });
  const path = join(stateFolder, 'disks', 'guest');
  const [own, other] = ['11'.repeat(16), '22'.repeat(16)];
  const file = async (pairId: string) => (await findDisks({ stateFolder, pairId })).find((d) => d.path === path);
  t.match(await file(own), { holds: '', text: 'A file on the system disk' });
  writeFileSync(path, 'something');
  t.match((await file(own))?.holds, /A disk image is there already/);
  const { disk } = await identifyDisk(path, 4096, pairName(Buffer.alloc(0), other));
  if (!disk) return t.fail('the file has no name');
  const record = { pair: pairName(Buffer.alloc(0), other), current: '00'.repeat(8), base: null, history: [], inconsistent: false };
  writeFileSync(
    join(stateFolder, 'state', 'intervals.journal.regions'),
    encodeMetadataSlot({ counter: 1n, life: 1n, sizeBytes: 4096, disk, record }),
  );
  t.match((await file(own))?.holds, new RegExp(`disk of another pair \\(${record.pair.slice(0, 8)}\\)`));
  t.equal((await file(other))?.holds, '', 'its own');
});

t.test('the disk below the state partition is no place for the guest', async (t) => {
  const names = ['sdb', 'sda', 'nvme0n1', 'dm-0', 'dm-1', 'loop0', 'sr0'];
  t.strictSame(otherDisks(names, ['/dev/nvme0n1']), ['sda', 'sdb']);
  t.strictSame(otherDisks(names, ['/dev/sda', '/dev/sdb']), ['nvme0n1'], 'it lies on several');
  t.strictSame(otherDisks(names, null), ['nvme0n1', 'sda', 'sdb'], 'in memory');
});

t.test('what a disk begins with', async (t) => {
  const start = Buffer.alloc(1 << 20);
  t.equal(contentOf(start), '');
  const gpt = Buffer.from(start);
  gpt.write('EFI PART', 512, 'latin1');
  gpt.write('data', 1024 + 56, 'utf16le');
  t.equal(contentOf(gpt), 'It holds partitions (data).');
  gpt.write('twinstep-esp', 1024 + 56, 'utf16le');
  t.match(contentOf(gpt), /Twinstep system/);
  const ext4 = Buffer.from(start);
  ext4.writeUInt16LE(0xef53, 0x438);
  t.match(contentOf(ext4), /ext4/);
  const other = Buffer.from(start);
  other.writeUInt8(1, 99_999);
  t.equal(contentOf(other), 'It is not empty.');
  for (const short of [Buffer.alloc(1, 1), Buffer.alloc(600, 7)]) t.ok(contentOf(short).length > 0);
});

t.test('labels of sticks', async (t) => {
  const fat = Buffer.alloc(4096);
  for (const { offset, data } of fatFileSystem([], 300 << 20, { volumeId: 1, label: 'TWINSTEP' })) data.copy(fat, offset);
  t.strictSame(labelOf(fat), { type: 'vfat', label: 'TWINSTEP' });
  const ext4 = Buffer.alloc(4096);
  ext4.writeUInt16LE(0xef53, 1024 + 56);
  ext4.write('TWINSTEP', 1024 + 120, 'latin1');
  t.strictSame(labelOf(ext4), { type: 'ext4', label: 'TWINSTEP' });
  for (const none of [Buffer.alloc(0), Buffer.alloc(512), Buffer.alloc(4096, 0xaa)]) t.equal(labelOf(none), null);
});

t.test('an answer file that is named', async (t) => {
  const path = join(folder, 'answers.yaml');
  const found: string[] = [];
  const find = () =>
    findAnswers(path, join(folder, 'stick'), async ({ from, text, pathOf }) => void found.push(from, text, pathOf('kernel')));
  await find();
  t.strictSame(found, [], 'not there yet');
  writeFileSync(path, 'coServer: A\n');
  await find();
  t.strictSame(found, [path, 'coServer: A\n', join(folder, 'kernel')]);
  writeFileSync(path, Buffer.alloc(100_000, 32));
  await t.rejects(find(), /more than 65536 bytes: it is no answer file/);
});

t.test('a stick with answers, with a guest only, with neither', async (t) => {
  t.equal(whatIsOn(['guest', 'twinstep-answers.yaml']), 'answers');
  t.equal(whatIsOn(['guest', 'photos']), 'guest');
  t.equal(whatIsOn(['photos']), 'neither');
});

t.test('answers in the SMBIOS of a virtual machine', async (t) => {
  const text = 'coServer: A\nmanagement:\n  address: 192.0.2.21/24\n';
  const given = `org.twinstep.answers=${Buffer.from(text).toString('base64')}`;
  const oem = (...strings: string[]) => ({ type: 11, length: 5, fields: [{ at: 4, bytes: 1, value: strings.length }], strings });
  t.equal(answersAmong(oemStrings(smbiosTable([oem('io.systemd.stub.kernel-cmdline-extra=quiet'), oem('maker', given)]))), text);
  t.equal(answersAmong(oemStrings(smbiosTable([oem('maker', 'xorg.twinstep.answers=Y29')]))), null);
  t.equal(answersAmong([]), null);
  t.throws(() => answersAmong([`org.twinstep.answers=${text}`]), /is not followed by base64: base64 -w0 of the answer file/);
  t.throws(() => answersAmong([`org.twinstep.answers=${Buffer.alloc(100_000, 'a').toString('base64')}`]), /more than \d+ bytes/);
});
