// A virtual machine with UEFI that boots the appliance's disk under emulation, and what it says on its serial line.
import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, createWriteStream, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LabError } from '../lab-error.ts';
import { TerminalScreen } from './terminal-screen.ts';

/** Kept of the serial line: a boot says a few pages. */
const MAX_SERIAL_CHARACTERS = 1 << 20;
/**
 * Added to the command line, for emulation only: no mitigations of what an emulated CPU has not, no timer check that a starved one fails by
 * chance. One CPU: two that wait for each other cost more than they give.
 */
const EMULATION_WORDS = 'mitigations=off no_timer_check nowatchdog rcupdate.rcu_cpu_stall_suppress=1';
const LIBRARIES = 'usr/lib/x86_64-linux-gnu';

export interface ApplianceOptions {
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
  /** Files for the appliance: `config`, `nics`, `answers`. */
  given?: Record<string, string>;
  /** The image of a USB stick that is plugged in. */
  stick?: string;
  /** Its network ports in order; none without it. */
  ports?: readonly Port[];
}

/** One end of a cable: two sockets that send to each other. */
export interface Port {
  mac: string;
  own: string;
  other: string;
}

export interface ApplianceMachine {
  /** Everything on the serial line so far. */
  serial(): string;
  /** Answers the seconds from power-on to the first match. Throws when it has not come in time, with the end of the serial line. */
  until(pattern: RegExp, timeoutS: number): Promise<number>;
  /** What somebody at the serial line sees: 24 rows. */
  screen(): string[];
  /** As `until`, for the screen as one line with single blanks. */
  untilScreen(pattern: RegExp, timeoutS: number): Promise<number>;
  /** Somebody types on the serial line. */
  type(text: string): void;
  /** As pulling the plug. */
  powerOff(): Promise<void>;
}

export function startAppliance(options: ApplianceOptions): ApplianceMachine {
  const { disk, engineRoot, tools, directory, memoryMiB = 2048, given = {}, ports = [], stick, log } = options;
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
      ...['-machine', 'q35', '-accel', 'tcg,thread=multi', '-cpu', 'Skylake-Client,+sha-ni', '-smp', '1', '-m', String(memoryMiB)],
      ...['-smbios', `type=11,value=io.systemd.stub.kernel-cmdline-extra=${EMULATION_WORDS}`],
      ...['-drive', `if=pflash,format=raw,readonly=on,file=${join(firmware, 'OVMF_CODE_4M.fd')}`],
      ...['-drive', `if=pflash,format=raw,file=${variables}`],
      ...['-drive', `if=none,id=disk,format=raw,discard=unmap,file=${disk}`, '-device', 'nvme,drive=disk,serial=system'],
      ...[...portArguments(ports), '-display', 'none', '-vga', 'std', '-monitor', 'none', '-serial', 'stdio', '-no-user-config'],
      ...(stick === undefined
        ? []
        : ['-device', 'qemu-xhci', '-drive', `if=none,id=stick,format=raw,file=${stick}`, '-device', 'usb-storage,drive=stick']),
      ...files,
    ],
    { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, QEMU_MODULE_DIR: join(engineRoot, LIBRARIES, 'qemu') } },
  );
  if (log !== undefined) child.stdout.pipe(createWriteStream(log, { flags: 'a' }));
  return follow(child);
}

function portArguments(ports: readonly Port[]): string[] {
  if (ports.length === 0) return ['-nic', 'none'];
  return ports.flatMap(({ mac, own, other }, i) => [
    ...['-netdev', `dgram,id=port${i},local.type=unix,local.path=${own},remote.type=unix,remote.path=${other}`],
    ...['-device', `virtio-net-pci,netdev=port${i},mac=${mac},romfile=`],
  ]);
}

function follow(child: ChildProcess): ApplianceMachine {
  const startedAt = performance.now();
  let said = '';
  const terminal = new TerminalScreen();
  let complaint = '';
  let looks: (() => void)[] = [];
  const look = () => {
    for (const f of [...looks]) f();
  };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-MAX_SERIAL_CHARACTERS);
    terminal.write(text);
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
    untilScreen: (pattern, timeoutS) => when(pattern, timeoutS, () => terminal.rows().join(' ').replace(/ +/g, ' ')),
    type: (text) => {
      child.stdin?.write(text, 'latin1');
    },
    powerOff: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
