// Sweeps a lab whose process ended without doing so itself, whatever ended it: a small process that waits for that.
import { type ChildProcess, spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import type { LabSettings } from './settings.ts';

export class Guard {
  readonly #child: ChildProcess;

  constructor(settings: LabSettings) {
    const sweepCommand = [process.execPath, '--no-warnings', join(import.meta.dirname, 'cli.ts'), 'sweep', '--instance', settings.instance];
    this.#child = spawn('sh', ['-c', 'read -r word || exec "$@"', 'sh', ...sweepCommand], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
      env: { ...process.env, TWINSTEP_LAB_DIR: dirname(settings.directory) },
    });
    this.#child.on('error', () => undefined);
    this.#child.stdin?.on('error', () => undefined);
  }

  /** There is nothing to sweep any more. */
  async dismiss(): Promise<void> {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.stdin?.end('done\n');
    await ended;
  }
}
