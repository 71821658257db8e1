// What the figures were measured on: without it they say nothing.
import { execFileSync } from 'node:child_process';
import { arch, cpus, loadavg, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { mustRun } from '../../image/engine/run-program.ts';

export interface Machine {
  cpu: string;
  cores: number;
  memoryGiB: number;
  kernel: string;
  acceleration: string;
  qemu: string;
  node: string;
  /** Of the tree that was measured; "+changes": with changes that were not committed. */
  revision: string;
  /** Of the last minute before the run: others at work make every figure noise. */
  loadAtStart: number;
}

export async function describeMachine(engineRoot: string, acceleration: string): Promise<Machine> {
  const version = await mustRun('chroot', [engineRoot, 'qemu-system-x86_64', '--version']);
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: `${release()} ${arch()}`,
    acceleration: acceleration === 'tcg' ? 'none: QEMU emulates every CPU (TCG)' : 'KVM',
    qemu: /version (.*)/.exec(version)?.[1] ?? version.trim(),
    node: process.version,
    revision: revision(),
    loadAtStart: Number((loadavg()[0] ?? 0).toFixed(2)),
  };
}

function revision(): string {
  const git = (...args: string[]) =>
    execFileSync('git', ['-C', join(import.meta.dirname, '../..'), ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  try {
    return `${git('rev-parse', '--short', 'HEAD')}${git('status', '--porcelain', '--untracked-files=no') === '' ? '' : '+changes'}`;
  } catch {
    return 'not from a git repository';
  }
}
