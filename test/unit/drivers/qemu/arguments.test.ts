import t from 'tap';
import { checkVersion, DEFAULT_MACHINE, type EngineDescription, engineArguments } from '../../../../drivers/qemu/index.ts';

const base: EngineDescription = {
  name: 'guest',
  machine: DEFAULT_MACHINE,
  acceleration: 'tcg',
  memoryMiB: 256,
  cpus: 2,
  serial: { kind: 'file', path: '/log/serial' },
  monitors: ['/run/control', '/run/trigger', '/run/spare'],
  incoming: false,
};

function valuesOf(args: string[], option: string): string[] {
  return args.flatMap((a, i) => (a === option ? [args[i + 1] ?? ''] : []));
}

t.test('a whole machine', async (t) => {
  const args = engineArguments({
    ...base,
    acceleration: 'kvm',
    boot: { kernel: '/boot/vmlinuz', initrd: '/boot/initrd', append: 'console=ttyS0' },
    serial: { kind: 'socket', path: '/run/serial', logPath: '/log/serial' },
    network: { socketPath: '/run/gate', mac: '52:54:00:77:00:1A' },
    disk: { socketPath: '/run/nbd', exportName: 'disk0' },
    incoming: true,
    startPaused: true,
    extra: ['-trace', 'x'],
  });
  t.same(
    valuesOf(args, '-qmp'),
    ['control', 'trigger', 'spare'].map((m) => `unix:/run/${m},server=on,wait=off`),
  );
  t.same(valuesOf(args, '-cpu'), ['host,migratable=on']);
  t.same(valuesOf(args, '-machine'), ['pc-i440fx-11.1,memory-backend=pc.ram']);
  t.same(valuesOf(args, '-incoming'), ['defer']);
  t.match(valuesOf(args, '-netdev')[0], 'stream,id=hn0,server=off,addr.type=unix,addr.path=/run/gate,reconnect-ms=');
  const nic = valuesOf(args, '-device')[0] ?? '';
  t.match(nic, 'mac=52:54:00:77:00:1a');
  for (const offload of ['csum', 'guest_csum', 'gso', 'guest_tso4', 'host_tso6', 'guest_uso6']) t.match(nic, `,${offload}=off`);
  t.match(valuesOf(args, '-blockdev')[0], 'server.path=/run/nbd,export=disk0,reconnect-delay=600');
  t.equal(args.includes('-S'), true);
  t.same(args.slice(-2), ['-trace', 'x']);
});

t.test('both replicas differ in paths and -incoming only', async (t) => {
  const a = engineArguments(base);
  const b = engineArguments({ ...base, incoming: true });
  t.same(b, [...a, '-incoming', 'defer']);
});

t.test('commas in paths stay in paths', async (t) => {
  const args = engineArguments({ ...base, serial: { kind: 'file', path: '/log/a,append=off' } });
  t.same(valuesOf(args, '-chardev'), ['file,id=serial0,path=/log/a,,append=off,append=on']);
});

t.test('what QEMU would refuse later or misread is refused here, named', async (t) => {
  t.throws(() => engineArguments({ ...base, memoryMiB: 0.5 }), { message: /memory of 0.5 MiB/ });
  t.throws(() => engineArguments({ ...base, cpus: 0 }), { message: /0 CPUs/ });
  t.throws(() => engineArguments({ ...base, network: { socketPath: '/run/x', mac: '52:54:00' } }), { message: /'52:54:00' is no MAC/ });
  t.throws(() => engineArguments({ ...base, network: { socketPath: '/run/x', mac: '53:54:00:77:00:1a' } }), { message: /group address/ });
  t.throws(() => engineArguments({ ...base, monitors: [`/run/${'x'.repeat(110)}`] }), { message: /longer than 107 bytes: use a shorter/ });
});

t.test('the qualified version', async (t) => {
  const v = (major: number, minor: number, micro: number) => ({ major, minor, micro, package: 'Debian' });
  t.doesNotThrow(() => checkVersion(v(11, 1, 3), '11.1'));
  t.doesNotThrow(() => checkVersion(v(11, 1, 3), '11.1.3'));
  t.throws(() => checkVersion(v(11, 10, 0), '11.1'), {
    message: /engine 11.10.0 \(Debian\) found, this build was qualified with 11.1: install/,
  });
  t.throws(() => checkVersion(v(10, 0, 3), '11.1'), { name: 'EngineVersionError' });
});
