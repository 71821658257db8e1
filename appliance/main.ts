// The one bundled process: `twinstep run` is a CoServer, `twinstep witness` the third voice, `twinstep status` asks the
// local process. Worker threads start the same file with a role.
import { readFileSync } from 'node:fs';
import { isMainThread, type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { Command } from 'commander';
import { runRequest } from './console/cli/request.ts';
import { runStatus } from './console/cli/status.ts';
import { runGateWorker } from './gate/worker.ts';
import { runHeartbeatWorker } from './heartbeat/worker.ts';
import { runMemoryWorker } from './memory/worker.ts';
import { runMirrorWorker } from './mirror/worker.ts';
import { ConfigError, loadConfig, loadPairKey } from './runtime/load-config.ts';
import { log } from './runtime/log.ts';
import { runCoServer } from './runtime/run.ts';
import type { WorkerRole } from './runtime/workers.ts';
import { startWitness } from './witness/server.ts';

/** Set by the bundler to package.json's version. */
declare const TWINSTEP_VERSION: string | undefined;

export function version(): string {
  if (typeof TWINSTEP_VERSION === 'string') return TWINSTEP_VERSION;
  return (JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }).version;
}

function work(data: WorkerRole, port: MessagePort): void {
  switch (data.role) {
    case 'heartbeat':
      void runHeartbeatWorker(data.setup, port);
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
    .action(async (o: { config: string }) => runCoServer(loadConfig(o.config), version(), new URL(import.meta.url)));
  program
    .command('witness')
    .description('run the witness of a pair, on a third machine')
    .requiredOption('--listen <address:port>', 'where to listen')
    .requiredOption('--state <directory>', 'where the grants are kept')
    .requiredOption('--key <file>', "the pair's key")
    .action(async (o: { listen: string; state: string; key: string }) => {
      const at = o.listen.lastIndexOf(':');
      const port = Number(o.listen.slice(at + 1));
      if (at < 1 || !Number.isInteger(port) || port < 1 || port > 65535)
        throw new ConfigError(`--listen '${o.listen}': address:port is needed, for example 192.0.2.1:7410`);
      await startWitness({
        host: o.listen.slice(0, at),
        port,
        stateDir: o.state,
        pairKey: loadPairKey(o.key),
        log: (line) => log('info', line),
      });
      log('info', `witness ${version()} listens on ${o.listen}`);
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
    .command('request', '', { hidden: false })
    .description("asks the local process for an operator's action")
    .allowUnknownOption()
    .allowExcessArguments()
    .helpOption(false)
    .action(async (_o: unknown, c: Command) => {
      process.exitCode = await runRequest(c.args, { stdout: process.stdout, stderr: process.stderr });
    });
  await program.parseAsync();
}

if (isMainThread) {
  main().catch((e: Error) => {
    log('fatal', e instanceof ConfigError ? e.message : (e.stack ?? e.message));
    process.exitCode = e instanceof ConfigError ? 78 : 1;
  });
} else if (parentPort) {
  work(workerData as WorkerRole, parentPort);
}
