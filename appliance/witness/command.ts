// `twinstep witness` and what belongs to it on the witness's machine: run it, enrol a pair, list the pairs, remove one.
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import type { Command } from 'commander';
import { parse } from 'yaml';
import { PairFolder, parseEnrolment, WitnessSetupError } from './enrolment.ts';
import { startWitness } from './server.ts';

/** Where the systemd unit keeps it. */
export const DEFAULT_STATE = '/var/lib/twinstep-witness';
/** An enrolment has four short lines. */
const MAXIMUM_ENROLMENT_BYTES = 4_096;

export interface WitnessCommandOptions {
  version: string;
  log: (level: 'info' | 'warning', text: string) => void;
}

interface RunOptions {
  listen?: string;
  state?: string;
  config?: string;
}

/** Adds the command with its subcommands. Bad input ends as a WitnessSetupError. */
export function addWitnessCommands(program: Command, { version, log }: WitnessCommandOptions): void {
  const witness = program
    .command('witness')
    .description('run the witness of any number of pairs, on a third machine')
    .option('--listen <address:port>', 'where to listen, for example 192.0.2.1:7410 or [2001:db8::1]:7410')
    .option('--state <directory>', `where pairs and grants are kept (default: ${DEFAULT_STATE})`)
    .option('--config <file>', 'YAML with listen: and state:, which the options override')
    .action(async (given: RunOptions) => {
      const o = { ...(given.config === undefined ? {} : readWitnessConfig(given.config)), ...given };
      const { host, port } = parseListen(o.listen);
      const stateDir = o.state ?? DEFAULT_STATE;
      const running = await startWitness({ host, port, stateDir, log }).catch((e: NodeJS.ErrnoException) => {
        throw e.syscall === undefined
          ? e
          : new WitnessSetupError(`the witness cannot start (--listen ${o.listen}, --state ${stateDir}): ${e.message}`);
      });
      log('info', `witness ${version} listens on ${o.listen}, ${new PairFolder(stateDir).list().length} pairs are enrolled`);
      for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void running.close().then(() => process.exit(0)));
    });
  const state = ['--state <directory>', `where pairs and grants are kept (default: ${DEFAULT_STATE})`] as const;
  // The option is the witness's own too, which may have taken it.
  const folder = (command: Command) => new PairFolder(command.optsWithGlobals<RunOptions>().state ?? DEFAULT_STATE);
  witness
    .command('enrol')
    .description("enrol a pair: its enrolment ('twinstep witness-key' on a CoServer) comes on standard input")
    .option(...state)
    .action((_o: unknown, command: Command) => {
      if (process.stdin.isTTY) process.stderr.write("paste what 'twinstep witness-key' printed, then Ctrl-D\n");
      const enrolment = parseEnrolment(readFileSync(0).subarray(0, MAXIMUM_ENROLMENT_BYTES).toString('latin1'));
      const how = folder(command).add(enrolment) === 'added' ? 'is enrolled' : 'was enrolled already';
      process.stdout.write(`pair ${enrolment.pairId} ${how}; a running witness serves it at once\n`);
    });
  witness
    .command('list')
    .description('the enrolled pairs')
    .option(...state)
    .action((_o: unknown, command: Command) => {
      for (const pairId of folder(command).list()) process.stdout.write(`${pairId}\n`);
    });
  witness
    .command('remove')
    .description('serve a pair no longer; what was granted to it is remembered, should it be enrolled again')
    .argument('<pair>', 'its id')
    .option(...state)
    .action((pairId: string, _o: unknown, command: Command) => {
      folder(command).remove(pairId);
      process.stdout.write(`pair ${pairId} is not served any more\n`);
    });
}

function readWitnessConfig(file: string): RunOptions {
  let value: unknown;
  try {
    value = parse(readFileSync(file, 'utf8'));
  } catch (e) {
    throw new WitnessSetupError(`cannot read the configuration ${join(file)}: ${(e as Error).message}`);
  }
  if (typeof value !== 'object' || value === null) throw new WitnessSetupError(`${file}: listen: and state: are needed`);
  for (const [key, found] of Object.entries(value))
    if ((key !== 'listen' && key !== 'state') || typeof found !== 'string')
      throw new WitnessSetupError(
        `${file}: ${key}: ${key === 'listen' || key === 'state' ? 'a text is needed' : 'unknown key, there are listen and state'}`,
      );
  return value;
}

/** 'address:port', IPv6 in brackets. */
export function parseListen(listen: string | undefined): { host: string; port: number } {
  const at = listen?.lastIndexOf(':') ?? -1;
  const host = listen?.slice(0, at).replace(/^\[(.*)\]$/, '$1') ?? '';
  const port = Number(listen?.slice(at + 1));
  if (at < 1 || !isIP(host) || !Number.isInteger(port) || port < 1 || port > 65535)
    throw new WitnessSetupError(`--listen '${listen ?? ''}': address:port is needed, for example 192.0.2.1:7410`);
  return { host, port };
}
