import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { SharedLog } from '../../../../appliance/hardware/kernel-log.ts';
import { FakeKmsg } from '../../../../drivers/edac/fake.ts';
import { type KernelLogOptions, openKernelLog } from '../../../../drivers/edac/index.ts';

const READ = (disk: string) => `I/O error, dev ${disk}, sector 8 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2`;

t.test('one log for both: neither takes what is for the other; a stick is no part of the server', async (t) => {
  const sys = mkdtempSync(join(tmpdir(), 'twinstep-log-'));
  t.teardown(() => rmSync(sys, { recursive: true }));
  mkdirSync(join(sys, 'block/sdz'), { recursive: true });
  writeFileSync(join(sys, 'block/sdz/removable'), '1\n');
  const kmsg = new FakeKmsg();
  let opened = 0;
  const open = (options: KernelLogOptions) => {
    opened++;
    return openKernelLog({ ...options, open: () => kmsg });
  };
  const log = new SharedLog(open, sys);
  t.strictSame(await Promise.all([log.checks(), log.disks()]), [[], { errors: [], fileSystems: [] }]);
  kmsg.print('mce: [Hardware Error]: CPU 0: Machine Check Exception: 5 Bank 1: bd00000000000134');
  kmsg.print(READ('sda'));
  kmsg.print(READ('sdz'));
  t.match(await log.disks(), { errors: [{ disk: '/dev/sda' }] });
  t.match(await log.checks(), [{ bank: 1 }]);
  t.strictSame((await log.disks()).errors, [], 'each is told once');
  t.equal(opened, 1);
  for (let i = 0; i < 900; i++) kmsg.print(READ('sda'));
  for (let i = 0; i < 20; i++) await log.checks();
  t.ok((await log.disks()).errors.length <= 1_000);
  await log.close();
  t.ok(kmsg.isClosed);
});

t.test('a log that could not be opened is tried again', async (t) => {
  const kmsg = new FakeKmsg();
  let isAllowed = false;
  const log = new SharedLog(async (options) => {
    if (!isAllowed) throw new Error('it needs root');
    return openKernelLog({ ...options, open: () => kmsg });
  });
  await t.rejects(log.checks(), /root/);
  await t.rejects(log.disks(), /root/);
  isAllowed = true;
  t.strictSame(await log.checks(), []);
});
