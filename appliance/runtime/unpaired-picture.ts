// The picture of a CoServer that waits to be paired, for the same consoles as any other: the code in the headline, the answer as two actions.
import type { CoServerConfig } from '../config.ts';
import type { Snapshot } from '../core/snapshot.ts';
import type { PairingView } from '../pairing/view.ts';

/** Actions of the consoles carry the code that was shown: a code that changed meanwhile is not confirmed. */
export const CONFIRM = 'confirm-code-';
export const DIFFER = 'codes-differ';

/** What stands behind this CoServer's words on the consoles. */
export interface UnpairedFacts {
  config: CoServerConfig;
  version: string;
  startedAt: number;
}

export function unpairedSnapshot(
  view: PairingView,
  problems: readonly string[],
  { config, version, startedAt }: UnpairedFacts,
  at: number,
): Snapshot {
  const other = config.coServer === 'A' ? 'B' : 'A';
  const sentence = [view.sentence, view.trouble].filter((s) => s !== '').join(' ');
  const mayAct = view.phase === 'code' && view.code !== null;
  const noCode = view.phase === 'confirmed' ? 'It was confirmed here.' : 'No code is shown now.';
  const absent = {
    role: 'none' as const,
    generation: 0,
    copy: 'unknown' as const,
    maintenance: false,
    power: 'mains' as const,
    forced: false,
  };
  const unasked = { configured: true, reason: 'there is no key yet', sinceMs: at - startedAt };
  return {
    coServer: config.coServer,
    at,
    uptimeMs: at - startedAt,
    redundancy: 'isolated',
    redundancySentence: `Not paired: ${sentence}`,
    singlePoints: [],
    generation: 0,
    arbiter: {
      applies: false,
      kind: 'witness',
      named: null,
      sentence: 'It is asked when there is a key.',
      changingTo: null,
      witness: { ...unasked, usable: false },
      fencePath: { ...unasked, proven: false },
      partnerWitness: null,
      partnerFencePath: null,
    },
    attention: [],
    coServers: [
      {
        ...absent,
        name: config.coServer,
        present: true,
        phase: view.code ? `code ${view.code}` : view.phase,
        sentence: view.sentence,
        version,
      },
      {
        ...absent,
        name: other,
        present: false,
        phase: 'unknown',
        sentence: 'Look at its console: it must show the same code.',
        version: '',
      },
    ],
    links: config.links.map((l, i) => {
      const problem = problems.some((p) => p.startsWith(`${l.nic}:`));
      return { name: `link ${i + 1}`, nic: l.nic, up: false, carrier: !problem, rttMs: -1, since: startedAt };
    }),
    workload: {
      name: config.workload.name,
      state: 'off',
      level: 'faultTolerant',
      addresses: [],
      acceleration: config.engine.acceleration,
      sentence: 'Not started: it needs the key of the pair.',
    },
    progress: null,
    checkpoints: { mode: config.checkpoint.mode, interval: 0, perSecond: 0, pauseP50Ms: 0, pauseP99Ms: 0, recent: [] },
    heartbeat: { timeoutMs: config.heartbeat.timeoutMs, floorMs: 0, jitterP99Ms: 0, jitterMaxMs: 0 },
    gate: { heldFrames: 0, oldestHeldMs: 0, bytesInPerS: 0, bytesOutPerS: 0 },
    timeline: [],
    takeovers: [],
    lockstep: null,
    audit: null,
    incidents: [],
    process: { rssBytes: process.memoryUsage.rss(), cpuPercent: 0 },
    actions: [
      {
        name: mayAct ? `${CONFIRM}${view.code}` : 'confirm-code',
        label: mayAct ? `CoServer ${other} shows ${view.code} too: confirm` : 'Confirm the code',
        allowed: mayAct,
        reason: mayAct ? '' : noCode,
      },
      { name: DIFFER, label: 'The codes differ: stop', allowed: mayAct, reason: mayAct ? '' : noCode },
    ],
    lab: config.labSocket !== '',
  };
}
