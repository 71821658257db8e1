// Pictures of a pair as the process would make them, one per situation that a console must explain.
import type { Snapshot, TimelineEntry } from '../../../../appliance/core/snapshot.ts';

/** 2025-11-20 23:47:12.000 UTC */
export const NOW = Date.UTC(2025, 10, 20, 23, 47, 12);

let noise = 1;
/** The same numbers in every run: golden screens depend on them. */
function random(): number {
  noise = (noise * 48271) % 2147483647;
  return noise / 2147483647;
}

function recent(count: number): Snapshot['checkpoints']['recent'] {
  noise = 7;
  return Array.from({ length: count }, (_, i) => {
    const burst = i % 47 > 36 ? 2.6 : 1;
    const pauseMs = Math.round((9 + random() * 6) * burst * 10) / 10;
    const bytes = Math.round((500_000 + random() * 900_000) * burst);
    return { at: NOW - (count - i) * 120, pauseMs, bytes, sentBytes: Math.round(bytes * 0.12) };
  });
}

function event(agoMs: number, coServer: 'A' | 'B', severity: TimelineEntry['severity'], row: string | null, text: string): TimelineEntry {
  return { at: NOW - agoMs, atMs: 500_000 - agoMs, coServer, severity, row, text };
}

const OLD_EVENTS: TimelineEntry[] = [
  event(3_720_000, 'A', 'info', null, 'CoServer A started, generation 6 on its record.'),
  event(3_718_200, 'A', 'info', '21', 'Both CoServers are back: A was the last to run, it leads.'),
  event(3_700_000, 'A', 'info', null, 'The workload vm1 runs.'),
  event(3_640_000, 'A', 'info', null, 'Duplex: both copies are equal and the first checkpoint is committed on B.'),
];

export function duplex(): Snapshot {
  return {
    coServer: 'A',
    at: NOW,
    uptimeMs: 3_721_000,
    redundancy: 'duplex',
    redundancySentence: 'Duplex: either server may fail now.',
    singlePoints: [],
    generation: 7,
    arbiter: { kind: 'witness', reachable: true, sentence: 'holds generation 7 of this pair' },
    coServers: [
      {
        name: 'A',
        present: true,
        role: 'primary',
        phase: 'protecting',
        sentence: 'Runs vm1; its output leaves when the checkpoint that covers it is committed on B.',
        generation: 7,
        copy: 'upToDate',
        version: '0.1.0',
      },
      {
        name: 'B',
        present: true,
        role: 'secondary',
        phase: 'standby',
        sentence: 'Holds checkpoint 18231 of vm1 and takes over when A falls silent.',
        generation: 7,
        copy: 'upToDate',
        version: '0.1.0',
      },
    ],
    links: [
      { name: 'link 1', nic: 'link1', up: true, carrier: true, rttMs: 0.28, since: NOW - 3_660_000 },
      { name: 'link 2', nic: 'link2', up: true, carrier: true, rttMs: 0.31, since: NOW - 3_660_000 },
    ],
    workload: {
      name: 'vm1',
      state: 'running',
      level: 'faultTolerant',
      addresses: ['10.77.0.10', 'fd77::10'],
      acceleration: 'tcg',
      sentence: 'Runs on A and is kept equal on B.',
    },
    progress: null,
    checkpoints: { mode: 'passive', interval: 18231, perSecond: 8.4, pauseP50Ms: 11.8, pauseP99Ms: 36.2, recent: recent(240) },
    heartbeat: { timeoutMs: 250, floorMs: 180, jitterP99Ms: 4.2, jitterMaxMs: 61 },
    gate: { heldFrames: 3, oldestHeldMs: 14, bytesInPerS: 42_000, bytesOutPerS: 3_100_000 },
    timeline: OLD_EVENTS,
    takeovers: [],
    lockstep: {
      mode: 'passive',
      pinned: null,
      since: NOW - 3_660_000,
      sentence: 'Passive by configuration: every answer waits for a checkpoint.',
      agreedShare: null,
      causes: [],
    },
    audit: null,
    incidents: [],
    process: { rssBytes: 148_000_000, cpuPercent: 12.4 },
    actions: [
      { name: 'role-switch', label: 'Move the workload to the other CoServer', allowed: true, reason: 'Both CoServers are equal.' },
      { name: 'force-start', label: 'Start here without the partner', allowed: false, reason: 'The workload runs already.' },
    ],
    lab: true,
    consoles: [
      {
        coServer: 'A',
        url: 'https://10.78.0.1:8443',
        fingerprint: Array.from({ length: 32 }, (_, i) => (i * 7).toString(16).padStart(2, '0').toUpperCase()).join(':'),
      },
      { coServer: 'B', url: 'https://10.78.0.2:8443', fingerprint: null },
    ],
  };
}

/** A was powered off, B took over 14 s ago. */
export function takeoverJustHappened(): Snapshot {
  const s = duplex();
  return {
    ...s,
    coServer: 'B',
    redundancy: 'simplex',
    lockstep: null,
    redundancySentence: 'Simplex: B runs alone since 14 s; A is not heard. A failure of B stops the workload.',
    singlePoints: ['CoServer B: vm1 would be down', "B's disk: the only copy that is up to date"],
    generation: 8,
    coServers: [
      {
        name: 'A',
        present: false,
        role: 'none',
        phase: 'not heard',
        sentence: 'Silent on both links for 14 s.',
        generation: 7,
        copy: 'outdated',
        version: '0.1.0',
      },
      {
        name: 'B',
        present: true,
        role: 'primary',
        phase: 'simplex',
        sentence: 'Runs vm1 alone: the witness granted generation 8.',
        generation: 8,
        copy: 'upToDate',
        version: '0.1.0',
      },
    ],
    links: s.links.map((l) => ({ ...l, up: false, carrier: false, rttMs: -1, since: NOW - 14_000 })),
    workload: { ...s.workload, sentence: 'Runs on B alone; output leaves at once.' },
    gate: { heldFrames: 0, oldestHeldMs: 0, bytesInPerS: 39_000, bytesOutPerS: 5_800_000 },
    timeline: [
      ...OLD_EVENTS,
      event(14_260, 'B', 'critical', null, 'A is silent on link 1 and link 2 for 250 ms: holding.'),
      event(14_208, 'B', 'critical', '5', 'Partner silent on every path: the witness granted generation 8 to B.'),
      event(14_130, 'B', 'info', '5', 'B owns the LAN: 3 recorded frames fed, addresses announced. Client gap about 380 ms.'),
      event(14_000, 'B', 'warning', null, 'Simplex: not redundant until A is back.'),
    ],
    takeovers: [
      {
        at: NOW - 14_260,
        coServer: 'B',
        kind: 'takeover',
        reason: 'A silent on both links for 250 ms; the witness granted generation 8',
        row: '5',
        steps: [
          { step: 'output held', atMs: 0 },
          { step: 'witness granted generation 8', atMs: 21 },
          { step: 'grant durable on the own disk', atMs: 34 },
          { step: 'checkpoint 18231 loaded (rolled forward)', atMs: 52 },
          { step: 'uncommitted interval discarded, overlay merged', atMs: 71 },
          { step: 'engine runs alone', atMs: 96 },
          { step: 'LAN owner, inputs fed, addresses announced', atMs: 130 },
        ],
      },
      {
        at: NOW - 3_000_000,
        coServer: 'A',
        kind: 'continue',
        reason: 'B silent on both links for 250 ms; the witness granted generation 6',
        row: '5',
        steps: [
          { step: 'output held', atMs: 0 },
          { step: 'witness granted generation 6', atMs: 18 },
          { step: 'held output released', atMs: 40 },
        ],
      },
    ],
    actions: [
      { name: 'role-switch', label: 'Move the workload to the other CoServer', allowed: false, reason: 'A is not there.' },
      { name: 'force-start', label: 'Start here without the partner', allowed: false, reason: 'The workload runs already.' },
    ],
  };
}

/** A is back and its copy is being made. */
export function resyncing(): Snapshot {
  const s = takeoverJustHappened();
  return {
    ...s,
    redundancySentence: 'Simplex: A is being made equal, 143 MB left.',
    coServers: [
      {
        name: 'A',
        present: true,
        role: 'secondary',
        phase: 'resyncing',
        sentence: 'Receives the disk from B; its copy is not served to anybody.',
        generation: 8,
        copy: 'inconsistent',
        version: '0.1.0',
      },
      {
        name: 'B',
        present: true,
        role: 'primary',
        phase: 'simplex',
        sentence: 'Runs vm1 alone and sends its disk to A.',
        generation: 8,
        copy: 'upToDate',
        version: '0.1.0',
      },
    ],
    links: [
      { name: 'link 1', nic: 'link1', up: true, carrier: true, rttMs: 0.41, since: NOW - 6000 },
      { name: 'link 2', nic: 'link2', up: false, carrier: true, rttMs: -1, since: NOW - 14_000 },
    ],
    progress: { what: 'Disk copy from B to A', doneBytes: 125_000_000, totalBytes: 268_435_456, rateBytesPerS: 21_300_000, etaS: 6.7 },
    timeline: [...s.timeline, event(5_900, 'B', 'info', null, 'A is back with generation 7: its copy is outdated, the resync starts.')],
  };
}

/** Cut off from its partner and refused by the witness. */
export function isolated(): Snapshot {
  const s = duplex();
  return {
    ...s,
    redundancy: 'isolated',
    lockstep: null,
    redundancySentence: 'Isolated: A may not run; B owns generation 8. A waits for a link to B.',
    singlePoints: [],
    arbiter: { kind: 'witness', reachable: true, sentence: 'granted generation 8 to B' },
    coServers: [
      {
        name: 'A',
        present: true,
        role: 'none',
        phase: 'isolated',
        sentence: 'Stopped: the witness refused its claim. It rejoins as soon as a link is back.',
        generation: 7,
        copy: 'outdated',
        version: '0.1.0',
      },
      {
        name: 'B',
        present: false,
        role: 'primary',
        phase: 'not heard',
        sentence: 'Runs vm1 alone, says the witness.',
        generation: 8,
        copy: 'upToDate',
        version: '0.1.0',
      },
    ],
    links: s.links.map((l) => ({ ...l, up: false, rttMs: -1, since: NOW - 47_000 })),
    workload: { ...s.workload, state: 'stopped', sentence: 'Stopped here; B runs it.' },
    checkpoints: { ...s.checkpoints, perSecond: 0, recent: [] },
    timeline: [
      ...OLD_EVENTS,
      event(46_900, 'A', 'critical', '2', 'Both links down; the witness refused generation 8: B has it. Stopped, copy marked outdated.'),
    ],
    actions: [
      { name: 'role-switch', label: 'Move the workload to the other CoServer', allowed: false, reason: 'B is not heard.' },
      { name: 'force-start', label: 'Start here without the partner', allowed: false, reason: 'B runs the workload with generation 8.' },
    ],
  };
}

/** Both links and the witness are gone: nothing may leave until somebody answers. */
export function holding(): Snapshot {
  const s = duplex();
  return {
    ...s,
    redundancy: 'isolated',
    lockstep: null,
    redundancySentence: 'Isolated: A holds all output until the witness, B or the operator answers.',
    singlePoints: ['the witness: nobody may run until it answers'],
    arbiter: { kind: 'witness', reachable: false, sentence: 'silent for 9 s' },
    coServers: [
      {
        name: 'A',
        present: true,
        role: 'primary',
        phase: 'holding',
        sentence: 'Claims generation 8 at the witness again every 500 ms.',
        generation: 7,
        copy: 'upToDate',
        version: '0.1.0',
      },
      {
        name: 'B',
        present: false,
        role: 'secondary',
        phase: 'not heard',
        sentence: 'Silent on both links for 9 s.',
        generation: 7,
        copy: 'unknown',
        version: '0.1.0',
      },
    ],
    links: s.links.map((l) => ({ ...l, up: false, carrier: false, rttMs: -1, since: NOW - 9000 })),
    workload: { ...s.workload, state: 'held', sentence: 'Held: its memory is kept, nothing it sends leaves.' },
    gate: { heldFrames: 418, oldestHeldMs: 9012, bytesInPerS: 0, bytesOutPerS: 0 },
    timeline: [
      ...OLD_EVENTS,
      event(9_010, 'A', 'critical', '7w', 'Partner and witness lost at the same moment: frozen until one of them answers.'),
    ],
    actions: [
      { name: 'role-switch', label: 'Move the workload to the other CoServer', allowed: false, reason: 'B is not there.' },
      {
        name: 'force-start',
        label: 'Start here without the partner',
        allowed: true,
        reason: 'Only if B is certainly off: two running CoServers would make two histories.',
      },
    ],
  };
}

export const FIXTURES: Readonly<Record<string, () => Snapshot>> = { duplex, takeoverJustHappened, resyncing, isolated, holding };
