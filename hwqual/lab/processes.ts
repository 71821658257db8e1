// Which processes belong to a pid 1, and signals to all of them: from outside, by what /proc says.
import { readdirSync, readFileSync } from 'node:fs';

/** Started after another pass found nothing new: a process that forks while it is being stopped is found by the next. */
const MAX_PASSES = 5;

function childrenOf(pid: number): number[] {
  const children: number[] = [];
  try {
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      const text = readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8');
      for (const word of text.split(' ')) if (word !== '') children.push(Number(word));
    }
  } catch {
    // It ended while we looked.
  }
  return children;
}

/** The pid and all its descendants, parents first. */
export function processTree(pid: number): number[] {
  const found = [pid];
  for (let i = 0; i < found.length; i++) found.push(...childrenOf(found[i] ?? 0));
  return found;
}

export function firstChild(pid: number): number | undefined {
  return childrenOf(pid)[0];
}

function signal(pid: number, name: 'SIGSTOP' | 'SIGCONT'): void {
  try {
    process.kill(pid, name);
  } catch {
    // It ended meanwhile.
  }
}

/** Stops a process and all its descendants, until no pass finds a new one. */
export function stopTree(pid: number): number[] {
  const stopped = new Set<number>();
  for (let pass = 0; pass < MAX_PASSES; pass++) {
    const fresh = processTree(pid).filter((p) => !stopped.has(p));
    if (fresh.length === 0) break;
    for (const p of fresh) {
      signal(p, 'SIGSTOP');
      stopped.add(p);
    }
  }
  return [...stopped];
}

export function continueTree(pid: number): number[] {
  const all = processTree(pid).reverse();
  for (const p of all) signal(p, 'SIGCONT');
  return all;
}

/** Ticks since boot at which it started: with the pid it names a process for good. 0: there is none, or only its exit code is left. */
export function startTimeOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? 0 : Number(fields[19]);
  } catch {
    return 0;
  }
}

export interface ProcessIdentity {
  pid: number;
  startTime: number;
}

export function identify(pid: number): ProcessIdentity {
  return { pid, startTime: startTimeOf(pid) };
}

export function isAlive(p: ProcessIdentity): boolean {
  return p.startTime !== 0 && startTimeOf(p.pid) === p.startTime;
}
