// The appliance takes a guest from a stick: each file once and whole, and says what it cannot read. The stick itself is a folder here; the
// shell is the appliance's.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { engineRootPath } from '../../../../image/engine/engine-root.ts';

const SCRIPT = join(import.meta.dirname, '../../../../image/disk/overlay/usr/lib/twinstep/guest.sh');

function appliance(t: Test, files: Record<string, string>) {
  const directory = mkdtempSync(join(tmpdir(), 'guest-stick-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const [state, stick] = [join(directory, 'state'), join(directory, 'stick')];
  for (const folder of [join(state, 'disks'), join(stick, 'guest')]) mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(stick, 'guest', name), text);
  /** What it told. `words`: shell in front of the take. */
  const take = (words = '') =>
    execFileSync(
      join(engineRootPath(), 'usr/bin/busybox'),
      [
        'sh',
        '-euc',
        `tell() { echo "$*"; }; blkid() { case $* in *device) echo $devices ;; *) echo vfat ;; esac; }; devices=/dev/sdz1; mount() { :; }; umount() { :; }
        state=$1; . "$3"; stick=$2; ${words}
        take_guest`,
        'sh',
        state,
        stick,
        SCRIPT,
      ],
      { encoding: 'utf8' },
    );
  return { state, stick, take };
}

t.test('kernel, initrd and disk are taken, once', async (t) => {
  const { state, stick, take } = appliance(t, { kernel: 'K', initrd: 'I', disk: 'D', other: 'O' });
  t.match(take(), /copying the guest's kernel from \/dev\/sdz1\n.*initrd.*\n.*disk/);
  t.equal(readFileSync(join(state, 'guest/kernel'), 'utf8'), 'K');
  t.equal(readFileSync(join(state, 'guest/initrd'), 'utf8'), 'I');
  t.equal(readFileSync(join(state, 'disks/guest'), 'utf8'), 'D');
  writeFileSync(join(stick, 'guest/disk'), 'another one');
  t.equal(take(), '', 'what is here stays');
  t.equal(readFileSync(join(state, 'disks/guest'), 'utf8'), 'D');
});

t.test('a guest without a disk of its own: none is made', async (t) => {
  const { state, take } = appliance(t, { kernel: 'K', initrd: 'I' });
  take();
  t.strictSame(readdirSync(join(state, 'disks')), []);
});

t.test('no stick: nothing happens; one that cannot be read is told of', async (t) => {
  const { state, take } = appliance(t, { kernel: 'K' });
  t.equal(take('devices='), '');
  t.match(take('mount() { echo "wrong fs type" >&2; return 32; }'), /\/dev\/sdz1 is called TWINSTEP and cannot be read: wrong fs type/);
  t.notOk(existsSync(join(state, 'guest/kernel')));
  const first = 'devices="/dev/sr0 /dev/sdz1"; mount() { case $* in *sr0*) echo "no medium" >&2; return 32 ;; esac; }';
  t.match(take(first), /\/dev\/sr0 .*no medium\n.*kernel from \/dev\/sdz1/, 'the next one is looked at all the same');
});

t.test('a file that does not get whole has no name', async (t) => {
  const { state, take } = appliance(t, { kernel: 'K' });
  t.match(
    take('fails() { echo half >"$3"; echo "cp: No space left on device" >&2; return 1; }; copy=fails'),
    /kernel cannot be copied: cp: No space left on device/,
  );
  t.strictSame(readdirSync(join(state, 'guest')), []);
  t.match(take(), /copying/, 'the next time it is tried again');
  t.equal(readFileSync(join(state, 'guest/kernel'), 'utf8'), 'K');
});
