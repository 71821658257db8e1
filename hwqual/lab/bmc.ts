// A real BMC without hardware: Debian's ipmi_sim as a process, one per CoServer, that acts on whatever the lab calls "power".
//
// The simulator answers RMCP+ (cipher suite 3; it refuses 17) and asks two commands of ours about the machine's power. It is one thread:
// while such a command runs, the BMC is silent. The commands run in the namespace of the BMC, on this machine's files.
//
// What cost time: its standard input must stay open, or it ends; a bad line among its commands leaves it running without a UDP socket,
// so that is looked for; `-p` keeps it from preferring what an earlier run had stored to the configuration it is given.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BMC_COMMANDS } from './bmc-commands.ts';
import { LabError } from './lab-error.ts';
import { inNamespace } from './network.ts';
import { identify, isAlive, processTree } from './processes.ts';
import { PLAIN_ENVIRONMENT } from './supervised.ts';

const PROGRAM = '/usr/bin/ipmi_sim';
/** It is ready in 20 ms; a machine that needs this long is not working. */
const START_TIMEOUT_MS = 10_000;
/** An answer on its console takes a millisecond, unless one of the power commands hangs. */
const CONSOLE_TIMEOUT_MS = 10_000;
/** Of what it says: enough to see why it does not start. It tells every session, for ever. */
const OUTPUT_KEPT_CHARS = 16 * 1024;
/** IPMI 2.0, 22.28 and 22.30: what a BMC can hold. */
const USERNAME_MAX_BYTES = 16;
const PASSWORD_MAX_BYTES = 20;
/** Without one the simulator speaks IPMI 1.5 only. */
const DEFAULT_GUID = '7477696e737465700000000000000001';
/** Ended by SIGTERM to it and its processes; not heard by a stopped one. */
const STOP_TIMEOUT_MS = 2000;
/** A process is gone a moment after its signal. */
const GONE_POLL_MS = 5;

export type BmcPower =
  /** Shell commands. `get` prints `on` or `off`; `set` gets one more argument: `on`, `off`, `reset` or `shutdown`. Others, or an exit code
   * that is not 0, make the BMC answer with an error. */
  | { kind: 'commands'; get: string; set: string }
  /** The machine is a process of the BMC: on while `start` runs; off ends it. `vmPort` (TCP, of `vmAddress` or else of the same address) is there because the
   * simulator switches nothing without such a port. It needs up to two seconds to see that the process has ended. */
  | { kind: 'program'; start: string; startNow: boolean; vmPort: number; vmAddress?: string };

export interface BmcOptions {
  /** Its own, made when missing: configuration, script. Holds the password: readable by root only. */
  directory: string;
  /** An IPv4 address of the namespace. */
  address: string;
  /** UDP; 623 on real ones. */
  port: number;
  username: string;
  password: string;
  power: BmcPower;
  /** The simulator's command console on this TCP port of the same address, for whoever is in the namespace. Open to all: in a lab only. */
  consolePort?: number;
  /** 32 hex digits; give each BMC its own. */
  guid?: string;
  /** Name of a network namespace (`ip netns`); this one when left out. */
  netns?: string;
  /** More of the simulator's commands (ipmi_sim_cmd(5)) before it answers, one each: sensors, SEL entries. */
  commands?: readonly string[];
  /** What it is, instead of the small BMC of bmc-commands.ts: from `mc_setbmc` on, without `mc_enable`. */
  emulation?: readonly string[];
}

export interface Bmc {
  /** Of the simulator itself: SIGSTOP makes a BMC that hangs. */
  readonly pid: number;
  /** When it has ended, by `stop` or by itself. */
  readonly ended: Promise<void>;
  /** One command of ipmi_sim_cmd(5), as `sensor_set_value 0x20 0 1 0x55 1`; answers what it said. Throws a LabError when it refuses. */
  command(line: string): Promise<string>;
  stop(): Promise<void>;
}

/** Resolves when it listens. Throws a LabError with what the simulator said, or with what is missing. */
export async function startBmc(options: BmcOptions): Promise<Bmc> {
  check(options);
  mkdirSync(options.directory, { recursive: true, mode: 0o700 });
  const files = writeFiles(options);
  const simulatorArgs = ['-p', '-c', files.lan, '-f', files.commands, '-s', options.directory];
  const [command, args] = options.netns === undefined ? [PROGRAM, simulatorArgs] : inNamespace(options.netns, PROGRAM, simulatorArgs);
  // Dies with us whatever ends us: its standard input closes, and it is killed.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', command, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
    env: PLAIN_ENVIRONMENT,
  });
  const bmc = new Simulator(child, `the BMC at ${options.address}:${options.port}`);
  try {
    await bmc.said((text) => text.endsWith('> '), START_TIMEOUT_MS);
    const sockets = udpAddresses(bmc.pid).filter((address) => address === `${options.address}:${options.port}`).length;
    if (sockets === 0) throw new LabError(`${bmc.name} does not listen: ${bmc.complaints()}`);
    // The simulator shares the port with whoever has it, and one of the two would get the questions.
    if (sockets > 1) throw new LabError(`${bmc.name}: another program has this port`, 'choose another one, or end that program');
  } catch (error) {
    await bmc.stop();
    throw error;
  }
  return bmc;
}

function check(options: BmcOptions): void {
  if (!existsSync(PROGRAM)) throw new LabError(`${PROGRAM} is not installed`, 'install it: apt-get install openipmi');
  if (!isIPv4(options.address)) throw new LabError(`a BMC's address is IPv4: ${options.address}`);
  const limits = [
    ['username', options.username, USERNAME_MAX_BYTES],
    ['password', options.password, PASSWORD_MAX_BYTES],
  ] as const;
  for (const [what, text, max] of limits) {
    if (!/^[!#-[\]-~]+$/.test(text) || text.length > max)
      throw new LabError(`a BMC's ${what} has 1 to ${max} printable characters without space, " and \\`);
  }
  if (options.guid !== undefined && !/^[0-9a-f]{32}$/i.test(options.guid)) throw new LabError('a GUID has 32 hex digits');
  for (const path of [options.directory, ...(options.power.kind === 'program' ? [options.power.start] : [])])
    if (/["\n]/.test(path)) throw new LabError(`the simulator cannot take a " or a new line: ${path}`);
}

function writeFiles(options: BmcOptions): { lan: string; commands: string } {
  const { directory, address, port, power } = options;
  const [lan, commands, script] = ['lan.conf', 'bmc.emu', 'power.sh'].map((name) => join(directory, name)) as [string, string, string];
  const levels = ['callback', 'user', 'operator', 'admin'].map((level) => `    allowed_auths_${level} none md2 md5 straight`);
  const powerLines =
    power.kind === 'commands'
      ? [`chassis_control "${script}"`]
      : [
          `startcmd "${power.start}"`,
          `startnow ${power.startNow}`,
          'poweroff_wait 1',
          'kill_wait 1',
          `serial 15 ${power.vmAddress ?? address} ${power.vmPort} codec VM`,
        ];
  const lines = [
    'name "bmc"',
    'set_working_mc 0x20',
    '  startlan 1',
    `    addr ${address} ${port}`,
    '    priv_limit admin',
    ...levels,
    `    guid ${options.guid ?? DEFAULT_GUID}`,
    '  endlan',
    ...(options.consolePort === undefined ? [] : [`console ${address} ${options.consolePort}`]),
    ...powerLines,
    `user 2 true "${options.username}" "${options.password}" admin 10 none md2 md5 straight`,
  ];
  writeFileSync(lan, `${lines.join('\n')}\n`, { mode: 0o600 });
  const emulation = [...(options.emulation ?? BMC_COMMANDS), ...(options.commands ?? []), 'mc_enable 0x20'];
  writeFileSync(commands, `${emulation.join('\n')}\n`, { mode: 0o600 });
  if (power.kind === 'commands') writeFileSync(script, powerScript(power.get, power.set), { mode: 0o700 });
  return { lan, commands };
}

/** The simulator calls it as `get power` (it wants "power:1") and `set power|reset|shutdown N`. */
function powerScript(get: string, set: string): string {
  return `#!/bin/sh
get() {
${get}
}
put() {
${set} "$1"
}
case "$1 $2 $3" in
"get power "*)
  state=$(get) || exit 1
  case $state in
  on) echo power:1 ;;
  off) echo power:0 ;;
  *) exit 1 ;;
  esac
  ;;
"set power 1") put on ;;
"set power 0") put off ;;
"set reset "*) put reset ;;
"set shutdown "*) put shutdown ;;
*) exit 1 ;;
esac
`;
}

class Simulator implements Bmc {
  readonly pid: number;
  readonly name: string;
  readonly ended: Promise<void>;
  readonly #child: ChildProcess;
  #output = '';
  #errors = '';
  #over = false;
  /** To be called when something was said, or it ended. */
  #changed: () => void = () => undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(child: ChildProcess, name: string) {
    this.#child = child;
    this.name = name;
    this.pid = child.pid ?? 0;
    child.stdin?.on('error', () => undefined);
    child.stdout?.on('data', (d: Buffer) => {
      this.#output = (this.#output + d.toString('latin1').replaceAll('\r', '')).slice(-OUTPUT_KEPT_CHARS);
      this.#changed();
    });
    child.stderr?.on('data', (d: Buffer) => {
      this.#errors = (this.#errors + d.toString('latin1')).slice(-OUTPUT_KEPT_CHARS);
    });
    this.ended = new Promise((resolve) => {
      const over = () => {
        this.#over = true;
        this.#changed();
        resolve();
      };
      child.once('close', over);
      child.once('error', (error) => {
        this.#errors += error.message;
        over();
      });
    });
  }

  command(line: string): Promise<string> {
    const answer = this.#turn.then(() => this.#ask(line));
    this.#turn = answer.catch(() => undefined);
    return answer;
  }

  async #ask(line: string): Promise<string> {
    if (/[^ -~]/.test(line)) throw new LabError(`${this.name}: no command: ${JSON.stringify(line)}`);
    this.#output = '';
    this.#child.stdin?.write(`${line}\n`);
    // It echoes the line, answers, and prompts again.
    const text = await this.said((t) => t.includes(line) && t.endsWith('> '), CONSOLE_TIMEOUT_MS);
    const refusal = text.split('\n').find((l) => l.startsWith('**'));
    if (refusal !== undefined) throw new LabError(`${this.name} does not take "${line}": ${refusal.slice(2)}`);
    return text.slice(text.indexOf(line) + line.length, -2).trim();
  }

  /** Until what it has said fulfils `enough`; answers that. One at a time. */
  async said(enough: (text: string) => boolean, timeoutMs: number): Promise<string> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#changed();
    }, timeoutMs);
    try {
      while (!enough(this.#output)) {
        if (this.#over) throw new LabError(`${this.name} has ended: ${this.complaints()}`);
        if (late) throw new LabError(`${this.name} said nothing for ${timeoutMs} ms: ${this.complaints()}`);
        await new Promise<void>((resolve) => {
          this.#changed = resolve;
        });
      }
      return this.#output;
    } finally {
      clearTimeout(timer);
    }
  }

  complaints(): string {
    const refused = this.#output.split('\n').filter((line) => line.startsWith('**'));
    const text = [this.#errors.trim(), ...refused].filter((t) => t !== '').join('; ');
    return text === '' ? 'no reason given (no such address here?)' : text;
  }

  async stop(): Promise<void> {
    // The program that it runs as its machine would go on without it.
    const all = this.#over ? [] : processTree(this.pid).map(identify);
    const toAll = (name: NodeJS.Signals) => {
      for (const machine of all.filter(isAlive)) signal(machine.pid, name);
    };
    toAll('SIGTERM');
    const timer = setTimeout(() => toAll('SIGKILL'), STOP_TIMEOUT_MS);
    // A stopped process acts on SIGTERM once it goes on.
    toAll('SIGCONT');
    await this.ended;
    // Its machine is no child of ours: nothing tells when that has ended, and a signal is acted on when a core is free.
    while (all.some(isAlive)) await sleep(GONE_POLL_MS);
    clearTimeout(timer);
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It ended meanwhile.
  }
}

/** "10.0.0.1:623" of every UDP socket in the process's network namespace. */
function udpAddresses(pid: number): string[] {
  const found: string[] = [];
  for (const line of readFileSync(`/proc/${pid}/net/udp`, 'utf8').split('\n').slice(1)) {
    // "  12: 0100007F:026F ...": the address as a number of this machine, low byte first.
    const [, hex, port] = /^\s*\d+: ([0-9A-F]{8}):([0-9A-F]{4})/.exec(line) ?? [];
    if (hex === undefined || port === undefined) continue;
    const bytes = (hex.match(/../g) ?? []).reverse().map((byte) => Number.parseInt(byte, 16));
    found.push(`${bytes.join('.')}:${Number.parseInt(port, 16)}`);
  }
  return found;
}
