// Pictures of a pair in lockstep: what the policy chose, what the audit knows, what was found broken.
import type { AuditView, IncidentView, LockstepView, Snapshot } from '../../../../appliance/core/snapshot.ts';
import { duplex, NOW } from './fixtures.ts';

const CAUSES: LockstepView['causes'] = [
  { cause: 'replicaLate', label: 'the replica did not say the same in time', total: 812, perMinute: 2.1 },
  { cause: 'bytesDiffer', label: 'the replicas said different bytes', total: 96, perMinute: 0.3 },
  { cause: 'windowDiffers', label: 'the replica offered a smaller window', total: 14, perMinute: 0.02 },
  { cause: 'notCompared', label: 'a protocol that is not compared (fragments, extension headers, urgent data)', total: 3, perMinute: 0 },
];

const LOCKSTEP: LockstepView = {
  mode: 'lockstep',
  pinned: null,
  since: NOW - 724_000,
  sentence: 'Both replicas say the same: output leaves as soon as they agree.',
  agreedShare: 0.9871,
  causes: CAUSES,
};

const PROVEN: AuditView = {
  state: 'proven',
  sentence: 'B answers every probe as A does, and its memory is the same wherever it was compared.',
  probes: { sent: 1450, answered: 1449, missing: 0, lastAnsweredAt: NOW - 1200 },
  pages: { checked: 41_200, perSecond: 410, total: 65_536 },
};

const INCIDENTS: IncidentView[] = [
  {
    at: NOW - 90_061_000,
    coServer: 'A',
    kind: 'probeMissing',
    sentence: 'The replica on A did not answer 3 probes in a row; the primary on B answered each within 4 ms.',
    evidence: [],
  },
  {
    at: NOW - 96_000,
    coServer: 'B',
    kind: 'pageDiffers',
    sentence: 'Page 0x3f2a000 of the replica on B differs right after a checkpoint: it was replaced by a new one.',
    evidence: [
      'page 0x3f2a000, 4096 bytes: 12 differ, the first at 0x3f2a7d0',
      'equal at interval 18102, different at interval 18107',
      'A: 00000000 0000007f 3a2b8c00 ffff8880  B: 00000000 00000000 00000000 00000000',
      '[  812.441902] BUG: unable to handle page fault for address: ffffc90000a57d08',
      '[  812.441950] #PF: supervisor read access in kernel mode',
      '[  812.442011] Kernel panic - not syncing: Fatal exception in interrupt',
    ],
  },
];

const pinActions = (pinned: LockstepView['pinned']): Snapshot['actions'] => [
  {
    name: 'pin-lockstep',
    label: 'Keep lockstep',
    allowed: pinned !== 'lockstep',
    reason: pinned === 'lockstep' ? 'It is kept already.' : 'The policy leaves it alone until you let it choose again.',
  },
  {
    name: 'pin-passive',
    label: 'Keep passive',
    allowed: pinned !== 'passive',
    reason: pinned === 'passive' ? 'It is kept already.' : 'Every answer waits for its checkpoint.',
  },
  {
    name: 'automatic-mode',
    label: 'Let the policy choose',
    allowed: pinned !== null,
    reason: pinned === null ? 'The policy chooses already.' : '',
  },
];

/** All is well. */
export function lockstep(): Snapshot {
  const s = duplex();
  return {
    ...s,
    checkpoints: { ...s.checkpoints, mode: 'lockstep', perSecond: 0.4 },
    lockstep: LOCKSTEP,
    audit: PROVEN,
    incidents: [],
    actions: [...pinActions(null), ...s.actions],
  };
}

/** The checkpoint is there, both replicas run, and nobody has asked the secondary yet. */
export function notProven(): Snapshot {
  const s = lockstep();
  return {
    ...s,
    redundancy: 'simplex',
    redundancySentence: 'Simplex: both replicas run; B has not answered a probe yet.',
    singlePoints: ['CoServer A: the replica on B is not proven yet.'],
    coServers: s.coServers.map((c) => (c.name === 'B' ? { ...c, phase: 'auditing', sentence: 'Runs the replica of vm1.' } : c)),
    workload: { ...s.workload, sentence: 'Runs on A; the replica on B is being proven.' },
    lockstep: { ...LOCKSTEP, since: NOW - 600, agreedShare: null, causes: [] },
    audit: {
      state: 'awaited',
      sentence: 'B was asked and has not answered yet.',
      probes: { sent: 2, answered: 0, missing: 0, lastAnsweredAt: null },
      pages: { checked: 0, perSecond: 0, total: 65_536 },
    },
  };
}

/** The replica was found broken a moment ago; the operator keeps the pair passive. */
export function unfit(): Snapshot {
  const s = notProven();
  return {
    ...s,
    redundancySentence: 'Simplex: the replica on B is broken and is being replaced.',
    singlePoints: ['CoServer A: the replica on B is broken.'],
    coServers: s.coServers.map((c) =>
      c.name === 'B' ? { ...c, phase: 'replacing', sentence: 'Its replica is ended and made anew from A.' } : c,
    ),
    lockstep: {
      ...LOCKSTEP,
      mode: 'passive',
      pinned: 'passive',
      since: NOW - 5_000_000,
      sentence: 'Kept passive by the operator: every frame waits for the checkpoint that covers it.',
      agreedShare: null,
    },
    audit: {
      ...PROVEN,
      state: 'broken',
      sentence: 'Page 0x3f2a000 of B differs: B is being replaced.',
      probes: { sent: 1450, answered: 1446, missing: 4, lastAnsweredAt: NOW - 97_000 },
    },
    incidents: INCIDENTS,
    actions: [...pinActions('passive'), ...duplex().actions],
  };
}

export const LOCKSTEP_FIXTURES: Readonly<Record<string, () => Snapshot>> = { lockstep, notProven, unfit };
