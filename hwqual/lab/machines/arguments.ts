// QEMU's command line for one whole machine: pure. Chipset q35, identity by SMBIOS, NICs and disks behind PCIe root ports (where errors
// can be injected), KCS to an external BMC, a watchdog, three serial ports.
//
// Below each disk: device -> raw (NAME) -> throttle (NAME-slow) -> file (NAME-file). What is broken later gets between raw and throttle.
import type { CoServerName } from '../../../appliance/core/snapshot.ts';
import { type MachineSpec, macOf, NIC_ROLES } from './spec.ts';

export interface MachineArguments {
  name: CoServerName;
  spec: MachineSpec;
  acceleration: 'kvm' | 'tcg';
  boot: BootArguments;
  nvme: string;
  sata: string;
  kcsPort: number;
  qmp: string;
  hands: string;
  log: string;
  /** The engine's data directories (-L). */
  firmware: readonly string[];
}

/** Paths of files. */
export type BootArguments =
  /** What QEMU itself puts into memory. */
  | { kind: 'kernel'; kernel: string; initrd: string; append: string }
  /** The NVMe disk's own boot loader, started by a UEFI. */
  | {
      kind: 'disk';
      firmware: string;
      /** Of this machine; written to. */
      variables: string;
      /** Added to the kernel's command line. */
      words: string;
      /** By their names below opt/org.twinstep. */
      given: Readonly<Record<string, string>>;
      /** A disk on USB; null: none is plugged in. */
      stick: string | null;
      /** Everything that the machine says on its console is appended here. */
      consoleLog: string;
    };

/** QEMU's option syntax: a comma in a value is doubled. */
const value = (text: string) => text.replaceAll(',', ',,');

export function tapName(name: CoServerName, role: string): string {
  return `${name.toLowerCase()}-${role}`;
}

export function machineArguments(m: MachineArguments): string[] {
  const { spec } = m;
  const serial = `TW${m.name}000001`;
  const args = [
    ...m.firmware.flatMap((folder) => ['-L', folder]),
    ...['-name', `machine-${m.name.toLowerCase()}`, '-no-user-config', '-nodefaults', '-display', 'none'],
    ...['-machine', 'q35,smm=off,vmport=off', '-accel', m.acceleration === 'tcg' ? 'tcg,thread=multi,tb-size=256' : 'kvm'],
    ...['-cpu', cpuArgument(spec, m.acceleration), '-smp', `${spec.cpu.cores},sockets=1,cores=${spec.cpu.cores},threads=1`],
    ...['-m', String(spec.memory.sizeMiB)],
    ...bootArguments(m.boot),
    ...smbiosArguments(spec, serial),
    ...['-chardev', `socket,id=bmc,host=127.0.0.1,port=${m.kcsPort},reconnect-ms=1000`],
    ...['-device', 'ipmi-bmc-extern,id=bmc0,chardev=bmc', '-device', 'isa-ipmi-kcs,bmc=bmc0'],
    ...['-device', 'i6300esb,id=watchdog'],
    ...['-qmp', `unix:${m.qmp},server=on,wait=off`],
    // ttyS0: the appliance's console; ttyS1: the kernel and init; ttyS2: the lab's hands in the machine.
    ...['-chardev', `pty,id=console${m.boot.kind === 'disk' ? `,logfile=${value(m.boot.consoleLog)},logappend=on` : ''}`],
    ...['-serial', 'chardev:console'],
    ...['-chardev', `file,id=log,path=${value(m.log)},append=on`, '-serial', 'chardev:log'],
    ...['-chardev', `socket,id=hands,path=${value(m.hands)},server=on,wait=off`, '-serial', 'chardev:hands'],
  ];
  // Without them a UEFI does not try to boot from the network.
  const rom = m.boot.kind === 'disk' ? ',romfile=' : '';
  NIC_ROLES.forEach((role, i) => {
    args.push('-device', rootPort(`rp-${role}`, i));
    // A hub between tap and NIC completes frames to 60 bytes, as a real NIC does when it sends: an emulated one does not, and an emulated
    // receiver counts each such frame as damaged.
    args.push('-netdev', `tap,id=tap-${role},ifname=${tapName(m.name, role)},script=no,downscript=no`);
    args.push('-netdev', `hubport,id=hub-${role},hubid=${i},netdev=tap-${role}`, '-netdev', `hubport,id=net-${role},hubid=${i}`);
    args.push('-device', `${spec.nics[role]},id=${role},bus=rp-${role},netdev=net-${role},mac=${macOf(m.name, role)}${rom}`);
  });
  args.push('-device', rootPort('rp-nvme0', NIC_ROLES.length));
  for (const [disk, path] of [
    ['nvme0', m.nvme],
    ['sata0', m.sata],
  ] as const)
    args.push(...diskArguments(disk, path));
  args.push('-device', `nvme,id=nvme0,bus=rp-nvme0,drive=nvme0-disk,serial=NV${serial}${m.boot.kind === 'disk' ? ',bootindex=0' : ''}`);
  const { sata } = spec.disks;
  // The root bus's own AHCI of q35: ide.0 is its first port.
  args.push(
    '-device',
    `ide-hd,id=sata0,bus=ide.0,drive=sata0-disk,serial=SA${serial},model=${value(sata.model)},ver=${value(sata.firmware)}`,
  );
  return args;
}

function bootArguments(boot: BootArguments): string[] {
  switch (boot.kind) {
    case 'kernel':
      return ['-kernel', boot.kernel, '-initrd', boot.initrd, '-append', boot.append];
    case 'disk':
      return [
        ...['-drive', `if=pflash,format=raw,readonly=on,file=${value(boot.firmware)}`],
        ...['-drive', `if=pflash,format=raw,file=${value(boot.variables)}`],
        ...['-smbios', `type=11,value=io.systemd.stub.kernel-cmdline-extra=${value(boot.words)}`],
        ...Object.entries(boot.given).flatMap(([name, file]) => ['-fw_cfg', `name=opt/org.twinstep/${name},file=${value(file)}`]),
        // A screen, and a device that tells how much memory is in use.
        ...['-device', 'VGA,id=screen', '-device', 'virtio-balloon-pci,id=balloon'],
        ...(boot.stick === null ? [] : stickArguments(boot.stick)),
      ];
    default:
      return boot satisfies never;
  }
}

function stickArguments(path: string): string[] {
  return [
    ...['-device', 'qemu-xhci,id=usb', '-blockdev', `driver=file,node-name=stick-file,filename=${value(path)},read-only=on`],
    ...['-blockdev', 'driver=raw,node-name=stick-disk,file=stick-file,read-only=on'],
    ...['-device', 'usb-storage,id=stick,bus=usb.0,drive=stick-disk,removable=on'],
  ];
}

function cpuArgument(spec: MachineSpec, acceleration: 'kvm' | 'tcg'): string {
  const { cpu } = spec;
  // What emulation cannot do is said on every start otherwise.
  const plain = acceleration === 'tcg' ? ',enforce=off' : '';
  return `${cpu.model},model-id=${value(cpu.name)},ucode-rev=${microcodeRegister(cpu.microcode)},+mce,+mca${plain}`;
}

/** The register that QEMU is given has the revision in its upper half (Intel SDM 3, 10.11.7.1). */
function microcodeRegister(revision: string): string {
  return `0x${(BigInt(revision) << 32n).toString(16)}`;
}

function smbiosArguments(spec: MachineSpec, serial: string): string[] {
  const { board, bios, cpu, memory } = spec;
  const tables: Record<string, string>[] = [
    { type: '0', vendor: bios.vendor, version: bios.version, date: bios.date },
    { type: '1', manufacturer: board.vendor, product: board.product, serial },
    { type: '2', manufacturer: board.vendor, product: `${board.product} board`, serial: `BD${serial}` },
    { type: '3', manufacturer: board.vendor, serial: `CH${serial}` },
    { type: '4', manufacturer: 'Intel(R) Corporation', version: cpu.name },
    { type: '17', manufacturer: memory.module.vendor, part: memory.module.part, speed: String(memory.module.speedMTs), loc_pfx: 'DIMM' },
  ];
  return tables.flatMap((table) => [
    '-smbios',
    Object.entries(table)
      .map(([key, text]) => `${key}=${value(text)}`)
      .join(','),
  ]);
}

function rootPort(id: string, index: number): string {
  return `pcie-root-port,id=${id},bus=pcie.0,chassis=${index + 1},slot=${index + 1},port=${index + 1}`;
}

function diskArguments(disk: 'nvme0' | 'sata0', path: string): string[] {
  return [
    ...['-object', `throttle-group,id=${disk}-speed`],
    ...['-blockdev', `driver=file,node-name=${disk}-file,filename=${value(path)},cache.direct=off`],
    ...['-blockdev', `driver=throttle,node-name=${disk}-slow,throttle-group=${disk}-speed,file=${disk}-file`],
    ...['-blockdev', `driver=raw,node-name=${disk}-disk,file=${disk}-slow`],
  ];
}
