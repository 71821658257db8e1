// What the kernel is told about the dedicated links, by iproute2: which frames pass first, and that acknowledgements are not delayed.
//
// The sockets carry their class (STREAM_PRIORITIES); a queueing discipline on the NIC sorts by it. Not every kernel has one that does: the
// first that is accepted is used. Without any, the links carry everything all the same, only not in the best order. One that an
// administrator has set (a rate limit, for instance) stays: its frames are sorted by a discipline inside, if it lets one in.
import { execFile } from 'node:child_process';
import { isIPv4 } from 'node:net';
import { promisify } from 'node:util';

const run = promisify(execFile);
/** Both answer within ms; a kernel that does not is not waited for. */
const LIMIT_MS = 5_000;

/** SO_PRIORITY 0 to 15 -> band, of five: heartbeat 7, output 6, disk writes 4 (and the rest of the machine), checkpoints 2, bulk 1. */
const PRIORITY_MAP = ['2', '4', '3', '3', '2', '2', '1', '0', '2', '2', '2', '2', '2', '2', '2', '2'];
const SORTING: readonly (readonly string[])[] = [
  ['prio', 'bands', '5', 'priomap', ...PRIORITY_MAP],
  // Three bands by a map of its own: heartbeat and output, writes, checkpoints.
  ['pfifo_fast'],
];
/** What a kernel puts there by itself: ours to replace. */
const BY_DEFAULT = ['noqueue', 'mq', 'pfifo_fast', 'fq_codel', 'fq', 'prio'];

export interface LinkOfKernel {
  nic: string;
  localAddress: string;
}

/** Runs one program; tests give another one. Rejects with what the program said. */
export type RunProgram = (program: 'tc' | 'ip', args: readonly string[]) => Promise<string>;

const runProgram: RunProgram = async (program, args) => {
  try {
    const { stdout } = await run(program, [...args], { timeout: LIMIT_MS });
    return stdout;
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    throw new Error((stderr?.trim().split('\n')[0] ?? '') || message);
  }
};

/** Sorts the NIC's queue by class. Answers why that could not be done, one sentence; empty: it is sorted. Never rejects. */
export async function sortLinkQueue(nic: string, program: RunProgram = runProgram): Promise<string> {
  try {
    const root = /^qdisc (\S+) (\S+): .*root/m.exec(await program('tc', ['qdisc', 'show', 'dev', nic]));
    const kind = root?.[1] ?? 'noqueue';
    // The first class of a shaping discipline of somebody else.
    const place = BY_DEFAULT.includes(kind) ? ['root', 'handle', '7:'] : ['parent', `${root?.[2]}:1`, 'handle', '7:'];
    const refusals: string[] = [];
    for (const discipline of SORTING) {
      try {
        await program('tc', ['qdisc', 'replace', 'dev', nic, ...place, ...discipline]);
        return '';
      } catch (error) {
        refusals.push(`${discipline[0]}: ${(error as Error).message}`);
      }
    }
    return `${nic}: the kernel does not sort the link's frames by class (${refusals.join('; ')})`;
  } catch (error) {
    return `${nic}: the link's queue cannot be set: ${(error as Error).message}`;
  }
}

/** Acknowledgements on the link at once: a delayed one costs up to 40 ms in a checkpoint. To be repeated when the link comes up: a NIC that was down has new routes. */
export async function acknowledgeAtOnce(link: LinkOfKernel, program: RunProgram = runProgram): Promise<string> {
  try {
    const family = isIPv4(link.localAddress) ? '-4' : '-6';
    const shown = await program('ip', [family, 'route', 'show', 'dev', link.nic, 'scope', 'link']);
    const route = shown
      .split('\n')
      .find((line) => line.includes(` src ${link.localAddress} `) || line.endsWith(` src ${link.localAddress}`));
    if (!route) return `${link.nic}: no route from ${link.localAddress}: acknowledgements may be delayed by 40 ms`;
    if (/ quickack 1\b/.test(route)) return '';
    // What it shows is what it takes, except what the kernel says of the link itself.
    const words = route.split(/\s+/).filter((w) => w !== '' && w !== 'linkdown' && w !== 'dead');
    await program('ip', [family, 'route', 'replace', ...words, 'dev', link.nic, 'quickack', '1']);
    return '';
  } catch (error) {
    return `${link.nic}: acknowledgements may be delayed by 40 ms: ${(error as Error).message}`;
  }
}
