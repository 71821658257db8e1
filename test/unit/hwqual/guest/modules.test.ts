import t from 'tap';
import { moduleName, resolveModules } from '../../../../hwqual/lab/guest/modules.ts';

const DEP = `kernel/fs/ext4/ext4.ko.xz: kernel/lib/crc16.ko.xz kernel/fs/jbd2/jbd2.ko.xz
kernel/fs/jbd2/jbd2.ko.xz: kernel/lib/crc16.ko.xz
kernel/lib/crc16.ko.xz:
kernel/drivers/net/virtio_net.ko: kernel/net/core/net-failover.ko
kernel/net/core/net-failover.ko:
`;
const BUILTIN = 'kernel/drivers/virtio/virtio_pci.ko\nkernel/net/ipv6/ipv6.ko\n';

t.test('names', async (t) => {
  t.equal(moduleName('kernel/net/core/net-failover.ko.zst'), 'net_failover');
  t.equal(moduleName('ext4.ko'), 'ext4');
});

t.test('dependencies first, each once, built-in ones left out', async (t) => {
  t.strictSame(resolveModules(['virtio_pci', 'ext4', 'virtio-net', 'ipv6'], DEP, BUILTIN), [
    'kernel/lib/crc16.ko.xz',
    'kernel/fs/jbd2/jbd2.ko.xz',
    'kernel/fs/ext4/ext4.ko.xz',
    'kernel/net/core/net-failover.ko',
    'kernel/drivers/net/virtio_net.ko',
  ]);
});

t.test('a missing module is named', async (t) => {
  t.throws(() => resolveModules(['evdev'], DEP, BUILTIN), /evdev .* neither built in nor in modules\.dep/);
});
