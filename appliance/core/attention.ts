// What the operator should know of or decide, in his words: what is going on, what ends it by itself, what he can do and what that
// costs. The consoles put the names of the actions together with their buttons; nothing here decides anything.

import { namedOf } from './arbiter-view.ts';
import { QUARANTINED_OFFERED } from './copies.ts';
import { CALM_MS, CATALOGUE, type CatalogueEntry } from './faults/catalogue.ts';
import { effectOf, entryOf } from './faults/told.ts';
import { whyNotQualified } from './qualification.ts';
import type { AttentionView, CoServerName } from './snapshot.ts';
import type { Power, State } from './state.ts';

type Way = AttentionView['ways'][number];

const SEVERITY: Readonly<Record<AttentionView['severity'], number>> = { critical: 0, warning: 1, info: 2 };

/** The most severe first, in the order below where they are equal. */
export function attentionOf(s: State): AttentionView[] {
  const all = [
    frozen,
    diskFailed,
    diskOut,
    diskRefused,
    block,
    diverged,
    failed,
    waiting,
    quarantined,
    forced,
    hardware,
    qualification,
    network,
    version,
    power,
    maintenance,
  ];
  return bySeverity(all.flatMap((find) => find(s)));
}

const otherOf = (s: State): CoServerName => (s.me === 'A' ? 'B' : 'A');

function view(
  kind: AttentionView['kind'],
  severity: AttentionView['severity'],
  title: string,
  sentence: string,
  more: Partial<Pick<AttentionView, 'row' | 'leftMs' | 'endsWhen' | 'ways'>> = {},
): AttentionView {
  return { kind, severity, title, sentence, row: null, leftMs: null, endsWhen: [], ways: [], ...more };
}

const way = (text: string, action: string | null = null): Way => ({ text, action });

/** Rows 6n, 7, 7w, 10, 22, 23: whoever could decide does not. */
function frozen(s: State): AttentionView[] {
  const { claim } = s.phase;
  if (s.phase.kind !== 'claiming' || !claim || claim.unreachableSince === null) return [];
  const other = otherOf(s);
  const kept =
    claim.goal === 'start' ? 'The guest is not started.' : 'The guest is kept as it is: nothing is lost, and nothing it says leaves.';
  const endsWhen = [`CoServer ${other} is heard again`];
  if (claim.by === 'witness') endsWhen.push('the witness answers');
  if (claim.by === 'fence') endsWhen.push(`the management controller of ${other} answers and ${other} is verified off`);
  const force = s.record.standing === 'outdated' ? 'force-older-copy' : 'force-start';
  return [
    view(
      claim.goal === 'start' ? 'notStarted' : 'frozen',
      'critical',
      claim.goal === 'start' ? `CoServer ${s.me} does not know whether it may start` : 'The workload is frozen',
      `${frozenWhy(s, claim.by, other)} ${kept}`,
      {
        row: frozenRow(s, claim.by, claim.row),
        endsWhen,
        ways: [
          way(
            `Bring back ${claim.by === 'witness' ? `CoServer ${other}, a link to it, or the witness` : `CoServer ${other} or a link to it`}: this loses nothing.`,
          ),
          way(`Only when you have seen that CoServer ${other} is off and stays off:`, force),
        ],
      },
    ),
  ];
}

function frozenWhy(s: State, by: 'witness' | 'fence' | 'none', other: CoServerName): string {
  switch (by) {
    case 'witness':
      return `CoServer ${other} is not heard, and the witness does not help (${s.witness.reason || 'no answer'}).`;
    case 'fence':
      return `CoServer ${other} is not heard, and cannot be switched off for certain: it may still run.`;
    case 'none': {
      const named = namedOf(s.record.arbiter);
      if (named === other) return `CoServer ${other} is not heard, and it is the one that may go on by itself.`;
      return `CoServer ${other} is not heard, and it may have gone on while this one was off.`;
    }
  }
}

function frozenRow(s: State, by: 'witness' | 'fence' | 'none', claimed: string): string {
  if (s.phase.claim?.goal === 'start') return claimed;
  return by === 'witness' ? '7w' : by === 'fence' ? '7' : claimed;
}

/** Row 26. */
function diskFailed(s: State): AttentionView[] {
  if (s.phase.kind !== 'frozen') return [];
  const other = otherOf(s);
  return [
    view(
      'diskFailed',
      'critical',
      'The workload is frozen: the only good copy of its disk cannot be used',
      `On CoServer ${s.me} ${s.phase.note}. The copy on ${other} is older and is never used by itself.`,
      {
        row: '26',
        ways: [
          way('When the disk here is well again, with its data:', 'start-guest'),
          way(
            `If the data here is lost for good: ask for "Go back to the older copy here" at CoServer ${other}. What was written since it left is lost.`,
          ),
        ],
      },
    ),
  ];
}

function diskRefused(s: State): AttentionView[] {
  if (s.diskRefused === null) return [];
  return [
    view('diskRefused', 'critical', `CoServer ${s.me} does not use the disk that it has`, sentence(s.diskRefused), {
      endsWhen: ['the right disk is there'],
      ways: [
        way('Put the disk back that belongs here. If the guest is not tried again by itself, start it.'),
        way('If the disk that is here now is to be the one from now on:', 'adopt-disk'),
      ],
    }),
  ];
}

/** Row 12. */
function diskOut(s: State): AttentionView[] {
  const other = otherOf(s);
  if (s.diskFailed !== null && s.phase.kind !== 'frozen')
    return [
      view(
        'diskOut',
        'critical',
        `The disk of CoServer ${s.me} failed`,
        `${sentence(s.diskFailed)} Its copy is out of use, and is not joined by itself: it would be lost again.`,
        {
          row: '12',
          ways: [way('When the disk is well again, or was replaced (what was written since is sent to it):', 'try-disk')],
        },
      ),
    ];
  if (s.partner?.diskFailed !== true) return [];
  return [
    view(
      'diskOut',
      'critical',
      `The disk of CoServer ${other} failed`,
      'Its copy is out of use: the workload runs here alone, not redundant.',
      {
        row: '12',
        ways: [way(`When the disk is well again, or was replaced: ask for "Use the disk here again" at CoServer ${other}.`)],
      },
    ),
  ];
}

/** Row 15. */
function block(s: State): AttentionView[] {
  const { quarantined } = s;
  const [first] = quarantined;
  if (first === undefined) return [];
  const title =
    quarantined.length === 1
      ? `The block at byte ${first} of the disk is not served: nobody knows its right content`
      : `${quarantined.length} blocks of the disk are not served: nobody knows their right content. The first is at byte ${first}`;
  return [
    view(
      'block',
      'critical',
      title,
      'The two copies differ there and no checksum tells which one changed, or no copy has it any more. The guest gets an I/O error for such a block, on both CoServers the same.',
      {
        row: '15',
        endsWhen: ['the guest overwrites it as a whole'],
        ways: [
          way("Find the file that the guest keeps there (its log names the sector: byte / 512), and restore it from the guest's backup."),
          ...quarantined
            .slice(0, QUARANTINED_OFFERED)
            .flatMap((offset) => [
              way(`Byte ${offset}: when the copy of CoServer ${s.me} is right:`, `keep-own-block-${offset}`),
              way(`Byte ${offset}: when the copy of CoServer ${otherOf(s)} is right, be it an older one:`, `keep-partner-block-${offset}`),
            ]),
        ],
      },
    ),
  ];
}

/** What only the mirror sees: a disk that is slow to answer, and may be about to fail. */
export function lateDisk(coServer: CoServerName, lateMs: number, timeoutMs: number): AttentionView[] {
  if (lateMs === 0) return [];
  return [
    view(
      'diskLate',
      'warning',
      `The disk of CoServer ${coServer} is slow to answer`,
      `It has been asked ${(lateMs / 1000).toFixed(0)} s ago. After ${timeoutMs / 1000} s it counts as failed.`,
      {
        endsWhen: ['it answers'],
      },
    ),
  ];
}

/** @param links Of each: whether the partner is heard there, and how many frames came of a CoServer of this one's own name and key. */
export function sameName(coServer: CoServerName, links: readonly { isUp: boolean; frames: number }[]): AttentionView[] {
  const strange = links.flatMap(({ isUp, frames }, i) => (frames > 0 && !isUp ? [`link ${i + 1}`] : []));
  if (strange.length === 0 || links.some(({ isUp }) => isUp)) return [];
  const other = coServer === 'A' ? 'B' : 'A';
  return [
    view(
      'network',
      'critical',
      'Another server has the identity of this one',
      `Over ${strange.join(' and ')} comes what CoServer ${coServer} of this same pair sends: the disk of one server is a copy of the other's. It is no partner, and is not believed.`,
      {
        endsWhen: [`CoServer ${other} is heard`],
        ways: [
          way(
            'Switch the copy off. Install it anew (erase) from the installation medium, and set it up: it then makes an identity of its own.',
          ),
        ],
      },
    ),
  ];
}

/** The most severe first. */
export function bySeverity(views: AttentionView[]): AttentionView[] {
  return views.sort((x, y) => SEVERITY[x.severity] - SEVERITY[y.severity]);
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

/** Row 25. */
function diverged(s: State): AttentionView[] {
  const theirs = s.partner?.record;
  if (s.record.standing !== 'simplex' || theirs?.standing !== 'simplex') return [];
  const other = otherOf(s);
  const [here, there] = [
    s.phase.kind !== 'diverged',
    s.partner !== null && s.partner.phase !== 'diverged' && s.partner.phase !== 'isolated',
  ];
  const runs =
    here && there ? 'Both run now: clients reach either.' : `The workload runs on ${here ? s.me : there ? other : 'neither'} meanwhile.`;
  return [
    view(
      'diverged',
      'critical',
      'There are two histories of the workload: choose one',
      `CoServer ${s.me} wrote generation ${s.record.generation}, CoServer ${other} generation ${theirs.generation}, each without the other. Neither is overwritten before you choose. ${runs}`,
      {
        row: '25',
        ways: [
          way(`To go on with what CoServer ${other} wrote:`, 'give-up-history'),
          way(`To go on with what CoServer ${s.me} wrote: ask for "Give this CoServer's history up" at CoServer ${other}.`),
        ],
      },
    ),
  ];
}

function failed(s: State): AttentionView[] {
  if (s.phase.kind !== 'failed') return [];
  return [
    view('failed', 'critical', 'The workload does not run', s.phase.note, { ways: [way('When the cause is mended:', 'start-guest')] }),
  ];
}

/** It has nothing that may be served, and nobody is there to make it equal. */
function waiting(s: State): AttentionView[] {
  const { standing, maintenance } = s.record;
  if (s.phase.kind !== 'standby' || s.partner || s.partnerHeard || maintenance) return [];
  const other = otherOf(s);
  const older = standing === 'outdated';
  return [
    view(
      'waiting',
      'warning',
      `CoServer ${s.me} waits for CoServer ${other}`,
      older
        ? `CoServer ${other} may have written more than this copy has: it is made equal before it is used.`
        : `The copy here is not whole and cannot be used before CoServer ${other} has made it equal.`,
      {
        endsWhen: [`CoServer ${other} is heard again`],
        ways: older ? [way(`Only when CoServer ${other}, with what it wrote, is lost for good:`, 'force-older-copy')] : [],
      },
    ),
  ];
}

/** Row 24. */
function quarantined(s: State): AttentionView[] {
  if (s.quarantinedUntil === null || s.quarantinedUntil <= s.now) return [];
  const other = otherOf(s);
  return [
    view(
      'quarantined',
      'critical',
      `CoServer ${other} is kept out: it was lost too often`,
      `It was lost ${s.timing.flapLosses} times within ${Math.round(s.timing.flapWindowMs / 60_000)} minutes. Until the cause is found, joining again costs more than it brings: the workload runs here alone, not redundant.`,
      {
        row: '24',
        leftMs: Math.round(s.quarantinedUntil - s.now),
        endsWhen: ['the time is over'],
        ways: [way('When the cause is mended:', 'let-rejoin')],
      },
    ),
  ];
}

function forced(s: State): AttentionView[] {
  if (!s.record.forced || s.record.standing !== 'simplex' || s.partner?.record.standing === 'simplex') return [];
  const other = otherOf(s);
  return [
    view(
      'forced',
      'warning',
      `Generation ${s.record.generation} was started by force`,
      `No arbiter has confirmed that CoServer ${other} is stopped. If it runs, there are two histories.`,
      { endsWhen: [`both CoServers run as one again`] },
    ),
  ];
}

/** Rows 12, 16, 17, and what does nothing to the pair but wants to be mended: of both servers. */
function hardware({ faults, partner, me }: State): AttentionView[] {
  const mine = faults.map((f) => {
    const entry = CATALOGUE[f.code];
    const { severity, sentence, remedy } = entry;
    const effect = effectOf(f);
    const detail = [f.where, f.detail].filter((x) => x !== '').join(': ');
    return view(
      'hardware',
      severity,
      `CoServer ${me}: ${lower(sentence)}`,
      detail === '' ? 'Nothing more is known of it.' : ended(detail),
      {
        row: ROW[effect],
        endsWhen: [goneText(entry)],
        ways: [way(remedy), ...(effect === 'none' ? [] : [way('To replace the part, take this CoServer out:', 'enter-maintenance')])],
      },
    );
  });
  const other = me === 'A' ? 'B' : 'A';
  const theirs = (partner?.faults ?? []).map((f) => {
    const entry = entryOf(f.code);
    const title = entry ? lower(entry.sentence) : `a fault that this release does not know (${f.code})`;
    return view(
      'hardware',
      entry?.severity ?? 'warning',
      `CoServer ${other}: ${title}`,
      `${f.where === '' ? '' : `${ended(f.where)} `}What was read there is on the console of CoServer ${other}.`,
      {
        row: entry ? ROW[entry.effect] : null,
        endsWhen: [entry ? goneText(entry) : `CoServer ${other} says that it is over`],
        ways: entry ? [way(entry.remedy)] : [],
      },
    );
  });
  return [...mine, ...theirs];
}

const ROW = { none: null, preFail: '16', uncorrectable: '17', detachDisk: '12' } as const;

/** What the ledger waits for before it takes a fault back. */
const goneText = ({ calmMs = CALM_MS }: CatalogueEntry): string =>
  calmMs === 0 ? 'the next reading of it is well' : `no reading has shown it for ${calmMs / 1000} s`;

const ended = (text: string): string => text.replace(/\.?$/, '.');

const lower = (sentence: string): string => `${sentence.charAt(0).toLowerCase()}${sentence.slice(1)}`;

/** Without two of a kind there is no lockstep. */
function qualification(s: State): AttentionView[] {
  if (whyNotQualified(s) === null || s.qualification === null) return [];
  return [
    view('qualification', 'critical', 'The two servers do not qualify for lockstep', s.qualification.sentence, {
      endsWhen: ['what differs is made equal, and this CoServer has been restarted'],
      ways: [
        way('What exactly differs, and by which rule: twinstep qualify'),
        way('Level 2 (a loss restarts the guest) needs no two of a kind: set workload.level to 2 on both.'),
      ],
    }),
  ];
}

/** Row 13. */
function network(s: State): AttentionView[] {
  const other = otherOf(s);
  const dead = [...(s.businessUp ? [] : [s.me]), ...(s.partner && !s.partner.businessUp ? [other] : [])].sort();
  if (dead.length === 0) return [];
  const how =
    dead.length === 2
      ? 'No client reaches the workload.'
      : s.redirected || s.lending
        ? 'Clients reach the workload over the other CoServer.'
        : 'The workload is served where the network is alive.';
  return [
    view('network', 'critical', `The business network is dead on CoServer ${dead.join(' and ')}`, how, {
      row: '13',
      endsWhen: ['the cable, the switch or the NIC is mended'],
    }),
  ];
}

/** Row 29. */
function version(s: State): AttentionView[] {
  if (s.toldVersion === null || s.partner?.version !== s.toldVersion) return [];
  return [
    view(
      'version',
      'warning',
      'The two CoServers run different versions',
      `CoServer ${s.me} runs ${s.version}, CoServer ${otherOf(s)} runs ${s.toldVersion}: these do not run as one. Update the older one.`,
      { row: '29', endsWhen: ['both run versions that fit'] },
    ),
  ];
}

/** Row 27. */
function power(s: State): AttentionView[] {
  const servers: [CoServerName, Power][] = [
    [s.me, s.power],
    ...(s.partner ? [[otherOf(s), s.partner.power] as [CoServerName, Power]] : []),
  ];
  const without = servers.filter(([, p]) => p !== 'mains').sort(([x], [y]) => x.localeCompare(y));
  if (without.length === 0) return [];
  const low = without.some(([, p]) => p === 'low');
  const all = without.length === servers.length;
  const sentence = s.stoppedForPower
    ? 'The workload was shut down in order and starts again when mains is back.'
    : all
      ? 'If mains does not come back soon, the workload is shut down in order; it starts again when mains is back.'
      : 'The other CoServer has mains: the workload moves there before the battery is empty.';
  return [
    view(
      'power',
      low || all ? 'critical' : 'warning',
      `CoServer ${without.map(([name, p]) => (p === 'low' ? `${name} (nearly empty)` : name)).join(' and ')} on battery`,
      sentence,
      { row: '27', endsWhen: ['mains is back'] },
    ),
  ];
}

/** Row 28. */
function maintenance(s: State): AttentionView[] {
  const other = otherOf(s);
  if (s.record.maintenance)
    return [
      view(
        'maintenance',
        'info',
        `CoServer ${s.me} is out for maintenance`,
        'It neither joins nor starts, and may be switched off. The workload runs on the other CoServer alone, not redundant.',
        { row: '28', ways: [way('When the work is done:', 'end-maintenance')] },
      ),
    ];
  if (!s.partner?.record.maintenance) return [];
  return [
    view('maintenance', 'info', `CoServer ${other} is out for maintenance`, 'The workload runs here alone, not redundant.', {
      row: '28',
      ways: [way(`When the work is done: ask for "Bring this CoServer back" at CoServer ${other}.`)],
    }),
  ];
}
