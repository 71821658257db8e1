// A virtual machine with UEFI that boots the appliance's disk under emulation, and what it says on its serial line.
import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, createWriteStream, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { LabError } from '../lab-error.ts';
import { Terminal } from './terminal.ts';

/** Kept of the serial line: a boot says a few pages. */
const MAX_SERIAL_CHARACTERS = 1 << 20;
/**
 * Added to the command line, for emulation only: no mitigations of what an emulated CPU has not, no timer check that a starved one fails by
 * chance. One CPU: two that wait for each other cost more than they give.
 */
export const EMULATION_WORDS = 'mitigations=off no_timer_check nowatchdog rcupdate.rcu_cpu_stall_suppress=1';
/** A screen is drawn in one go, twice a second at most. */
const DRAWN_MS = 300;
const DRAWN_WITHIN_MS = 10_000;
const LIBRARIES = 'usr/lib/x86_64-linux-gnu';

/** What a tale may add to the plain server. */
export interface MachineExtras {
  /** An installation medium, and as what the server sees it; the disk is before it in the order of the boot, unless `first`. */
  medium?: { path: string; as: 'cdrom' | 'stick'; first?: boolean };
  /** UEFI with Secure Boot: it takes what its variables trust, and everything until they hold a key. */
  secureBoot?: boolean;
  /** Control socket of the TPM 2.0 on its board; none without it. */
  tpm?: string;
  /** Its network ports in order; none without it. */
  ports?: readonly Port[];
  /** OEM strings of its SMBIOS. */
  oemStrings?: readonly string[];
  /** A second disk, raw. */
  guestDisk?: string;
  /** One more NIC, whose `guestPort` answers at `port` of this machine's loopback; nothing else leads out or in. `address` is what DHCP gives there. */
  network?: { port: number; guestPort: number; mac: string; address?: string };
}

export interface ApplianceOptions extends MachineExtras {
  /** The disk, raw; written to. */
  disk: string;
  /** The root with the engine, and the folder where the package ovmf is unpacked. */
  engineRoot: string;
  tools: string;
  /** For the machine's own UEFI variables. */
  directory: string;
  memoryMiB?: number;
  /** A file to which the serial line is written, too. */
  log?: string | undefined;
  /** Files for the appliance: `config`, `nics`, `answers`, `trial-seconds`. */
  given?: Record<string, string>;
}

/** One end of a cable: two sockets that send to each other; or one that leads to a patch panel (`patch-panel.ts`), a port of the loopback. */
export type Port = { mac: string } & ({ own: string; other: string } | { panel: number });

export interface ApplianceMachine {
  /** Everything on the serial line so far. */
  serial(): string;
  /** Answers the seconds from power-on to the first match. Throws when it has not come in time, with the end of the serial line. */
  until(pattern: RegExp, timeoutS: number): Promise<number>;
  /** What somebody at the serial line sees: 24 rows. */
  screen(): string[];
  /** As `until`, for the screen as one line with single blanks. */
  untilScreen(pattern: RegExp, timeoutS: number): Promise<number>;
  /** Nothing has come for a moment: what is on the screen is whole. A screen that never rests is taken as it is. */
  untilDrawn(): Promise<void>;
  /** Somebody types on the serial line. */
  type(text: string): void;
  /** What comes from now on is all that `serial` and `until` see. */
  forget(): void;
  /** Since power-on. */
  seconds(): number;
  /** Answers when the machine has switched itself off; throws when it has not in time. */
  untilOff(timeoutS: number): Promise<void>;
  /** As pulling the plug. */
  powerOff(): Promise<void>;
}

export function startAppliance(options: ApplianceOptions): ApplianceMachine {
  const {
    disk,
    engineRoot,
    tools,
    directory,
    memoryMiB = 2048,
    given = {},
    log,
    medium,
    secureBoot = false,
    tpm,
    guestDisk,
    oemStrings = [],
  } = options;
  const firmware = join(tools, 'usr/share/OVMF');
  if (!existsSync(firmware)) throw new LabError(`there is no ${firmware}`, 'npm run image');
  const variables = join(directory, 'variables.fd');
  if (!existsSync(variables)) copyFileSync(join(firmware, 'OVMF_VARS_4M.fd'), variables);
  const files = Object.entries(given).flatMap(([name, text]) => {
    const file = join(directory, `given-${name}`);
    writeFileSync(file, text, { mode: 0o600 });
    return ['-fw_cfg', `name=opt/org.twinstep/${name},file=${file}`];
  });
  const child = spawn(
    join(engineRoot, 'usr/lib64/ld-linux-x86-64.so.2'),
    [
      ...['--library-path', join(engineRoot, LIBRARIES), join(engineRoot, 'usr/bin/qemu-system-x86_64')],
      ...['-L', join(engineRoot, 'usr/share/qemu'), '-L', join(engineRoot, 'usr/share/seabios')],
      ...['-machine', secureBoot ? 'q35,smm=on' : 'q35', '-accel', 'tcg,thread=multi'],
      ...['-cpu', 'Skylake-Client,+sha-ni', '-smp', '1', '-m', String(memoryMiB)],
      ...[`io.systemd.stub.kernel-cmdline-extra=${EMULATION_WORDS}`, ...oemStrings].flatMap((s) => ['-smbios', `type=11,value=${s}`]),
      ...['-drive', `if=pflash,format=raw,readonly=on,file=${join(firmware, secureBoot ? 'OVMF_CODE_4M.secboot.fd' : 'OVMF_CODE_4M.fd')}`],
      // Only the firmware itself, in its own mode of the CPU, writes its variables.
      ...(secureBoot ? ['-global', 'driver=cfi.pflash01,property=secure,value=on'] : []),
      ...['-drive', `if=pflash,format=raw,file=${variables}`],
      ...['-drive', `if=none,id=disk,format=raw,discard=unmap,file=${disk}`, '-device', 'nvme,drive=disk,serial=system,bootindex=2'],
      ...(guestDisk === undefined
        ? []
        : ['-drive', `if=none,id=guest,format=raw,file=${guestDisk}`, '-device', 'nvme,drive=guest,serial=guest']),
      ...mediumArguments(medium),
      ...(tpm === undefined
        ? []
        : ['-chardev', `socket,id=tpm,path=${tpm}`, '-tpmdev', 'emulator,id=tpm,chardev=tpm', '-device', 'tpm-crb,tpmdev=tpm']),
      ...[...nicArguments(options), '-display', 'none', '-vga', 'std', '-monitor', 'none', '-serial', 'stdio', '-no-user-config'],
      ...files,
    ],
    { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, QEMU_MODULE_DIR: join(engineRoot, LIBRARIES, 'qemu') } },
  );
  if (log !== undefined) child.stdout.pipe(createWriteStream(log, { flags: 'a' }));
  return follow(child);
}

function nicArguments({ ports = [], network }: MachineExtras): string[] {
  if (ports.length === 0 && !network) return ['-nic', 'none'];
  const cabled = ports.flatMap((port, i) => [
    ...['-netdev', `dgram,id=port${i},${wires(port)}`],
    ...['-device', `virtio-net-pci,netdev=port${i},mac=${port.mac},romfile=`],
  ]);
  if (!network) return cabled;
  const { port, guestPort, mac, address = '10.0.2.15' } = network;
  return [
    ...cabled,
    ...['-netdev', `user,id=net,restrict=on,dhcpstart=${address},hostfwd=tcp:127.0.0.1:${port}-${address}:${guestPort}`],
    ...['-device', `virtio-net-pci,netdev=net,mac=${mac},romfile=`],
  ];
}

function wires(port: Port): string {
  if (!('panel' in port)) return `local.type=unix,local.path=${port.own},remote.type=unix,remote.path=${port.other}`;
  return `local.type=inet,local.host=127.0.0.1,local.port=0,remote.type=inet,remote.host=127.0.0.1,remote.port=${port.panel}`;
}

function mediumArguments(medium: MachineExtras['medium']): string[] {
  if (medium === undefined) return [];
  const { path, as, first = false } = medium;
  const order = `bootindex=${first ? 1 : 3}`;
  return as === 'cdrom'
    ? ['-drive', `if=none,id=medium,media=cdrom,readonly=on,format=raw,file=${path}`, '-device', `ide-cd,drive=medium,${order}`]
    : [
        ...['-drive', `if=none,id=medium,readonly=on,format=raw,file=${path}`, '-device', 'qemu-xhci'],
        ...['-device', `usb-storage,drive=medium,removable=on,${order}`],
      ];
}

function follow(child: ChildProcess): ApplianceMachine {
  // Also when the tale is broken off.
  const kill = () => void child.kill('SIGKILL');
  process.once('exit', kill);
  const startedAt = performance.now();
  let said = '';
  const terminal = new Terminal();
  let saidAt = performance.now();
  let complaint = '';
  let looks: (() => void)[] = [];
  const look = () => {
    for (const f of [...looks]) f();
  };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-MAX_SERIAL_CHARACTERS);
    terminal.write(text);
    saidAt = performance.now();
    look();
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-2000);
  });
  const ended = new Promise<void>((resolve) => {
    child.once('error', (error) => {
      complaint += error.message;
      resolve();
    });
    child.once('close', () => resolve());
  });
  void ended.then(look);
  // Keys for a machine that has ended: who waits for their effect is told so.
  child.stdin?.on('error', () => {});
  const isOver = () => child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
  const when = (pattern: RegExp, timeoutS: number, text: () => string): Promise<number> =>
    new Promise((resolve, reject) => {
      const done = (finish: () => void) => {
        clearTimeout(timer);
        looks = looks.filter((f) => f !== check);
        finish();
      };
      const fail = (why: string) =>
        done(() => reject(new LabError(`${why}; the serial line ends with:\n${terminal.rows().join('\n')}\n${complaint}`)));
      const timer = setTimeout(() => fail(`no ${pattern} within ${timeoutS} s`), timeoutS * 1000);
      const check = () => {
        if (pattern.test(text())) done(() => resolve((performance.now() - startedAt) / 1000));
        else if (isOver()) fail('the machine has ended');
      };
      looks.push(check);
      check();
    });
  return {
    serial: () => said,
    until: (pattern, timeoutS) => when(pattern, timeoutS, () => said),
    screen: () => terminal.rows(),
    untilScreen: (pattern, timeoutS) => when(pattern, timeoutS, () => terminal.text()),
    untilDrawn: async () => {
      for (const until = performance.now() + DRAWN_WITHIN_MS; performance.now() < until && performance.now() - saidAt < DRAWN_MS; )
        await delay(DRAWN_MS);
    },
    type: (text) => {
      child.stdin?.write(text, 'latin1');
    },
    forget: () => {
      said = '';
    },
    seconds: () => (performance.now() - startedAt) / 1000,
    untilOff: async (timeoutS) => {
      const timer = setTimeout(() => child.kill('SIGKILL'), timeoutS * 1000);
      await ended;
      clearTimeout(timer);
      if (child.exitCode !== 0)
        throw new LabError(`the machine has not switched itself off; the serial line ends with:\n${said.slice(-2000)}`);
    },
    powerOff: async () => {
      kill();
      await ended;
      process.off('exit', kill);
    },
  };
}
