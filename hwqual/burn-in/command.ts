// `twinstep burn-in --config FILE --for 10m`: this server, under all the load that it can have, and the links to its partner.
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import type { CoServerConfig } from '../../appliance/config.ts';
import { diskArea, seconds, share, testIds, wholeNumber } from './arguments.ts';
import { type CutPhase, runPowerCut } from './power-cut-command.ts';
import { TEST_IDS } from './result.ts';
import {
  type BurnInDoors,
  type BurnInFlags,
  type BurnInIo,
  burnInOptions,
  DEFAULT_DISK_MIB,
  DEFAULT_MEMORY_SHARE,
  runBurnInHere,
  whyNotNow,
  writeResult,
} from './run-here.ts';
import { resetByWatchdog } from './watchdog.ts';

export const EXIT = { passed: 0, failed: 1, usage: 2, incomplete: 3 } as const;

interface Flags extends BurnInFlags {
  config: string;
  json?: string;
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
  const whyNot = cut?.phase === 'listen' ? null : await whyNotNow(config);
  if (whyNot !== null) {
    io.stderr.write(`twinstep burn-in: ${whyNot}\n`);
    return EXIT.usage;
  }
  const options = burnInOptions(config, doors, flags);
  if (cut !== null) return runPowerCut(cut, options.scratch, say, io.signal);
  const result = await runBurnInHere(config, options, io);
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
