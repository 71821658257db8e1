// `twinstep burn-in --config FILE --for 10m`: this server, under all the load that it can have, and the links to its partner.
import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import type { CoServerConfig } from '../../appliance/config.ts';
import { runBurnIn } from './burn-in.ts';
import type { BurnInOptions, ScratchOptions } from './context.ts';
import { type CutPhase, runPowerCut } from './power-cut-command.ts';
import { type BurnInResult, TEST_IDS, type TestId } from './result.ts';
import { BurnInScreen, type ScreenOutput } from './screen.ts';
import { resetByWatchdog } from './watchdog.ts';

export interface BurnInIo {
  stdout: ScreenOutput;
  stderr: { write(text: string): unknown };
  /** Ends it, as Ctrl-C does. */
  signal: AbortSignal;
}

/** What the appliance knows; it throws for a configuration, a key or a password that is wrong. */
export interface BurnInDoors {
  loadConfig(file: string): CoServerConfig;
  loadPairKey(file: string, pairId: string): Uint8Array;
  loadFencePassword(file: string): string;
  /** The program whose threads take the role 'burnIn'. */
  program: URL;
}

export const EXIT = { passed: 0, failed: 1, usage: 2, incomplete: 3 } as const;
const DEFAULT_MEMORY_SHARE = 0.5;
const DEFAULT_DISK_MIB = 1024;
const LONGEST_S = 7 * 86_400;

interface Flags {
  config: string;
  for: number;
  json?: string;
  answer?: boolean;
  only?: TestId[];
  memoryShare: number;
  diskMib: number;
  diskArea?: NonNullable<ScratchOptions['area']>;
  resetByWatchdog?: boolean;
  phase?: 'write' | 'verify' | 'listen';
  acknowledged?: number;
  tell?: { host: string; port: number };
  port?: number;
}

/** `argv`: what follows `burn-in`. Answers the exit code. */
export async function runBurnInCommand(argv: readonly string[], io: BurnInIo, doors: BurnInDoors): Promise<number> {
  const command = burnInCommand(io);
  try {
    command.parse([...argv], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.passed : EXIT.usage;
    throw error;
  }
  const flags = command.opts<Flags>();
  const config = doors.loadConfig(flags.config);
  const say = (line: string): void => void io.stdout.write(`${line}\n`);
  const cut = cutPhase(flags, config);
  if (typeof cut === 'string') {
    io.stderr.write(`twinstep burn-in: ${cut}\n`);
    return EXIT.usage;
  }
  if (cut?.phase !== 'listen' && (await isRunning(config.console.socket))) {
    io.stderr.write(
      `twinstep burn-in: CoServer ${config.coServer} is running here, and a burn-in would take its memory, disk and links: stop it first\n`,
    );
    return EXIT.usage;
  }
  const options = burnInOptions(config, doors, flags);
  if (cut !== null) return runPowerCut(cut, options.scratch, say, io.signal);
  const result = await runBurnIn(options, makeProgress(io.stdout), io.signal);
  for (const test of result.tests) say(`${test.verdict === 'notTested' ? 'not tested' : test.verdict}: ${test.title}: ${test.reason}`);
  if (result.smallestHeartbeatTimeoutMs !== null) say(`smallest heartbeat.timeoutMs: ${result.smallestHeartbeatTimeoutMs}`);
  say(`burn-in ${result.verdict}; ${result.sentence}`);
  if (flags.json !== undefined) writeResult(flags.json, result);
  if (flags.resetByWatchdog && !io.signal.aborted) {
    await resetByWatchdog({ ...options.watchdog, stateDir: options.stateDir, say });
    return EXIT.failed; // still here
  }
  return EXIT[result.verdict];
}

function burnInCommand(io: BurnInIo): Command {
  return new Command('twinstep burn-in')
    .description('Tests this server and its links under load. Both CoServers run it at the same time, or the other one answers.')
    .requiredOption('--config <file>', "this CoServer's configuration")
    .option('--for <time>', 'how long: 90s, 10m, 24h', seconds, 600)
    .option('--json <file>', 'also write the result there')
    .option('--answer', "only answer the partner's burn-in on the links, and tell what came")
    .option('--only <tests>', `some tests only: ${TEST_IDS.join(',')}`, testIds)
    .option('--memory-share <share>', 'of the free memory, 0.01 to 0.95', share, DEFAULT_MEMORY_SHARE)
    .option('--disk-mib <MiB>', "of the scratch file beside the guest's disk", wholeNumber(16, 1 << 30), DEFAULT_DISK_MIB)
    .option('--disk-area <device:offset:length>', 'instead of a file: an empty area of a device, in MiB', diskArea)
    .option('--reset-by-watchdog', 'at the end the watchdog resets this machine; the next burn-in tells whether it did')
    .option('--phase <phase>', 'the power-cut test: write, verify, or listen on the other CoServer', cutPhaseName)
    .option('--acknowledged <number>', 'verify: the last number that was told before the cut', wholeNumber(0, Number.MAX_SAFE_INTEGER))
    .option('--tell <address:port>', 'write: where the numbers are told, besides here', addressAndPort)
    .option('--port <port>', 'listen: where they are heard', wholeNumber(1, 65_535))
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({ writeOut: (text) => io.stdout.write(text), writeErr: (text) => io.stderr.write(text) });
}

/** What a burn-in needs, of the configuration; qualification calls it, too. */
export function burnInOptions(
  config: CoServerConfig,
  doors: BurnInDoors,
  flags: Pick<Flags, 'for' | 'answer' | 'only' | 'diskArea'> & { memoryShare?: number; diskMib?: number },
): BurnInOptions {
  const { pair, fence } = config;
  return {
    coServer: config.coServer,
    pairId: pair.id,
    pairKey: existsSync(pair.keyFile) ? doors.loadPairKey(pair.keyFile, pair.id) : null,
    durationS: flags.for,
    links: config.links.map(({ nic }) => ({ nic })),
    answerOnly: flags.answer ?? false,
    memoryShare: flags.memoryShare ?? DEFAULT_MEMORY_SHARE,
    scratch: { guestDisk: config.workload.disk.path, sizeMiB: flags.diskMib ?? DEFAULT_DISK_MIB, area: flags.diskArea ?? null },
    heartbeat: config.heartbeat,
    fence:
      fence.address === ''
        ? null
        : {
            address: fence.address,
            port: fence.port,
            username: fence.username,
            password: doors.loadFencePassword(fence.passwordFile),
            cipherSuite: fence.cipherSuite,
          },
    ownBmc: config.hardware.bmc,
    watchdog: config.watchdog,
    stateDir: config.stateDir,
    program: doors.program,
    ...(flags.only ? { tests: flags.only } : {}),
  };
}

function makeProgress(stdout: ScreenOutput): Parameters<typeof runBurnIn>[1] {
  const screen = new BurnInScreen(stdout);
  return (progress) => screen.show(progress);
}

/** Whole or not at all: a report is made of it. */
function writeResult(file: string, result: BurnInResult): void {
  writeFileSync(`${file}.new`, `${JSON.stringify(result, null, 2)}\n`);
  renameSync(`${file}.new`, file);
}

/** Somebody answers at the CoServer's own socket. */
function isRunning(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect(socket);
    connection.once('connect', () => resolve(true)).once('error', () => resolve(false));
    connection.once('connect', () => connection.destroy());
  });
}

/** Null: no power-cut test. A string: what is wrong. */
function cutPhase(flags: Flags, config: CoServerConfig): CutPhase | null | string {
  switch (flags.phase) {
    case undefined:
      return null;
    case 'write':
      return { phase: 'write', tell: flags.tell ?? null };
    case 'verify':
      if (flags.acknowledged === undefined)
        return '--phase verify needs --acknowledged, the last number that was told before the power was cut';
      return { phase: 'verify', acknowledged: flags.acknowledged };
    case 'listen':
      if (flags.port === undefined) return '--phase listen needs --port';
      return { phase: 'listen', address: config.management.address, port: flags.port };
    default:
      flags.phase satisfies never;
      return null;
  }
}

/** "90s", "10m", "24h"; of a number alone: seconds. */
export function seconds(text: string): number {
  const [, amount = '', unit = 's'] = /^(\d{1,6})([smh]?)$/.exec(text) ?? [];
  const value = Number(amount) * ({ s: 1, m: 60, h: 3600 }[unit || 's'] ?? 1);
  if (amount === '' || value < 1 || value > LONGEST_S)
    throw new InvalidArgumentError('a time like 90s, 10m or 24h is needed, of at most 7 days');
  return value;
}

function share(text: string): number {
  const value = Number(text);
  if (!(value >= 0.01 && value <= 0.95)) throw new InvalidArgumentError('a number from 0.01 to 0.95 is needed');
  return value;
}

function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most)
      throw new InvalidArgumentError(`a whole number from ${least} to ${most} is needed`);
    return value;
  };
}

function testIds(text: string): TestId[] {
  return text.split(',').map((name) => {
    const id = TEST_IDS.find((known) => known === name);
    if (!id) throw new InvalidArgumentError(`there is no test ${name}: ${TEST_IDS.join(', ')}`);
    return id;
  });
}

function diskArea(text: string): NonNullable<ScratchOptions['area']> {
  const [, path = '', offset = '', length = ''] = /^(\/.+):(\d{1,9}):(\d{1,9})$/.exec(text) ?? [];
  if (path === '') throw new InvalidArgumentError('a device, an offset and a length in MiB are needed: /dev/sdb:1024:512');
  return { path, offsetMiB: Number(offset), lengthMiB: Number(length) };
}

function cutPhaseName(text: string): 'write' | 'verify' | 'listen' {
  if (text === 'write' || text === 'verify' || text === 'listen') return text;
  throw new InvalidArgumentError('write, verify or listen is needed');
}

function addressAndPort(text: string): { host: string; port: number } {
  const [, host = '', port = ''] = /^([0-9.]{7,15}):(\d{1,5})$/.exec(text) ?? [];
  if (host === '' || Number(port) < 1 || Number(port) > 65_535)
    throw new InvalidArgumentError('an IPv4 address and a port are needed: 10.0.0.2:7000');
  return { host, port: Number(port) };
}
