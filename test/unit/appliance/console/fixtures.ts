// Pictures of a pair as the process would make them, one per situation that a console must explain.
import type { ArbiterView, Snapshot, TimelineEntry } from '../../../../appliance/core/snapshot.ts';

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

/** What stands of a CoServer of which nothing is to be said. */
const CALM = { maintenance: false, power: 'mains', forced: false } as const;

const ALONE = 'Nothing to decide while one CoServer runs alone: chosen anew when both run.';

const WITNESS_DECIDES: ArbiterView = {
  applies: true,
  kind: 'witness',
  named: null,
  sentence: 'If the partner is lost now: the witness decides who goes on.',
  changingTo: null,
  witness: { configured: true, usable: true, reason: '', sinceMs: 3_660_000 },
  fencePath: { configured: false, proven: false, reason: 'not configured', sinceMs: 3_720_000 },
  partnerWitness: true,
  partnerFencePath: false,
};

const FORCE = {
  name: 'force-start',
  label: 'Start here by force',
  typed: {
    word: 'force',
    meaning: 'If the other CoServer runs on, unseen from here, there will be two histories, and one of them is lost.',
  },
};

const EVIDENCE = [
  'cause: witness: granted',
  'record: generation 7, duplexSecondary, arbiter witness',
  'phase: claiming for 0.1 s',
  'links: 1 down for 0.1 s, 2 down for 0.1 s',
  'partner: nothing known',
  'witness: usable',
  "way to the partner's BMC: proven",
];

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
    arbiter: WITNESS_DECIDES,
    attention: [],
    coServers: [
      {
        name: 'A',
        present: true,
        role: 'primary',
        phase: 'duplex',
        sentence: 'Runs the primary replica.',
        generation: 7,
        copy: 'upToDate',
        version: '0.1.0',
        ...CALM,
      },
      {
        name: 'B',
        present: true,
        role: 'secondary',
        phase: 'secondary',
        sentence: 'Runs the secondary replica, ready to take over.',
        generation: 7,
        copy: 'upToDate',
        version: '0.1.0',
        ...CALM,
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
      { name: 'move-workload', label: 'Move the workload to the other CoServer', allowed: true, reason: 'Both CoServers are equal.' },
      { ...FORCE, allowed: false, reason: 'The workload runs already.' },
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
    arbiter: { ...WITNESS_DECIDES, applies: false, sentence: ALONE, partnerWitness: null, partnerFencePath: null },
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
        ...CALM,
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
        ...CALM,
      },
    ],
    links: s.links.map((l) => ({ ...l, up: false, carrier: false, rttMs: -1, since: NOW - 14_000 })),
    workload: { ...s.workload, sentence: 'Runs on B alone; output leaves at once.' },
    gate: { heldFrames: 0, oldestHeldMs: 0, bytesInPerS: 39_000, bytesOutPerS: 5_800_000 },
    timeline: [
      ...OLD_EVENTS,
      event(14_260, 'B', 'critical', null, 'A is silent on link 1 and link 2 for 250 ms: holding.'),
      {
        ...event(14_208, 'B', 'critical', '5', 'Partner silent on every path: the witness granted generation 8 to B.'),
        evidence: EVIDENCE,
      },
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
      { name: 'move-workload', label: 'Move the workload to the other CoServer', allowed: false, reason: 'A is not there.' },
      { ...FORCE, allowed: false, reason: 'The workload runs already.' },
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
        ...CALM,
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
        ...CALM,
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
    arbiter: { ...WITNESS_DECIDES, applies: false, sentence: ALONE, partnerWitness: null, partnerFencePath: null },
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
        ...CALM,
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
        ...CALM,
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
      { name: 'move-workload', label: 'Move the workload to the other CoServer', allowed: false, reason: 'B is not heard.' },
      { ...FORCE, allowed: false, reason: 'B runs the workload with generation 8.' },
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
    redundancySentence: 'Frozen: the partner is lost and the witness does not help. Output waits for either of them, or for you.',
    attention: [
      {
        kind: 'frozen',
        severity: 'critical',
        title: 'The workload is frozen',
        sentence:
          'CoServer B is not heard, and the witness does not help (no answer within 600 ms). The guest is kept as it is: nothing is lost, and nothing it says leaves.',
        row: '7w',
        leftMs: null,
        endsWhen: ['CoServer B is heard again', 'the witness answers'],
        ways: [
          { text: 'Bring back CoServer B, a link to it, or the witness: this loses nothing.', action: null },
          { text: 'Only when you have seen that CoServer B is off and stays off:', action: 'force-start' },
        ],
      },
    ],
    arbiter: {
      ...WITNESS_DECIDES,
      sentence: 'The partner is lost: the witness decides who goes on.',
      witness: { configured: true, usable: false, reason: 'no answer within 600 ms', sinceMs: 9_000 },
      partnerWitness: null,
      partnerFencePath: null,
    },
    coServers: [
      {
        name: 'A',
        present: true,
        role: 'primary',
        phase: 'claiming',
        sentence: 'Withholds output until it is certain who may run.',
        generation: 7,
        copy: 'upToDate',
        version: '0.1.0',
        ...CALM,
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
        ...CALM,
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
      { name: 'move-workload', label: 'Move the workload to the other CoServer', allowed: false, reason: 'B is not there.' },
      {
        ...FORCE,
        allowed: true,
        reason: '',
      },
    ],
  };
}

/** Both CoServers own a history: the operator must choose. */
export function diverged(): Snapshot {
  const s = duplex();
  return {
    ...s,
    redundancy: 'isolated',
    lockstep: null,
    redundancySentence: 'Two histories: the workload does not run on A. Neither is overwritten before you choose.',
    generation: 8,
    arbiter: { ...WITNESS_DECIDES, applies: false, sentence: ALONE },
    attention: [
      {
        kind: 'diverged',
        severity: 'critical',
        title: 'There are two histories of the workload: choose one',
        sentence:
          'CoServer A wrote generation 8, CoServer B generation 9, each without the other. Neither is overwritten before you choose. The workload runs on neither meanwhile.',
        row: '25',
        leftMs: null,
        endsWhen: [],
        ways: [
          { text: 'To go on with what CoServer B wrote:', action: 'give-up-history' },
          { text: 'To go on with what CoServer A wrote: ask for "Give this CoServer\'s history up" at CoServer B.', action: null },
        ],
      },
    ],
    coServers: s.coServers.map((c) => ({
      ...c,
      role: 'none',
      phase: 'diverged',
      sentence: "Waits for the operator's choice.",
      generation: c.name === 'A' ? 8 : 9,
      forced: c.name === 'B',
    })),
    workload: { ...s.workload, state: 'stopped', sentence: 'There are two histories: choose which one goes on.' },
    checkpoints: { ...s.checkpoints, perSecond: 0, recent: [] },
    actions: [
      {
        name: 'give-up-history',
        label: "Give this CoServer's history up",
        typed: { word: 'give up', meaning: 'This copy is kept aside and then made equal to the other CoServer, which goes on.' },
        allowed: true,
        reason: '',
      },
    ],
  };
}

/** B was lost three times in an hour and is kept out; A runs on battery; nothing but A may decide. */
export function troubled(): Snapshot {
  const s = duplex();
  return {
    ...s,
    redundancy: 'simplex',
    lockstep: null,
    redundancySentence: 'Simplex: the workload runs on A alone; B is preparing to rejoin.',
    singlePoints: ['CoServer A: the workload runs there alone.'],
    arbiter: {
      ...WITNESS_DECIDES,
      kind: 'named',
      named: 'A',
      applies: false,
      sentence: ALONE,
      changingTo: 'fence',
      witness: { configured: true, usable: false, reason: 'it has lost its memory', sinceMs: 61_000 },
      fencePath: { configured: true, proven: true, reason: '', sinceMs: 61_000 },
      partnerWitness: false,
      partnerFencePath: false,
    },
    attention: [
      {
        kind: 'quarantined',
        severity: 'critical',
        title: 'CoServer B is kept out: it was lost too often',
        sentence:
          'It was lost 3 times within 60 minutes. Until the cause is found, joining again costs more than it brings: the workload runs here alone, not redundant.',
        row: '24',
        leftMs: 7_140_000,
        endsWhen: ['the time is over'],
        ways: [{ text: 'When the cause is mended:', action: 'let-rejoin' }],
      },
      {
        kind: 'power',
        severity: 'warning',
        title: 'CoServer A on battery',
        sentence: 'The other CoServer has mains: the workload moves there before the battery is empty.',
        row: '27',
        leftMs: null,
        endsWhen: ['mains is back'],
        ways: [],
      },
    ],
    coServers: s.coServers.map((c) =>
      c.name === 'A'
        ? { ...c, phase: 'running', sentence: 'Runs the guest, alone.', power: 'battery' }
        : { ...c, role: 'none', phase: 'standby', sentence: 'Waits to be made equal.', copy: 'outdated', maintenance: true },
    ),
    actions: [
      { name: 'shutdown-guest', label: 'Shut the guest down', allowed: true, reason: '' },
      { name: 'start-guest', label: 'Start the guest', allowed: false, reason: 'The guest is not switched off here.' },
      {
        name: 'move-workload',
        label: 'Move the workload to the other CoServer',
        allowed: false,
        reason: 'Possible while the pair is duplex.',
      },
      { name: 'let-rejoin', label: 'Let the partner rejoin now', allowed: true, reason: '' },
      { ...FORCE, allowed: false, reason: 'Only for a CoServer that waits and cannot find out whether it may run.' },
    ],
  };
}

export const FIXTURES: Readonly<Record<string, () => Snapshot>> = {
  duplex,
  takeoverJustHappened,
  resyncing,
  isolated,
  holding,
  diverged,
  troubled,
};
