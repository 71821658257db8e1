// A lab of whole machines lives in its rack's network namespace, where its BMCs are. A program that holds one calls `insideRack` first: from
// this machine's own network it makes the namespace and starts the same program again inside, forwards the web consoles meanwhile, and
// removes what is left afterwards.
import { spawn } from 'node:child_process';
import { mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { CoServerName } from '../../../appliance/core/snapshot.ts';
import { inNamespace } from '../network.ts';
import { ADDRESSES, CO_SERVERS } from '../settings.ts';
import { WebForward } from '../web-forward.ts';
import { Rack } from './rack.ts';
import type { MachinesSettings } from './settings.ts';

const WEB_PORT = 443;

/** True: this program is inside. Otherwise it has run inside, to its end, and `process.exitCode` is its. */
export async function insideRack(settings: MachinesSettings, engineRoot: string): Promise<boolean> {
  if (isInside(settings)) return true;
  const rack = new Rack(settings);
  const forwards: WebForward[] = [];
  try {
    for (const name of CO_SERVERS) forwards.push(await WebForward.listen(settings.webPorts[name]));
    // Of another one that runs, `make` says so; what is left of a killed one was swept by the caller.
    await rack.make();
  } catch (error) {
    await Promise.all(forwards.map((forward) => forward.close()));
    throw error;
  }
  try {
    mkdirSync(settings.directory, { recursive: true, mode: 0o700 });
    CO_SERVERS.forEach((name, i) => {
      forwards[i]?.start(engineRoot, settings.namespace, `${ADDRESSES.management[name]}:${WEB_PORT}`, webSocket(settings, name));
    });
    process.exitCode = await runInside(settings);
  } finally {
    await Promise.all(forwards.map((forward) => forward.close()));
    for (const name of CO_SERVERS) {
      rmSync(join(settings.directory, name), { recursive: true, force: true });
      for (const path of [webSocket(settings, name), `${webSocket(settings, name)}.log`]) rmSync(path, { force: true });
    }
    // Last, because `down` waits for it.
    await rack.sweep();
  }
  return false;
}

function webSocket(settings: MachinesSettings, name: CoServerName): string {
  return join(settings.directory, `web-${name.toLowerCase()}.sock`);
}

function isInside(settings: MachinesSettings): boolean {
  const named = statSync(join('/run/netns', settings.namespace), { throwIfNoEntry: false });
  return named !== undefined && named.ino === statSync('/proc/self/ns/net').ino;
}

/** The same command line; signals are handed on, what it says goes where ours goes, and its messages (IPC) to who started us. */
async function runInside(settings: MachinesSettings): Promise<number> {
  const [command, args] = inNamespace(settings.namespace, process.execPath, [...process.execArgv, ...process.argv.slice(1)]);
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', '--', command, ...args], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    // Ctrl-C on the terminal is handed on once, by us.
    detached: true,
  });
  // Whoever started us may be gone by now.
  child.on('message', (message) => process.connected && process.send?.(message, undefined, undefined, () => undefined));
  const handOn = (signal: NodeJS.Signals) => void child.kill(signal);
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, handOn);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => resolve(code ?? 1));
    });
  } finally {
    for (const signal of signals) process.off(signal, handOn);
  }
}
