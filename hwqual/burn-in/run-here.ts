// The burn-in of this server, as `twinstep burn-in` and `twinstep qualify --burn-in` run it: progress, then what was found, line by line.
// The result is also kept in stateDir: the jitter in it sets the smallest heartbeat time-out of the next start.
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { CoServerConfig } from '../../appliance/config.ts';
import { BURN_IN_FILE } from '../../appliance/heartbeat/burn-in-floor.ts';
import { runBurnIn } from './burn-in.ts';
import type { BurnInOptions, ScratchOptions } from './context.ts';
import type { BurnInResult, TestId } from './result.ts';
import { BurnInScreen, type ScreenOutput } from './screen.ts';

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

/** Of the command line. */
export interface BurnInFlags {
  /** Seconds. */
  for: number;
  answer?: boolean;
  only?: TestId[];
  memoryShare?: number;
  diskMib?: number;
  diskArea?: NonNullable<ScratchOptions['area']>;
}

export const DEFAULT_MEMORY_SHARE = 0.5;
export const DEFAULT_DISK_MIB = 1024;

export async function runBurnInHere(config: CoServerConfig, options: BurnInOptions, io: BurnInIo): Promise<BurnInResult> {
  const screen = new BurnInScreen(io.stdout);
  const say = (line: string): void => void io.stdout.write(`${line}\n`);
  const result = await runBurnIn(options, (progress) => screen.show(progress), io.signal);
  for (const test of result.tests) say(`${test.verdict === 'notTested' ? 'not tested' : test.verdict}: ${test.title}: ${test.reason}`);
  if (result.smallestHeartbeatTimeoutMs !== null) {
    say(`smallest heartbeat.timeoutMs: ${result.smallestHeartbeatTimeoutMs}`);
    mkdirSync(config.stateDir, { recursive: true, mode: 0o700 });
    writeResult(join(config.stateDir, BURN_IN_FILE), result);
  }
  say(`burn-in ${result.verdict}; ${result.sentence}`);
  return result;
}

/** Whole or not at all: a report is made of it. */
export function writeResult(file: string, result: BurnInResult): void {
  writeFileSync(`${file}.new`, `${JSON.stringify(result, null, 2)}\n`);
  renameSync(`${file}.new`, file);
}

/** Null, or why there can be no burn-in now. */
export async function whyNotNow(config: CoServerConfig): Promise<string | null> {
  if (!(await isRunning(config.console.socket))) return null;
  return `CoServer ${config.coServer} is running here, and a burn-in would take its memory, disk and links: stop it first`;
}

/** What a burn-in needs, of the configuration. */
export function burnInOptions(config: CoServerConfig, doors: Omit<BurnInDoors, 'loadConfig'>, flags: BurnInFlags): BurnInOptions {
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

/** Somebody answers at the CoServer's own socket. */
function isRunning(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect(socket);
    connection.once('connect', () => resolve(true)).once('error', () => resolve(false));
    connection.once('connect', () => connection.destroy());
  });
}
