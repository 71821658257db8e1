// The one bundled process: `twinstep run` is a CoServer, `twinstep witness` the third voice, `twinstep pair` makes the pair's key,
// `twinstep status` asks the local process. Worker threads start the same file with a role.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isMainThread, type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { Command } from 'commander';
import { type BurnInRole, runBurnInCommand, runBurnInWorker } from '../hwqual/burn-in/index.ts';
import { runQualify } from '../hwqual/qualify/command.ts';
import { parseFacts } from '../hwqual/qualify/facts-codec.ts';
import { compareByProfile, qualifierFor } from '../hwqual/qualify/qualifier.ts';
import { runInstall } from '../image/installer/command.ts';
import type { CoServerConfig } from './config.ts';
import { runHardware } from './console/cli/hardware.ts';
import { runPoints } from './console/cli/points.ts';
import { runRequest } from './console/cli/request.ts';
import { runSettings } from './console/cli/settings.ts';
import { runStatus } from './console/cli/status.ts';
import { runState } from './encryption/command.ts';
import { runGateWorker } from './gate/worker.ts';
import { runHardwareWorker } from './hardware/worker.ts';
import { runHeartbeatWorker } from './heartbeat/worker.ts';
import { runMemoryWorker } from './memory/worker.ts';
import { runMirrorWorker } from './mirror/worker.ts';
import { runPair } from './pairing/command.ts';
import { runReplace } from './replacement/command.ts';
import { finishReplacement, replacedMark } from './replacement/index.ts';
import { endProcess } from './runtime/end-process.ts';
import { ConfigError, loadConfig, loadFencePassword, loadPairKey } from './runtime/load-config.ts';
import { log } from './runtime/log.ts';
import { RecordError } from './runtime/record-store.ts';
import { runCoServer } from './runtime/run.ts';
import { markWaitingHealthy } from './runtime/update-health.ts';
import { waitForConfiguration } from './runtime/waiting.ts';
import { WITNESS_KEY_ACTION } from './runtime/witness-key.ts';
import type { WorkerRole } from './runtime/workers.ts';
import { settleSettings } from './settings/index.ts';
import { runSetup } from './setup/command.ts';
import type { QualifyDoor } from './setup/hardware-reading.ts';
import { runUpdate } from './update/index.ts';
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

/** A trial guest of an emulated server takes its time. */
const QUALIFY_TIMEOUT_MS = 120_000;
const IO = { stdout: process.stdout, stderr: process.stderr };
/** Its threads start this file again, with a role. */
const BURN_IN = { loadPairKey, loadFencePassword, program: new URL(import.meta.url) };

/** Of a server that is a member of its pair. What a replacement of its partner, or a change of its settings, has left to do is done first. */
function loadMembersConfig(file: string): CoServerConfig {
  const config = loadConfig(file);
  const mark = replacedMark(config.stateDir);
  if (mark !== null) throw new ConfigError(mark);
  finishReplacement(config.stateDir);
  return settleSettings(() => loadConfig(file), file);
}

/** Ctrl-C, or whoever ends this process: once. */
function stopSignal(): AbortSignal {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  return stop.signal;
}

/** How a server that is being set up is compared with the other one. */
const QUALIFY: QualifyDoor = {
  read: async (config) => (await qualifierFor(config, version())?.read(AbortSignal.timeout(QUALIFY_TIMEOUT_MS))) ?? {},
  compare: (factsOfA, factsOfB) => {
    const { verdict, sentence, items } = compareByProfile(parseFacts(factsOfA), parseFacts(factsOfB), 'identical');
    const against = items.filter((i) => i.waived === null && (i.verdict === 'refused' || i.verdict === 'unknown'));
    return { verdict, sentence, items: against.map(({ title, a, b, rule }) => ({ item: title, a, b, rule })) };
  },
};

/** A command that reads its arguments, and helps, itself. */
function addOwn(program: Command, name: string, description: string, run: (args: string[]) => Promise<number>): void {
  program
    .command(name)
    .description(description)
    .allowUnknownOption()
    .allowExcessArguments()
    .helpOption(false)
    .action(async (_o: unknown, c: Command) => {
      process.exitCode = await run(c.args);
    });
}

async function main(): Promise<void> {
  const program = new Command('twinstep').description('Fault-tolerant server appliance').version(version());
  program
    .command('run')
    .description('run this CoServer')
    .requiredOption('--config <file>', 'its configuration')
    .action(async (o: { config: string }) => {
      const config = loadMembersConfig(o.config);
      return runCoServer(config, o.config, version(), new URL(import.meta.url), qualifierFor(config, version()));
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
  addOwn(program, 'setup', 'the first start: asks what this server has to know, on its consoles', (args) => {
    // On its consoles: this server only waits to be set up.
    if (args.includes('--console')) markWaitingHealthy();
    const webRoot = fileURLToPath(new URL('./setup', import.meta.url));
    return runSetup(args, { version: version(), webRoot, qualify: QUALIFY, log: (line) => log('info', line), signal: stopSignal(), ...IO });
  });
  addOwn(program, 'state', "the state partition's encryption, before it is mounted: run by the appliance's init", (args) =>
    runState(args, { version: version(), log: (line) => log('info', line), ...IO }),
  );
  addWitnessCommands(program, { version: version(), log });
  program
    .command('witness-key')
    .description('print what enrols this pair at its witness: the key that only they have, so show it to nobody else')
    .option('--config <file>', 'from this configuration and its key, also while the process does not run')
    .option('--socket <path>', "the process's socket")
    .action(async (o: { config?: string; socket?: string }) => {
      if (o.config === undefined) {
        process.exitCode = await runRequest([WITNESS_KEY_ACTION, ...(o.socket ? ['--socket', o.socket] : [])], IO);
        return;
      }
      const { pair } = loadConfig(o.config);
      process.stdout.write(formatEnrolment({ pairId: pair.id, key: deriveKey(loadPairKey(pair.keyFile, pair.id), 'witness') }));
    });
  addOwn(program, 'status', 'the state of the pair, from the local process', (args) => runStatus(args, IO));
  addOwn(
    program,
    'pair',
    'make the key of the pair, together with the other CoServer; pair replace: take a new server in for a lost one',
    (args) =>
      args[0] === 'replace'
        ? runReplace(args.slice(1), { stdin: process.stdin, ...IO, signal: stopSignal() })
        : runPair(args, { stdin: process.stdin, ...IO, signal: stopSignal() }, loadConfig),
  );
  addOwn(program, 'request', "asks the local process for an operator's action", (args) => runRequest(args, IO));
  addOwn(
    program,
    'hardware',
    'faults of both servers, and what is read of this one; exit code 0 well, 1 warning, 2 critical, 3 not known',
    (args) => runHardware(args, IO),
  );
  addOwn(program, 'settings', 'what may be changed after the first start: password, management address, BMC, witness, level', (args) =>
    runSettings(args, { stdin: process.stdin, ...IO }),
  );
  addOwn(program, 'points', "restore points of the guest's disk: taken, listed, exported, mounted, gone back to", (args) =>
    runPoints(args, IO),
  );
  addOwn(
    program,
    'update',
    'the versions on this server: status, install FILE, rollback, restart; and of both: pair start|status|allow-restart|stop',
    (args) => runUpdate(args, { stdin: process.stdin, ...IO }),
  );
  addOwn(program, 'burn-in', 'test this server and its links under load, before it carries a guest', (args) => {
    return runBurnInCommand(args, { ...IO, signal: stopSignal() }, { loadConfig, ...BURN_IN });
  });
  addOwn(program, 'qualify', 'are two servers alike enough for lockstep: live, or by their saved inventories', (args) =>
    runQualify(args, IO, { version: version(), load: loadConfig, burnIn: { ...BURN_IN, stopSignal } }),
  );
  addOwn(program, 'install', 'started from the installation medium: asks, and writes the appliance to a disk', (args) =>
    runInstall(args, version(), (line) => log('info', line)),
  );
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
