// The engine's command line, built from a description. Pure.
//
// Both replicas of a protected guest must be built from the same description: machine version, CPU model, memory, device
// ids, order and MAC are part of what a checkpoint contains. Only paths and `incoming` may differ.

export interface EngineDescription {
  /** The guest's name: shown by the process list. */
  name: string;
  /** A versioned machine type; an unversioned alias could differ between two builds of the engine. */
  machine: string;
  acceleration: 'kvm' | 'tcg';
  memoryMiB: number;
  cpus: number;
  /** Direct boot of a kernel; without it the firmware boots from the disk. */
  boot?: { kernel: string; initrd?: string; append?: string };
  serial:
    | { kind: 'file'; path: string }
    /** A socket that one console may connect to; everything is also appended to logPath. */
    | { kind: 'socket'; path: string; logPath: string };
  /** The output gate's unix socket (be32 length + Ethernet frame); the engine connects, again and again. */
  network?: { socketPath: string; mac: string };
  /** The mirror's NBD export. */
  disk?: { socketPath: string; exportName: string };
  /** Unix sockets, one monitor each (see EngineMonitors). */
  monitors: string[];
  /** The replica that a checkpoint stream will fill: `migrate-incoming` starts it. */
  incoming: boolean;
  /** A device over which the guest's system reports its panic. Without state of its own: an engine without it can load from one with it. */
  panicDevice?: boolean;
  /** Do not run the guest before `cont`. */
  startPaused?: boolean;
  /** Further arguments, as they are. */
  extra?: string[];
}

/** The machine type that the qualified engine's COLO was tested with. */
export const DEFAULT_MACHINE = 'pc-i440fx-11.1';

/** The guest's RAM in the checkpoint stream: the machine's own name for it, kept so that streams look the same however it is backed. */
export const GUEST_RAM_BLOCK = 'pc.ram';

/**
 * How long the engine holds disk requests while the mirror's socket is away (our process restarts): then an I/O error, which a guest
 * answers by giving its file system up. It tries again after 1, 3, 7, 15, 31 s, then every 16 s; whoever does not want to wait so long
 * for our process ends the engine.
 */
const DISK_RECONNECT_S = 600;
const NETWORK_RECONNECT_MS = 100;

/** Our process computes no checksums: every offload that lets incomplete ones or oversized frames pass is off. */
const NIC_OFFLOADS_OFF = [
  'csum',
  'gso',
  'host_tso4',
  'host_tso6',
  'host_ecn',
  'host_ufo',
  'host_uso',
  'guest_csum',
  'guest_tso4',
  'guest_tso6',
  'guest_ecn',
  'guest_ufo',
  'guest_uso4',
  'guest_uso6',
  'guest_announce',
];

/** A value inside a comma separated option: QEMU reads ",," as one comma. */
function quote(value: string): string {
  return value.replaceAll(',', ',,');
}

/** A unix socket's path has room for 107 bytes in the kernel. */
const MAX_SOCKET_PATH_BYTES = 107;

function socketPath(path: string, what: string): string {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    throw new RangeError(`engine: ${what} '${path}' is longer than ${MAX_SOCKET_PATH_BYTES} bytes: use a shorter run directory`);
  }
  return quote(path);
}

/** Throws RangeError on what QEMU would refuse or silently misread, naming it. */
export function engineArguments(d: EngineDescription): string[] {
  if (!Number.isInteger(d.memoryMiB) || d.memoryMiB < 1)
    throw new RangeError(`engine: memory of ${d.memoryMiB} MiB: a whole number >= 1 is needed`);
  if (!Number.isInteger(d.cpus) || d.cpus < 1) throw new RangeError(`engine: ${d.cpus} CPUs: a whole number >= 1 is needed`);
  const args = ['-name', quote(d.name), '-machine', `${quote(d.machine)},memory-backend=${GUEST_RAM_BLOCK}`, '-accel', d.acceleration];
  // KVM: what the (identical) servers have, without what cannot be migrated.
  args.push('-cpu', d.acceleration === 'kvm' ? 'host,migratable=on' : 'qemu64');
  args.push('-m', String(d.memoryMiB), '-smp', String(d.cpus));
  // The guest's RAM as an anonymous file: our process can read it (guest-memory.ts), and no power loss leaves it behind.
  args.push('-object', `memory-backend-memfd,id=${GUEST_RAM_BLOCK},size=${d.memoryMiB}M,share=on`);
  // No default devices, no configuration files of the host. A reset ends the engine: our controller decides about a restart.
  args.push('-no-user-config', '-nodefaults', '-display', 'none', '-no-reboot');
  // The engine neither starts programs nor changes its user.
  args.push('-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny');
  if (d.boot) {
    args.push('-kernel', d.boot.kernel);
    if (d.boot.initrd) args.push('-initrd', d.boot.initrd);
    if (d.boot.append) args.push('-append', d.boot.append);
  }
  args.push('-chardev', serialChardev(d.serial), '-serial', 'chardev:serial0');
  if (d.network) {
    const mac = d.network.mac.toLowerCase();
    if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac)) throw new RangeError(`engine: '${d.network.mac}' is no MAC address`);
    if (Number.parseInt(mac.slice(0, 2), 16) & 1) throw new RangeError(`engine: MAC address ${mac} is a group address`);
    const path = socketPath(d.network.socketPath, 'network socket');
    args.push('-netdev', `stream,id=hn0,server=off,addr.type=unix,addr.path=${path},reconnect-ms=${NETWORK_RECONNECT_MS}`);
    const offloads = NIC_OFFLOADS_OFF.map((o) => `${o}=off`).join(',');
    args.push('-device', `virtio-net-pci,id=nic0,netdev=hn0,mac=${mac},romfile=,${offloads}`);
  }
  if (d.disk) {
    const path = socketPath(d.disk.socketPath, 'disk socket');
    const server = `server.type=unix,server.path=${path},export=${quote(d.disk.exportName)}`;
    // What the guest trims gets as far as the copies, which both give it back.
    args.push('-blockdev', `driver=nbd,node-name=d0,${server},reconnect-delay=${DISK_RECONNECT_S},discard=unmap`);
    args.push('-device', 'virtio-blk-pci,id=disk0,drive=d0');
  }
  if (d.panicDevice) args.push('-device', 'pvpanic');
  for (const path of d.monitors) args.push('-qmp', `unix:${socketPath(path, 'monitor socket')},server=on,wait=off`);
  if (d.incoming) args.push('-incoming', 'defer');
  if (d.startPaused) args.push('-S');
  args.push(...(d.extra ?? []));
  return args;
}

function serialChardev(serial: EngineDescription['serial']): string {
  switch (serial.kind) {
    case 'file':
      return `file,id=serial0,path=${quote(serial.path)},append=on`;
    case 'socket':
      return `socket,id=serial0,path=${socketPath(serial.path, 'serial socket')},server=on,wait=off,logfile=${quote(serial.logPath)},logappend=on`;
    default:
      return serial satisfies never;
  }
}
