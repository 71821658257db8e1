// Removes what a lab left behind, whatever ended it: by the pids it recorded and by its own names, nothing else. Can be repeated.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './command.ts';
import { isAlive } from './processes.ts';
import { alreadyRuns, readRecord, removeRecord, runningSupervisor } from './record.ts';
import { CO_SERVERS, coServerPaths, type LabSettings, labPaths } from './settings.ts';

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It is gone already.
  }
}

/** Answers what was found and removed, in words; empty: there was nothing. Throws while the lab's supervisor lives and is not this process. */
export async function sweep(settings: LabSettings): Promise<string[]> {
  const holder = runningSupervisor(settings);
  if (holder !== undefined && holder !== process.pid) throw alreadyRuns(settings, holder);
  const removed: string[] = [];
  for (const p of readRecord(settings)?.processes ?? []) {
    if (!isAlive(p)) continue;
    kill(p.pid);
    removed.push(`process ${p.pid}`);
  }
  for (const namespace of Object.values(settings.namespaces)) {
    if (!existsSync(join('/run/netns', namespace))) continue;
    for (const pid of (await run('ip', ['netns', 'pids', namespace])).split('\n').filter((line) => line !== '')) {
      kill(Number(pid));
      removed.push(`process ${pid} in ${namespace}`);
    }
    await run('ip', ['netns', 'del', namespace]);
    removed.push(`network namespace ${namespace}`);
  }
  for (const mount of mountsBelow(settings.directory)) {
    await run('umount', ['--lazy', mount]);
    removed.push(`mount ${mount}`);
  }
  removeFiles(settings);
  removeRecord(settings);
  return removed;
}

/** Mount points below a directory, innermost first. None is expected: a CoServer's mounts are in its own mount namespace. */
function mountsBelow(directory: string): string[] {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => path.startsWith(`${directory}/`))
    .reverse();
}

/** All of the lab but its logs: they tell why it ended. */
function removeFiles(settings: LabSettings): void {
  const paths = labPaths(settings);
  for (const name of CO_SERVERS) {
    const own = coServerPaths(settings, name);
    for (const path of [own.root, own.state, own.disks, own.run, own.etc, own.undo, own.serial, own.bmc])
      rmSync(path, { recursive: true, force: true });
  }
  for (const path of [paths.control, paths.bundle, paths.guest, paths.tools, paths.forward, paths.witness.state])
    rmSync(path, { recursive: true, force: true });
}
