import t from 'tap';
import { CopyDisks } from '../../../../appliance/hardware/copy-disks.ts';
import { someFault } from '../some-fault.ts';

const marks = (copy: CopyDisks, ...where: string[]) => copy.mark(where.map((one) => someFault('diskFailing', one))).map((f) => f.holdsCopy);

t.test('a fault of a disk says whether the copy is on it', async (t) => {
  const copy = new CopyDisks('/data/disk0', async () => ['/dev/nvme0n1', '/dev/sda']);
  t.strictSame(marks(copy, '/dev/sda'), [undefined], 'not known yet');
  let changes = 0;
  await copy.start(() => changes++);
  t.teardown(() => copy.stop());
  t.equal(changes, 1);
  t.strictSame(marks(copy, '/dev/sda', '/dev/sda1', '/dev/sda (MODEL, serial S1)', '/dev/nvme0n1p2'), [true, true, true, true]);
  t.strictSame(marks(copy, '/dev/sdaa', '/dev/sdb', '/dev/nvme0n10', '/dev/nvme1n1', 'Bay 3', ''), Array(6).fill(false));
  t.equal(copy.mark([someFault('fanFailed', '/dev/sda')])[0]?.holdsCopy, undefined, 'no disk');
});

t.test('where it cannot be found, or does not answer, nothing is said', async (t) => {
  for (const find of [async () => null, async () => Promise.reject(new Error('EIO')), () => new Promise<never>(() => undefined)]) {
    const copy = new CopyDisks('/data/disk0', find);
    await copy.start(() => t.fail('nothing is known'));
    t.strictSame(marks(copy, '/dev/sda'), [undefined]);
    copy.stop();
  }
});
