// What a soak of healthy servers shows: faults that were told although nothing is wrong, and what the watching costs. Pure.
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import type { Told } from './machine-faults-judge.ts';
import { PAGE_STYLE } from './report-page.ts';
import { escapeHtml } from './svg-chart.ts';

/** CPU of the product's process by thread, of its whole life: clock ticks. */
export interface ThreadTicks {
  pid: number;
  /** Seconds since the server started. */
  uptimeS: number;
  threads: Record<string, number>;
}

/** Threads that have no name of ours: Node's own. */
const OURS = ['MainThread', 'hardware', 'heartbeat', 'mirror', 'gate', 'memory'];
/** USER_HZ of Linux. */
const TICKS_PER_S = 100;

/** Prints what `parseThreads` reads: the product's process, its threads with user and system ticks, the uptime. For a shell in a server. */
export const THREADS_COMMAND = [
  'for p in $(pidof node); do tr "\\0" " " </proc/$p/cmdline | grep -q "twinstep.mjs run" || continue; echo "pid $p"',
  'for t in /proc/$p/task/*; do read -r name <$t/comm; set -- $(sed "s/.*) //" $t/stat); echo "thread ${12} ${13} $name"; done',
  'done; read -r up _ </proc/uptime; echo "uptime $up"',
].join('; ');

/** Throws for anything else than one process with threads. */
export function parseThreads(output: string): ThreadTicks {
  const pids = [...output.matchAll(/^pid (\d+)$/gm)].map((m) => Number(m[1]));
  const uptimeS = Number(/^uptime ([\d.]+)$/m.exec(output)?.[1]);
  const [pid] = pids;
  if (pid === undefined || pids.length !== 1 || Number.isNaN(uptimeS))
    throw new Error(`not the threads of one process: ${output.slice(0, 200)}`);
  const threads: Record<string, number> = {};
  for (const [, user, system, name = ''] of output.matchAll(/^thread (\d+) (\d+) (.+)$/gm)) {
    const key = OURS.includes(name) ? name : 'other';
    threads[key] = (threads[key] ?? 0) + Number(user) + Number(system);
  }
  return { pid, uptimeS, threads };
}

export interface ThreadCost {
  thread: string;
  /** Of one CPU. */
  percent: number;
}

/** Between two readings; null: another process, it was started anew meanwhile. */
export function costBetween(from: ThreadTicks, to: ThreadTicks): ThreadCost[] | null {
  const elapsedS = to.uptimeS - from.uptimeS;
  if (from.pid !== to.pid || elapsedS <= 0) return null;
  return Object.keys(to.threads)
    .map((thread) => ({
      thread,
      percent: (((to.threads[thread] ?? 0) - (from.threads[thread] ?? 0)) / TICKS_PER_S / elapsedS) * 100,
    }))
    .sort((a, b) => b.percent - a.percent);
}

export interface SoakReport {
  name: string;
  startedAt: number;
  /** In which both were watched. */
  minutes: number;
  wantedMinutes: number;
  load: string;
  falseAlarms: { server: CoServerName; text: string; atMinute: number }[];
  /** Answers of each console, and looks without one: a watch that saw nothing proves nothing. */
  looks: Record<CoServerName, { answered: number; silent: number }>;
  costs: Record<CoServerName, ThreadCost[] | null>;
  ok: boolean;
  problems: string[];
}

/** At least so many of the looks must have had an answer. */
const ANSWERED_SHARE = 0.5;

export function concludeSoak(report: SoakReport, told: readonly Told[], startedMs: number): void {
  report.falseAlarms = told
    .filter((t) => !t.isOver && t.seenMs >= startedMs)
    .map(({ coServer, text, seenMs }) => ({ server: coServer, text, atMinute: Math.round((seenMs - startedMs) / 6_000) / 10 }));
  const problems = [...report.problems];
  for (const server of ['A', 'B'] as const) {
    const { answered, silent } = report.looks[server];
    if (answered === 0 || answered / (answered + silent) < ANSWERED_SHARE)
      problems.push(`CoServer ${server} answered ${answered} of ${answered + silent} looks: too few to say that nothing was told`);
  }
  if (report.minutes < report.wantedMinutes) problems.push(`it ended after ${report.minutes} of ${report.wantedMinutes} minutes`);
  report.problems = problems;
  report.ok = problems.length === 0 && report.falseAlarms.length === 0;
}

const costText = (costs: ThreadCost[] | null): string =>
  costs === null
    ? 'not known: the process was started anew'
    : costs.map(({ thread, percent }) => `${thread} ${percent.toFixed(2)} %`).join(', ');

/** For a terminal. */
export function soakTable(report: SoakReport): string {
  return [
    `${report.name}: ${report.ok ? 'all as it must be' : 'FAILED'}`,
    `  ${report.minutes} minutes under load (${report.load}); false alarms ${report.falseAlarms.length}`,
    ...(['A', 'B'] as const).map(
      (server) =>
        `  ${server}: ${report.looks[server].answered} pictures, ${report.looks[server].silent} looks without; CPU of one core: ${costText(report.costs[server])}`,
    ),
    ...report.falseAlarms.map(({ server, text, atMinute }) => `  FALSE ALARM on ${server} at minute ${atMinute}: ${text}`),
    ...report.problems.map((problem) => `  PROBLEM ${problem}`),
  ].join('\n');
}

export function soakPage(report: SoakReport): string {
  const list = [...report.problems, ...report.falseAlarms.map(({ server, text, atMinute }) => `${server}, minute ${atMinute}: ${text}`)];
  const tile = (value: string | number, text: string, isGood: boolean | null) =>
    `<div class="tile ${isGood === null ? '' : isGood ? 'good' : 'bad'}"><b>${value}</b><span>${escapeHtml(text)}</span></div>`;
  const hardware = (server: CoServerName) => report.costs[server]?.find(({ thread }) => thread === 'hardware')?.percent;
  const percent = (server: CoServerName) => (hardware(server) === undefined ? '?' : `${hardware(server)?.toFixed(2)} %`);
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escapeHtml(report.name)}</title><style>${PAGE_STYLE}</style>
<h1>${escapeHtml(report.name)}</h1>
<p class="quiet">${new Date(report.startedAt).toISOString()}, two whole machines under QEMU</p>
<p>Nothing is wrong with these servers, and they work hard: ${escapeHtml(report.load)}. Whatever is told of their hardware is a false alarm.</p>
<div class="verdict ${report.ok ? '' : 'bad'}">${report.ok ? 'All as it must be.' : 'Not as it must be.'}${list.length === 0 ? '' : `<ul>${list.map((text) => `<li>${escapeHtml(text)}</li>`).join('')}</ul>`}</div>
<div class="tiles">${tile(report.minutes, 'minutes', null)}${tile(report.falseAlarms.length, 'false alarms', report.falseAlarms.length === 0)}${tile(percent('A'), "of a core: the hardware's thread on A", null)}${tile(percent('B'), "of a core: the hardware's thread on B", null)}</div>
<h2>CPU by thread, percent of one core</h2><ul>${(['A', 'B'] as const).map((server) => `<li>${server}: ${escapeHtml(costText(report.costs[server]))}</li>`).join('')}</ul>
</html>
`;
}
