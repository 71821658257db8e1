// `npm run lab`: the pair on this machine for scripts. `up` holds it, the other commands ask the holder through its socket.
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command, CommanderError } from 'commander';
import { engineRootPath } from '../../image/engine/engine-root.ts';
import { partnerOf, primaryOf } from '../campaigns/pair-picture.ts';
import { parseBreak } from './break-secondary.ts';
import { attachConsole } from './console-attach.ts';
import { askLab, type LabRequest } from './control-socket.ts';
import { describePowerOff, describeStatus, type LabStatus } from './describe.ts';
import { DISK_ACTIONS, parseDiskAction } from './disk-faults.ts';
import { holdLab, parseCoServer, parseLink } from './holder.ts';
import { BMC_FAULTS, parseBmcFault } from './lab-bmc.ts';
import { LabError, messageOf } from './lab-error.ts';
import { engineProgram } from './network.ts';
import { GUESTS, prepareParts, requireRoot } from './prepare.ts';
import { isAlive } from './processes.ts';
import { alreadyRuns, readRecord, runningSupervisor } from './record.ts';
import { coServerPaths, INSIDE, type LabSettings, labPaths, labSettings } from './settings.ts';
import { requestAction } from './snapshot-client.ts';
import { PLAIN_ENVIRONMENT } from './supervised.ts';
import { sweep } from './sweep.ts';
import { waitDuplex } from './wait-duplex.ts';

/** Longest wait for a lab to end after it was asked. */
const DOWN_TIMEOUT_MS = 60_000;
const ENDED_LOOK_MS = 20;
const LOG_LINES = 200;

interface UpOptions {
  detach?: boolean;
  port?: string;
  bundle?: string;
  acceleration?: string;
  disk?: string;
  load?: string;
  guest: string;
}

/** What a detached holder tells the command that started it; the password goes this way and into no file. */
type HolderMessage =
  | { kind: 'progress'; text: string }
  | { kind: 'up'; password: string; web: string[] }
  | { kind: 'failed'; text: string };

const program = new Command('lab').description('A pair of CoServers on this machine, for experiments.').exitOverride().showHelpAfterError();
program.option('--instance <name>', 'keeps labs apart: one to four small letters or digits', process.env.TWINSTEP_LAB_INSTANCE ?? '0');

const settingsOf = (port?: string): LabSettings =>
  labSettings({ instance: program.opts<{ instance: string }>().instance, ...(port === undefined ? {} : { webPort: Number(port) }) });
const print = (text: string) => process.stdout.write(`${text}\n`);

async function ask(action: string, target = ''): Promise<unknown> {
  requireRoot();
  const { result, close } = await askLab(labPaths(settingsOf()).controlSocket, { action, target } satisfies LabRequest);
  close();
  return result;
}

const status = async () => (await ask('status')) as LabStatus;

program
  .command('up')
  .description('start the pair; Ctrl-C ends it')
  .option('--detach', 'return when it runs, and leave it running')
  .option('--port <n>', "of A's web console on this machine; B's is the next one")
  .option('--bundle <folder>', 'run this twinstep.mjs instead of building the tree')
  .option('--acceleration <kind>', 'kvm or tcg: do not probe')
  .option('--disk <MiB>', "size of the workload's disk")
  .option('--guest <kind>', `the workload: ${GUESTS.join(', ')}`, 'linux')
  .option('--load <fio>', 'what the guest does beside serving: fio with verification, on ext4 and xfs')
  .action(async (options: UpOptions) => {
    const settings = settingsOf(options.port);
    requireRoot();
    const pid = runningSupervisor(settings);
    if (pid !== undefined) throw alreadyRuns(settings, pid);
    if (options.detach) await detach(settings);
    else await hold(settings, options);
  });

async function hold(settings: LabSettings, options: UpOptions): Promise<void> {
  const send = process.send?.bind(process) as ((m: HolderMessage) => void) | undefined;
  const tell = (text: string) => (send && process.connected ? send({ kind: 'progress', text }) : print(text));
  const { acceleration, load } = options;
  if (load !== undefined && load !== 'fio') throw new LabError(`--load ${load}`, 'give fio');
  if (acceleration !== undefined && acceleration !== 'kvm' && acceleration !== 'tcg')
    throw new LabError(`--acceleration ${acceleration}`, 'give kvm or tcg');
  const guest = GUESTS.find((kind) => kind === options.guest);
  if (guest === undefined) throw new LabError(`--guest ${options.guest}`, `give one of ${GUESTS.join(', ')}`);
  const diskMiB = options.disk === undefined ? undefined : Number(options.disk);
  const parts = await prepareParts(
    settings,
    {
      ...(options.bundle ? { bundle: options.bundle } : {}),
      ...(acceleration ? { acceleration } : {}),
      ...(diskMiB ? { diskMiB } : {}),
      ...(load ? { load } : {}),
      guest,
    },
    tell,
  );
  const { lab, gone } = await holdLab(settings, parts, tell);
  const web = Object.entries(lab.view().coServers).map(([name, c]) => `web console of ${name}: ${c.web}`);
  if (send) {
    send({ kind: 'up', password: lab.password, web });
    process.disconnect();
  } else {
    for (const line of web) print(line);
    print(`password of the web consoles: ${lab.password}`);
    print('The pair runs. Ctrl-C ends it and leaves nothing behind.');
    lab.on('event', print);
  }
  await gone;
}

/** The same command without --detach, in a session of its own, its messages by IPC. */
async function detach(settings: LabSettings): Promise<void> {
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
  for (const line of message.web) print(line);
  print(`password of the web consoles: ${message.password}`);
  print('The pair runs. End it with: npm run lab -- down');
}

program
  .command('down')
  .description('end the pair and remove everything; also what a killed lab left behind')
  .action(async () => {
    requireRoot();
    const settings = settingsOf();
    if (runningSupervisor(settings) === undefined) {
      const removed = await sweep(settings);
      print(removed.length === 0 ? 'no pair runs here' : `removed what was left behind: ${removed.join(', ')}`);
      return;
    }
    const supervisor = readRecord(settings)?.supervisor;
    const { closed } = await askLab(labPaths(settings).controlSocket, { action: 'down', target: '' });
    const late = setTimeout(() => {
      process.stderr.write(`the lab is still being taken down after ${DOWN_TIMEOUT_MS / 1000} s: see ${labPaths(settings).log}\n`);
      process.exit(1);
    }, DOWN_TIMEOUT_MS);
    await closed;
    // A process that is not our child ends without an event.
    while (supervisor !== undefined && isAlive(supervisor)) await sleep(ENDED_LOOK_MS);
    clearTimeout(late);
    print('the pair is gone');
  });

program
  .command('sweep', { hidden: true })
  .description('what the lab runs by itself when its process was killed')
  .action(async () => {
    await sweep(settingsOf());
  });

program
  .command('status')
  .description('both CoServers, links, redundancy')
  .option('--json', 'as JSON: {coServers: {A, B}, lab}')
  .action(async (options: { json?: boolean }) => {
    const found = await status();
    print(options.json ? JSON.stringify(found) : describeStatus(found));
  });

program
  .command('power-off')
  .description('a power failure: all processes and cables of a CoServer dead at once, unflushed writes partly lost')
  .argument('<A|B>', 'the CoServer')
  .option('--seed <n>', 'decides what the disks lose')
  .action(async (name: string, options: { seed?: string }) => {
    if (options.seed !== undefined && !/^\d{1,10}$/.test(options.seed)) throw new LabError(`--seed ${options.seed}`, 'give a whole number');
    const target = parseCoServer(name) + (options.seed === undefined ? '' : `:${options.seed}`);
    print(describePowerOff((await ask('power-off', target)) as Parameters<typeof describePowerOff>[0]));
  });

program
  .command('power-off-at')
  .description('a power failure at a point of the next checkpoint: request, reply, pages, deviceState, received, commit, loaded')
  .argument('<A|B>', 'the CoServer')
  .argument('<point>', 'where')
  .option('--share <0..1>', 'which byte of the pages or of the device state; default: by chance')
  .option('--delay <ms>', 'how long the other threads go on', '0')
  .action(async (name: string, point: string, options: { share?: string; delay: string }) => {
    const hit = await ask('power-off-at', [parseCoServer(name), point, options.share ?? String(Math.random()), options.delay].join(':'));
    print(`power failure: ${JSON.stringify(hit)}`);
  });

program
  .command('break-secondary')
  .description("break the secondary's guest, not its engine: garbage in its memory, one bit of it, or a CPU that stands still")
  .argument('<garbage|byte|stuck>', 'how')
  .action(async (how: string) => {
    const { coServers } = await status();
    const primary = primaryOf(coServers);
    const secondary = primary === null ? null : partnerOf(primary);
    if (secondary === null || coServers[secondary]?.redundancy !== 'duplex')
      throw new LabError('there is no secondary: the pair is not duplex', 'npm run lab -- wait duplex');
    print(`CoServer ${secondary}: ${await ask('break-guest', `${secondary}:${parseBreak(how)}`)}`);
  });

program
  .command('kill')
  .description("kill the product's process on a CoServer, or its engine; nothing else")
  .argument('<A|B>', 'the CoServer')
  .option('--engine', 'the engine')
  .action(async (name: string, options: { engine?: boolean }) => {
    await ask(options.engine ? 'kill-engine' : 'kill-product', parseCoServer(name));
  });

program
  .command('power-on')
  .description('the CoServer starts again')
  .argument('<A|B>', 'the CoServer')
  .action(async (name: string) => {
    await ask('power-on', parseCoServer(name));
  });

program
  .command('link')
  .description('cut or mend a dedicated link')
  .argument('<1|2>', 'the link')
  .argument('<up|down>', 'what it shall be')
  .action(async (link: string, state: string) => {
    if (state !== 'up' && state !== 'down') throw new LabError(`"${state}" is no state of a link`, 'give up or down');
    await ask(state === 'up' ? 'mend-link' : 'cut-link', String(parseLink(link)));
  });

program
  .command('bmc')
  .description('break the BMC of a CoServer: it lies about having switched off, hangs, has another password, is unplugged; ok mends it')
  .argument('<A|B>', 'the CoServer')
  .argument(`<${BMC_FAULTS.join('|')}>`, 'what it shall be')
  .action(async (name: string, fault: string) => {
    await ask('bmc', `${parseCoServer(name)}:${parseBmcFault(fault)}`);
  });

program
  .command('disk')
  .description(
    "break the disk below a CoServer's copy: read-error OFFSET [LENGTH], write-error, flush-error, hang, slow MS, rot OFFSET [LENGTH], full; ok mends. With 'files' behind write-error, flush-error, hang and full: the one below the files beside it",
  )
  .argument('<A|B>', 'the CoServer')
  .argument('<action...>', `${DISK_ACTIONS.join('|')}, with its numbers`)
  .action(async (name: string, words: string[]) => {
    parseDiskAction(words);
    print(`disk of ${parseCoServer(name)}: ${await ask('disk', [parseCoServer(name), ...words].join(':'))}`);
  });

program
  .command('lan')
  .description("cut or mend a CoServer's cable to the business LAN")
  .argument('<A|B>', 'the CoServer')
  .argument('<up|down>', 'what it shall be')
  .action(async (name: string, state: string) => {
    if (state !== 'up' && state !== 'down') throw new LabError(`"${state}" is no state of a cable`, 'give up or down');
    await ask(state === 'up' ? 'mend-lan' : 'cut-lan', parseCoServer(name));
  });

program
  .command('act')
  .description("what an operator may ask a CoServer for at its console, as 'move-workload' or 'enter-maintenance'")
  .argument('<A|B>', 'the CoServer')
  .argument('<action>', "its name; 'status --json' has them all")
  .option('--typed <word>', 'what an action that can lose data wants typed')
  .action(async (name: string, action: string, options: { typed?: string }) => {
    requireRoot();
    await requestAction(coServerPaths(settingsOf(), parseCoServer(name)).consoleSocket, action, options.typed);
  });

program
  .command('restart-process')
  .description("end the product's process on a CoServer as an update does, its guest running on; it is started again at once")
  .argument('<A|B>', 'the CoServer')
  .option('--kill', 'without a last word (SIGKILL)')
  .action(async (name: string, options: { kill?: boolean }) => {
    await ask(options.kill ? 'kill-process' : 'restart-process', parseCoServer(name));
  });

program
  .command('freeze')
  .description('stop all processes of a CoServer, its cables alive')
  .argument('<A|B>', 'the CoServer')
  .option('--process', "only the product's own process")
  .action(async (name: string, options: { process?: boolean }) => {
    await ask(options.process ? 'freeze-process' : 'freeze', parseCoServer(name));
  });

program
  .command('thaw')
  .description('let a frozen CoServer go on')
  .argument('<A|B>', 'the CoServer')
  .action(async (name: string) => {
    await ask('thaw', parseCoServer(name));
  });

program
  .command('wait')
  .description('wait until the pair is duplex; exit 1 with the reason if it is not in time')
  .argument('<duplex>', 'what to wait for')
  .option('--timeout <s>', 'seconds', '120')
  .action(async (what: string, options: { timeout: string }) => {
    if (what !== 'duplex') throw new LabError(`"${what}" cannot be waited for`, 'wait duplex');
    const seconds = Number(options.timeout);
    if (!(seconds >= 0)) throw new LabError(`--timeout ${options.timeout}`, 'give seconds');
    const started = performance.now();
    await waitDuplex(async () => (await status()).coServers, seconds * 1000);
    print(`duplex after ${((performance.now() - started) / 1000).toFixed(1)} s`);
  });

program
  .command('exec')
  .description('run a command in the LAN, on a CoServer or where the witness is')
  .argument('<lan|A|B|witness>', 'where')
  .argument('<command...>', 'after --')
  .action(async (place: string, command: string[]) => {
    const where = (await ask('where', place)) as string[];
    const isCoServer = place === 'A' || place === 'B';
    const child = spawn('nsenter', [...where, ...(isCoServer ? installed(command) : available(command))], {
      stdio: 'inherit',
      // A CoServer has files of its own: what this machine's variables name is not there.
      env: isCoServer ? { ...PLAIN_ENVIRONMENT, TERM: process.env.TERM ?? 'dumb' } : process.env,
    });
    // Ctrl-C is for the command; we end with it.
    process.on('SIGINT', () => undefined);
    process.exitCode = await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 128)));
    });
  });

/** On a CoServer `twinstep` is the product that runs there. */
function installed([name = '', ...args]: string[]): string[] {
  const { bundle } = INSIDE;
  return name === 'twinstep' ? [join(bundle, 'node'), join(bundle, 'twinstep.mjs'), ...args] : [name, ...args];
}

/** The LAN and the witness run this machine's programs; what it lacks is taken from the engine's root. */
function available(command: string[]): string[] {
  const [name = '', ...args] = command;
  if (name.includes('/') || (process.env.PATH ?? '').split(':').some((d) => existsSync(join(d, name)))) return command;
  const found = ['usr/bin', 'usr/sbin'].map((d) => join(d, name)).find((p) => existsSync(join(engineRootPath(), p)));
  if (found === undefined) return command;
  const [loader, first] = engineProgram(engineRootPath(), found);
  return [loader, ...first, ...args];
}

program
  .command('console')
  .description('the serial console of a CoServer; Ctrl-] leaves')
  .argument('<A|B>', 'the CoServer')
  .action(async (name: string) => {
    requireRoot();
    const { result, closed, close } = await askLab(labPaths(settingsOf()).controlSocket, { action: 'serial', target: parseCoServer(name) });
    await attachConsole(String(result), closed);
    close();
  });

program
  .command('logs')
  .description("a CoServer's log, or another file beside it: supervisor.log, the engine's, the guest's serial port")
  .argument('<A|B>', 'the CoServer')
  .option('--follow', 'go on')
  .option('--file <name>', 'which', 'twinstep.log')
  .action(async (name: string, options: { follow?: boolean; file: string }) => {
    const path = join(coServerPaths(settingsOf(), parseCoServer(name)).log, options.file);
    if (options.file.includes('/') || !existsSync(path))
      throw new LabError(`there is no ${path}`, `see what is there: ls ${join(path, '..')}`);
    const child = spawn('tail', ['-n', String(LOG_LINES), ...(options.follow ? ['-F'] : []), path], { stdio: 'inherit' });
    await new Promise((resolve) => child.once('exit', resolve));
  });

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode;
  else {
    const text = messageOf(error);
    if (process.send && process.connected) process.send({ kind: 'failed', text } satisfies HolderMessage);
    process.stderr.write(`lab: ${text}\n`);
    process.exitCode = 1;
  }
}
if (process.connected) process.disconnect();
