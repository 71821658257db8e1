// `npm run lab:machines`: two whole machines under QEMU. `up` holds them; the other commands ask the holder through its socket.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, rmSync, watch } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import type { CoServerName } from '../../../appliance/core/snapshot.ts';
import { engineRootPath } from '../../../image/engine/engine-root.ts';
import { attachConsole } from '../console-attach.ts';
import { askLab } from '../control-socket.ts';
import { parseCoServer } from '../holder.ts';
import { LabError, messageOf } from '../lab-error.ts';
import { LAB_FAULT_NAMES, LAB_FAULTS } from '../lab-interface.ts';
import { GUESTS, requireRoot } from '../prepare.ts';
import { PLAIN_ENVIRONMENT } from '../supervised.ts';
import { DEFAULT_WORKLOAD } from './configuration.ts';
import { insideRack } from './enter.ts';
import type { HandsAnswer } from './hands.ts';
import { controlPath, holdMachines } from './holder.ts';
import type { MachineStatus } from './lab.ts';
import { describeProof, isProven, type Proof } from './prove.ts';
import { Rack } from './rack.ts';
import { type MachinesSettings, machinePaths, machinesSettings } from './settings.ts';
import { MISMATCHES, mismatched, parseMismatch, TWIN } from './spec.ts';

const POLICIES = ['identical', 'sameFamily', 'none'] as const;
/** Two machines without power, and what is made for them: some seconds. */
const DOWN_TIMEOUT_MS = 60_000;

interface UpOptions {
  detach?: boolean;
  port?: string;
  mismatch?: string;
  power: boolean;
  product: boolean;
  policy: string;
  guest: string;
  level: string;
}

type HolderMessage = { kind: 'progress'; text: string } | { kind: 'up'; password: string } | { kind: 'failed'; text: string };

const program = new Command('lab:machines')
  .description('Two whole machines under QEMU, for experiments.')
  .exitOverride()
  .showHelpAfterError();
program.option('--instance <name>', 'keeps labs apart: one to four small letters or digits', process.env.TWINSTEP_LAB_INSTANCE ?? '0');

const settingsOf = (port?: string): MachinesSettings =>
  machinesSettings({ instance: program.opts<{ instance: string }>().instance, ...(port === undefined ? {} : { webPort: Number(port) }) });
const print = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

async function askMachines(action: string, target: string): ReturnType<typeof askLab> {
  const path = controlPath(settingsOf());
  if (!existsSync(path)) throw new LabError('no machines run here', 'npm run lab:machines -- up --detach');
  return askLab(path, { action, target });
}

async function ask(action: string, ...words: string[]): Promise<unknown> {
  requireRoot();
  const { result, close } = await askMachines(action, words.join(' '));
  close();
  return result;
}

async function isHeld(): Promise<boolean> {
  return ask('status').then(
    () => true,
    () => false,
  );
}

program
  .command('up')
  .description('make both machines and give them power; Ctrl-C ends them')
  .option('--detach', 'return when they have booted, and leave them running')
  .option('--port <n>', "of A's web console on this machine; B's is the next one")
  .option('--mismatch <what>', `B differs from A in one thing: ${MISMATCHES.join(', ')}`)
  .option('--no-power', 'leave both off')
  .option('--policy <policy>', `of the qualification: ${POLICIES.join(', ')}`, 'identical')
  .option('--guest <kind>', `the workload: ${GUESTS.join(', ')}`, DEFAULT_WORKLOAD.guest)
  .option('--level <n>', 'of protection: 2, 3', String(DEFAULT_WORKLOAD.level))
  .option('--no-product', 'machines to look at: the product does not run in them')
  .action(async (options: UpOptions) => {
    requireRoot();
    const settings = settingsOf(options.port);
    if (options.detach) return detach(settings);
    const policy = POLICIES.find((p) => p === options.policy);
    if (policy === undefined) throw new LabError(`--policy ${options.policy}`, `give one of ${POLICIES.join(', ')}`);
    const guest = GUESTS.find((g) => g === options.guest);
    if (guest === undefined) throw new LabError(`--guest ${options.guest}`, `give one of ${GUESTS.join(', ')}`);
    if (options.level !== '2' && options.level !== '3') throw new LabError(`--level ${options.level}`, 'give 2 or 3');
    const workload = { guest, level: options.level === '2' ? 2 : 3, policy } as const;
    const specs = { A: TWIN, B: options.mismatch === undefined ? TWIN : mismatched(TWIN, parseMismatch(options.mismatch)) };
    if (process.env.TWINSTEP_MACHINES_INSIDE !== settings.instance) {
      if (await isHeld()) throw new LabError('machines run here already', 'npm run lab:machines -- down');
      await new Rack(settings).sweep();
      process.env.TWINSTEP_MACHINES_INSIDE = settings.instance;
    }
    if (!(await insideRack(settings, engineRootPath()))) return;
    const send = process.connected ? (m: HolderMessage) => void process.send?.(m, undefined, undefined, () => undefined) : undefined;
    const tell = (text: string) => {
      if (send && process.connected) send({ kind: 'progress', text });
      print(text);
    };
    try {
      const { lab, gone } = await holdMachines(settings, specs, { power: options.power, runsProduct: options.product, workload }, tell);
      const { password } = lab.secrets;
      send?.({ kind: 'up', password });
      // A holder's standard output is a file when it is detached: the password goes to a terminal only.
      if (process.stdout.isTTY) print(`password of the web consoles: ${password}`);
      await gone;
    } catch (error) {
      send?.({ kind: 'failed', text: messageOf(error) });
      throw error;
    }
  });

/** The same command without --detach, in a session of its own, its messages by IPC. */
async function detach(settings: MachinesSettings): Promise<void> {
  mkdirSync(settings.directory, { recursive: true, mode: 0o700 });
  const logPath = join(settings.directory, 'holder.log');
  const log = openSync(logPath, 'w', 0o600);
  const args = [...process.execArgv, ...process.argv.slice(1).filter((a) => a !== '--detach')];
  const holder = spawn(process.execPath, args, { stdio: ['ignore', log, log, 'ipc'], detached: true });
  closeSync(log);
  const message = await new Promise<HolderMessage>((resolve) => {
    holder.on('message', (m) => {
      const message = m as HolderMessage;
      if (message.kind === 'progress') print(message.text);
      else resolve(message);
    });
    holder.once('exit', (code) => resolve({ kind: 'failed', text: `the lab ended with code ${code}: see ${logPath}` }));
  });
  holder.removeAllListeners('message');
  if (holder.connected) holder.disconnect();
  holder.unref();
  if (message.kind !== 'up') throw new LabError(message.kind === 'failed' ? message.text : 'the lab said nothing');
  print(`password of the web consoles: ${message.password}`);
  print('Both machines run. End them with: npm run lab:machines -- down');
}

program
  .command('down')
  .description('end both machines and remove everything; also what a killed lab left behind')
  .action(async () => {
    requireRoot();
    const settings = settingsOf();
    if (await isHeld()) {
      const { closed } = await askMachines('down', '');
      await closed;
      await rackGone(settings);
      print('the machines are gone');
      return;
    }
    const removed = await new Rack(settings).sweep();
    for (const name of ['A', 'B'] as const) rmSync(machinePaths(settings, name).directory, { recursive: true, force: true });
    print(removed.length === 0 ? 'no machines run here' : `removed what was left behind: ${removed.join(', ')}`);
  });

/** The last thing that the process outside the rack removes. */
async function rackGone(settings: MachinesSettings): Promise<void> {
  const watcher = watch('/run/netns');
  const late = setTimeout(
    () => watcher.emit('error', new LabError(`the lab is still being taken down after ${DOWN_TIMEOUT_MS / 1000} s`)),
    DOWN_TIMEOUT_MS,
  );
  try {
    while (existsSync(join('/run/netns', settings.namespace))) await once(watcher, 'change');
  } finally {
    clearTimeout(late);
    watcher.close();
  }
}

program
  .command('replace')
  .description('another machine in the place of B (or A), as new and with power: a twin, or one that differs')
  .argument('<A|B>')
  .argument('<what>', `twin, or one of ${MISMATCHES.join(', ')}`)
  .action(async (name: string, what: string) => print(`booted in ${await ask('replace', parseCoServer(name), what)} s`));

program
  .command('status')
  .description('power, boot, carriers and memory of both machines')
  .option('--json', 'as JSON')
  .action(async (options: { json?: boolean }) => {
    const status = (await ask('status')) as Record<CoServerName, MachineStatus>;
    if (options.json) return print(JSON.stringify(status));
    for (const [name, s] of Object.entries(status)) {
      const down = Object.entries(s.carriers).filter(([, up]) => !up);
      const boot = s.bootS === null ? s.stage : `booted in ${s.bootS} s`;
      const carrier = down.length === 0 ? 'all carriers up' : `no carrier: ${down.map(([role]) => role).join(', ')}`;
      print(`${name}  ${s.power}  ${s.power === 'on' ? `${boot}  ${carrier}  ${s.residentMiB ?? '?'} MiB` : ''}`);
    }
  });

program
  .command('power')
  .description("by the machine's BMC over RMCP+; off is verified")
  .argument('<on|off|status>')
  .argument('<A|B>')
  .action(async (what: string, name: string) => print(String(await ask('power', what, parseCoServer(name)))));

program
  .command('wait')
  .description('until a machine has booted; answers the seconds')
  .argument('<A|B>')
  .option('--timeout <s>', 'longest wait', '300')
  .action(async (name: string, options: { timeout: string }) => print(`${await ask('wait', parseCoServer(name), options.timeout)} s`));

program
  .command('console')
  .description("a machine's serial console; Ctrl-] leaves")
  .argument('<A|B>')
  .action(async (name: string) => {
    const { result, closed, close } = await askMachines('serial', parseCoServer(name));
    try {
      await attachConsole(String(result), closed);
    } finally {
      close();
    }
  });

const faultList = LAB_FAULT_NAMES.map((fault) => `  ${fault.padEnd(26)}${LAB_FAULTS[fault]}`).join('\n');
program
  .command('inject')
  .description('make a fault in a machine')
  .argument('<fault>')
  .argument('<A|B>')
  .addHelpText('after', `\nFaults:\n${faultList}`)
  .action(async (fault: string, name: string) => print(String(await ask('inject', fault, parseCoServer(name)))));
program
  .command('clear')
  .description('take a fault back')
  .argument('<fault>')
  .argument('<A|B>')
  .action(async (fault: string, name: string) => print(String(await ask('clear', fault, parseCoServer(name)))));

program
  .command('prove')
  .description('make each fault (or those named) in a machine, see it there, take it back, see it gone')
  .argument('<A|B>')
  .argument('[fault...]')
  .action(async (name: string, faults: string[]) => {
    for (const fault of faults.length > 0 ? faults : LAB_FAULT_NAMES) {
      const proof = (await ask('prove', fault, parseCoServer(name))) as Proof;
      print(describeProof(proof));
      if (!isProven(proof)) process.exitCode = 1;
    }
  });

program
  .command('exec')
  .description('a shell command in a machine')
  .argument('<A|B>')
  .argument('<command...>')
  .action(async (name: string, words: string[]) => {
    const { status, output } = (await ask('exec', parseCoServer(name), words.join(' '))) as HandsAnswer;
    print(output);
    process.exitCode = status;
  });

program
  .command('guest')
  .description("ask the tiny guest, from the machines' LAN: status, or append N")
  .argument('<question...>')
  .action(async (words: string[]) => {
    const answer = await ask('guest', ...words);
    print(typeof answer === 'string' ? answer : JSON.stringify(answer));
  });

program
  .command('monitor')
  .description("a command of QEMU's own monitor, for what the list of faults has not")
  .argument('<A|B>')
  .argument('<command...>')
  .action(async (name: string, words: string[]) => print(String(await ask('monitor', parseCoServer(name), words.join(' ')))));

program
  .command('logs')
  .description("what a machine's kernel and init said, and the product")
  .argument('<A|B>')
  .option('--follow', 'go on')
  .action((name: string, options: { follow?: boolean }): void => {
    const path = machinePaths(settingsOf(), parseCoServer(name)).log;
    const args = ['-n', '200', ...(options.follow ? ['-F'] : []), path];
    spawn('tail', args, { stdio: 'inherit', env: PLAIN_ENVIRONMENT });
  });

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode;
  else {
    process.stderr.write(`${messageOf(error)}\n`);
    process.exitCode = 1;
  }
}
