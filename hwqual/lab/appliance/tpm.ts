// A TPM 2.0 of the lab: Debian's swtpm, a program with a folder for what a TPM keeps. One folder is one board's TPM.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { LabError } from '../lab-error.ts';

const LOOK_EVERY_MS = 20;
const PATIENCE_MS = 20_000;

export interface LabTpm {
  /** For `MachineExtras.tpm`. */
  socket: string;
  stop(): Promise<void>;
}

/** For one power-on: it ends with the machine. What it keeps stays in `folder`. */
export async function startTpm(folder: string): Promise<LabTpm> {
  mkdirSync(folder, { recursive: true });
  const socket = join(folder, 'control');
  // The firmware starts it up, as on a board: the machine gives it power by the control socket.
  const child = spawn('swtpm', ['socket', '--tpm2', '--tpmstate', `dir=${folder}`, '--ctrl', `type=unixio,path=${socket}`, '--terminate'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint += text;
  });
  const ended = once(child, 'exit').catch(() => undefined);
  const missing = await Promise.race([once(child, 'spawn').then(() => null), once(child, 'error').then(([error]) => error as Error)]);
  if (missing !== null) throw new LabError(`swtpm cannot be started (${missing.message})`, 'sh image/setup/setup.sh prepare test');
  for (const until = performance.now() + PATIENCE_MS; !existsSync(socket); await delay(LOOK_EVERY_MS))
    if (child.exitCode !== null || performance.now() > until) throw new LabError(`swtpm does not start: ${complaint.trim()}`);
  return {
    socket,
    async stop() {
      child.kill();
      await ended;
    },
  };
}
