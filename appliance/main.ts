// The one bundled process: `twinstep run` is a CoServer, `twinstep witness` the third voice, `twinstep pair` makes the pair's key,
// `twinstep status` asks the local process. Worker threads start the same file with a role.
import { readFileSync } from 'node:fs';
import { isMainThread, type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { Command } from 'commander';
import { type BurnInRole, runBurnInCommand, runBurnInWorker } from '../hwqual/burn-in/index.ts';
import { runQualify } from '../hwqual/qualify/command.ts';
import { qualifierFor } from '../hwqual/qualify/qualifier.ts';
import { runHardware } from './console/cli/hardware.ts';
import { runPoints } from './console/cli/points.ts';
import { runRequest } from './console/cli/request.ts';
import { runStatus } from './console/cli/status.ts';
import { runGateWorker } from './gate/worker.ts';
import { runHardwareWorker } from './hardware/worker.ts';
import { runHeartbeatWorker } from './heartbeat/worker.ts';
import { runMemoryWorker } from './memory/worker.ts';
import { runMirrorWorker } from './mirror/worker.ts';
import { runPair } from './pairing/command.ts';
import { endProcess } from './runtime/end-process.ts';
import { ConfigError, loadConfig, loadFencePassword, loadPairKey } from './runtime/load-config.ts';
import { log } from './runtime/log.ts';
import { RecordError } from './runtime/record-store.ts';
import { runCoServer } from './runtime/run.ts';
import { waitForConfiguration } from './runtime/waiting.ts';
import type { WorkerRole } from './runtime/workers.ts';
import { deriveKey } from './wire/keys.ts';
import { addWitnessCommands } from './witness/command.ts';
import { formatEnrolment, WitnessSetupError } from './witness/enrolment.ts';

/** Set by the bundler to package.json's version. */
declare const TWINSTEP_VERSION: string | undefined;

export function version(): string {
  if (typeof TWINSTEP_VERSION === 'string') return TWINSTEP_VERSION;
  return (JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }).version;
}

function work(data: WorkerRole | BurnInRole, port: MessagePort): void {
  switch (data.role) {
    case 'heartbeat':
      void runHeartbeatWorker(data.setup, port);
      return;
    case 'hardware':
      runHardwareWorker(data.setup, port);
      return;
    case 'mirror':
      void runMirrorWorker(data.setup, port, data.commitPort);
      return;
    case 'gate':
      void runGateWorker(data.setup, port, data.cutPort);
      return;
    case 'memory':
      void runMemoryWorker(data.setup, port, data.cutPort, data.commitPort);
      return;
    case 'burnIn':
      void runBurnInWorker(data.setup, port);
      return;
    default:
      data satisfies never;
  }
}

async function main(): Promise<void> {
  const program = new Command('twinstep').description('Fault-tolerant server appliance').version(version());
  program
    .command('run')
    .description('run this CoServer')
    .requiredOption('--config <file>', 'its configuration')
    .action(async (o: { config: string }) => {
      const config = loadConfig(o.config);
      return runCoServer(config, version(), new URL(import.meta.url), qualifierFor(config, version()));
    });
  program
    .command('wait')
    .description('show on the consoles why this CoServer does not run, until its configuration is there or has changed')
    .requiredOption('--config <file>', 'its configuration')
    .requiredOption('--console <device...>', 'serial lines and screens')
    .requiredOption('--reason <text>', 'why')
    .action(async (o: { config: string; console: string[]; reason: string }) => {
      await waitForConfiguration({ ...o, consoles: o.console, version: version(), log: (line) => log('info', line) });
    });
  addWitnessCommands(program, { version: version(), log });
  program
    .command('witness-key')
    .description('print what enrols this pair at its witness: the key that only they have, so show it to nobody else')
    .requiredOption('--config <file>', 'the configuration of this CoServer')
    .action((o: { config: string }) => {
      const { pair } = loadConfig(o.config);
      process.stdout.write(formatEnrolment({ pairId: pair.id, key: deriveKey(loadPairKey(pair.keyFile, pair.id), 'witness') }));
    });
  program
    .command('status', '', { hidden: false })
    .description('the state of the pair, from the local process')
    .allowUnknownOption()
    .allowExcessArguments()
    .helpOption(false)
    .action(async (_o: unknown, c: Command) => {
      process.exitCode = await runStatus(c.args, { stdout: process.stdout, stderr: process.stderr });
    });
  program
    .command('pair')
    .description('make the key of the pair, together with the other CoServer')
    .allowUnknownOption()
    .allowExcessArguments()
    .helpOption(false)
    .action(async (_o: unknown, c: Command) => {
      const stop = new AbortController();
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
      process.exitCode = await runPair(
        c.args,
        { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr, signal: stop.signal },
        loadConfig,
      );
    });
  program
    .command('request', '', { hidden: false })
    .description("asks the local process for an operator's action")
    .allowUnknownOption()
    .allowExcessArguments()
    .helpOption(false)
    .action(async (_o: unknown, c: Command) => {
      process.exitCode = await runRequest(c.args, { stdout: process.stdout, stderr: process.stderr });
    });
  program
    .command('hardware', '', { hidden: false })
    .description('faults of both servers, and what is read of this one; exit code 0 well, 1 warning, 2 critical, 3 not known')
    .allowUnknownOption()
    .allowExcessArguments()
    .helpOption(false)
    .action(async (_o: unknown, c: Command) => {
      process.exitCode = await runHardware(c.args, { stdout: process.stdout, stderr: process.stderr });
    });
  program
    .command('points', '', { hidden: false })
    .description("restore points of the guest's disk: taken, listed, exported, mounted, gone back to")
    .allowUnknownOption()
    .allowExcessArguments()
    .helpOption(false)
    .action(async (_o: unknown, c: Command) => {
      process.exitCode = await runPoints(c.args, { stdout: process.stdout, stderr: process.stderr });
    });
  program
    .command('burn-in')
    .description('test this server and its links under load, before it carries a guest')
    .allowUnknownOption()
    .allowExcessArguments()
    .helpOption(false)
    .action(async (_o: unknown, c: Command) => {
      const stop = new AbortController();
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
      const doors = { loadConfig, loadPairKey, loadFencePassword, program: new URL(import.meta.url) };
      process.exitCode = await runBurnInCommand(c.args, { stdout: process.stdout, stderr: process.stderr, signal: stop.signal }, doors);
    });
  program
    .command('qualify', '', { hidden: false })
    .description('are two servers alike enough for lockstep: live, or by their saved inventories')
    .allowUnknownOption()
    .allowExcessArguments()
    .helpOption(false)
    .action(async (_o: unknown, c: Command) => {
      const io = { stdout: process.stdout, stderr: process.stderr };
      process.exitCode = await runQualify(c.args, io, { version: version(), load: loadConfig });
    });
  await program.parseAsync();
}

if (isMainThread) {
  main().catch((e: Error) => {
    const isOperators = e instanceof ConfigError || e instanceof RecordError || e instanceof WitnessSetupError;
    log('fatal', isOperators ? e.message : (e.stack ?? e.message));
    // Not by the exit code alone: threads that a failed start leaves behind would keep the process, and nobody would start it again.
    endProcess(isOperators ? 78 : 1);
  });
} else if (parentPort) {
  work(workerData as WorkerRole | BurnInRole, parentPort);
}
