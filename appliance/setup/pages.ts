// What each page says beside its fields: as short as somebody needs who stands before a rack with a telephone. Pure.
import { isConfigured } from './beacon.ts';
import { type Block, PORTS_SHOWN, text, wrong } from './blocks.ts';
import type { Finding, PortState } from './cables.ts';
import { differences } from './dialogue.ts';
import { diskOf, fieldsOf } from './fields.ts';
import { type NicFact, ROLE_TEXT, roleWarning } from './roles.ts';
import { answersOf, cablingOf, type Page, type SetupFacts, type SetupState } from './state.ts';

export const TITLES: Readonly<Record<Page, string>> = {
  server: 'which server is this?',
  ports: 'network ports',
  cables: 'cables',
  pairing: 'pairing',
  qualification: 'are the two alike?',
  management: 'network of the operators',
  helpers: 'witness and power switch',
  password: 'password',
  clock: 'clock',
  guest: 'the guest and its disk',
  summary: 'summary',
  done: 'done',
};

/** Findings, and what differs: the first ones are what somebody has to act on. */
const ITEMS_MAX = 6;
/** Of addresses in as many networks. */
const URLS_SHOWN = 3;

export interface PageBlocks {
  /** Before the fields, and after them. */
  above: Block[];
  below: Block[];
}

export function pageBlocks(state: SetupState, facts: SetupFacts): PageBlocks {
  switch (state.page) {
    case 'server':
      return {
        above: text(
          'Welcome. Two servers become one that does not stop when either of them does. A few questions on each of them, some minutes in all; nothing is kept before the summary.',
          'One of the two is CoServer A, the other one CoServer B. Which is which does not matter later: put the letter on its front.',
        ),
        below: [...partnerBlocks(facts), ...webBlocks(facts)],
      };
    case 'ports':
      return portsPage(state, facts);
    case 'cables':
      return cablesPage(state, facts);
    case 'pairing':
      return pairingPage(facts, cablingOf(state, facts).cables.partner?.stage === 'alone');
    case 'qualification':
      return qualificationPage(facts);
    case 'management':
      return {
        above: text(
          'Operators reach this server here, and it reaches the witness: an address of its own that does not change.',
          'The links between the two servers need no addresses from you.',
        ),
        below: facts.partner?.managementAddress ? text(`The other server has ${facts.partner.managementAddress}.`) : [],
      };
    case 'helpers':
      return {
        above: text(
          'The witness is a third, small computer elsewhere in your network. When all links are cut it decides which server goes on, so that never both do.',
          "By the other server's BMC this one can switch it off before it takes over. It may be left out, and needs a user that may switch power.",
          ...(facts.partner?.handOver ? ["The other one is told this server's own BMC: what it knew is the old server's."] : []),
        ),
        below: [],
      };
    case 'password':
      return {
        above: text(
          "The password of the administrator: for the web console, and for actions on this server's screen. There is no other way in, and none to look it up: keep it well.",
        ),
        below: state.values.password ? text('A password is set. Leave both empty to keep it.') : [],
      };
    case 'clock':
      return {
        above: text(
          `The clock of this server says ${clockText(facts.clockMs)} UTC.`,
          'If it is right, leave the answer empty. Nothing that protects the guest depends on it: it dates what is recorded. There is no time server to be named.',
        ),
        below: text('Example: 2030-01-31 17:05'),
      };
    case 'guest':
      return guestPage(state, facts);
    case 'summary':
      return summaryPage(state, facts);
    case 'done':
      return {
        above: text(
          'The answers are written. This CoServer starts now, by itself, and so it does after every power-on.',
          `From then on: https://${answersOf(state, facts)['management.address'].split('/')[0]}/ and, on its serial line and its screen, the console of the pair. The browser warns once: compare the fingerprint that the console shows.`,
        ),
        below: [],
      };
    default:
      return state.page satisfies never;
  }
}

export const clockText = (ms: number): string => new Date(ms).toISOString().slice(0, 16).replace('T', ' ');

function partnerBlocks(facts: SetupFacts): Block[] {
  const heard = facts.heard.find((h) => h.beacon.identity !== facts.identity && facts.nowMs - h.atMs < 3_000);
  if (!heard) return text('No other server is heard yet. Start its setup when you like: the two find each other on their cables.');
  const { coServer, stage } = heard.beacon;
  if (isConfigured(stage) && coServer)
    return text(
      `CoServer ${coServer} of a pair is heard on port ${heard.port}: it runs, without its partner. This server can take that one's place as CoServer ${coServer === 'A' ? 'B' : 'A'}.`,
    );
  return text(`Another server is heard on port ${heard.port}: ${coServer ? `CoServer ${coServer}` : 'it has no letter yet'}.`);
}

function webBlocks({ web }: SetupFacts): Block[] {
  if (!web) return [];
  if (web.urls.length === 0)
    return [{ kind: 'gap' }, ...text('These pages are in a browser, too, as soon as a DHCP server gives one of the ports an address.')];
  return [
    { kind: 'gap' },
    ...text(
      `Or in a browser: ${web.urls.slice(0, URLS_SHOWN).join(' or ')}, with the code ${web.code}. It warns once; the certificate's fingerprint must be ${web.fingerprint}.`,
    ),
  ];
}

// ---- ports and cables ----------------------------------------------------------------------------------------------------------

function speedText({ speedMbps, carrier }: NicFact): string {
  if (!carrier) return 'no cable';
  if (speedMbps === null) return 'up';
  return speedMbps >= 1000 ? `${speedMbps / 1000} Gbit` : `${speedMbps} Mbit`;
}

function portsPage(state: SetupState, facts: SetupFacts): PageBlocks {
  const fields = fieldsOf(state, facts);
  const rows = facts.nics.map((nic, i) => ({
    number: nic.number,
    cells: [nic.name, nic.driver ?? '-', nic.mac, speedText(nic), nic.bus ?? '-'] as const,
    use: ROLE_TEXT[cablingOf(state, facts).roles[nic.mac] ?? 'none'],
    fieldId: fields[i]?.id ?? '',
  }));
  const warning = roleWarning(facts.nics, cablingOf(state, facts).roles);
  return {
    above: [
      ...text(
        "Each port has one use. Two direct cables are the links between the servers; the guest's network leads to its clients, management to the operators. Cables that are heard are proposed.",
      ),
      { kind: 'gap' },
      { kind: 'ports', rows, at: state.cursor },
      ...(rows.length > 0 ? [] : text('No network port was found: this server needs four, and two at least besides the links.')),
    ],
    below: warning !== null && fields.length > 0 ? text(warning) : [],
  };
}

function stateText(state: PortState): string {
  switch (state.kind) {
    case 'noCarrier':
      return 'no cable, or the other end is off';
    case 'silent':
      return 'nothing heard';
    case 'self':
      return `port ${state.port} of this same server`;
    case 'switch':
      return `a switch (${state.heard} ports are heard)`;
    case 'partner':
      return `port ${state.port} there (${state.name}, ${ROLE_TEXT[state.role]})`;
    default:
      return state satisfies never;
  }
}

const CABLE_COLUMNS = [
  { title: '#', width: 3 },
  { title: 'name', width: 11 },
  { title: 'use', width: 15 },
  { title: 'connected to', width: 47 },
];

function cablesPage(state: SetupState, facts: SetupFacts): PageBlocks {
  const { roles, cables } = cablingOf(state, facts);
  // Those with a use first, where not all have room.
  const order = (nic: NicFact): number => ((roles[nic.mac] ?? 'none') === 'none' ? 1 : 0);
  const nics = facts.nics.length > PORTS_SHOWN ? [...facts.nics].sort((a, b) => order(a) - order(b)) : facts.nics;
  const rows = nics.slice(0, PORTS_SHOWN - 2).map((nic) => {
    const found = cables.ports.find((p) => p.number === nic.number);
    return [`${nic.number}`, nic.name, ROLE_TEXT[roles[nic.mac] ?? 'none'], found ? stateText(found.state) : ''];
  });
  const rank: readonly Finding['kind'][] = ['wrong', 'good', 'note'];
  const findings = [...cables.findings].sort((a, b) => rank.indexOf(a.kind) - rank.indexOf(b.kind));
  const left = findings.length - ITEMS_MAX;
  return {
    above: [
      ...text('Both servers speak on every port, four times a second: plug and look. Nothing else is touched.'),
      { kind: 'gap' },
      { kind: 'table', columns: CABLE_COLUMNS, rows },
    ],
    below: [
      ...findings.slice(0, ITEMS_MAX).map((f): Block => ({ kind: 'finding', tone: f.kind, text: f.text })),
      ...(left > 0 ? text(`... and ${left} more.`) : []),
    ],
  };
}

// ---- pairing, qualification ----------------------------------------------------------------------------------------------------

/** The remedies of a product that runs, as they are called here. */
function inSetup(sentence: string): string {
  return sentence
    .replace(
      /: start it unpaired, or run 'twinstep pair' there \(with --again if it has a key\)\./,
      ': start its setup, and go on there to this page.',
    )
    .replace(/run 'twinstep pair --again' (there|here)( to make a new one)?/, "answer 'Pair anew' with yes $1");
}

function pairingPage({ pairing, partner }: SetupFacts, isClosed: boolean): PageBlocks {
  // It runs, and its operator has not said yet that somebody may take its partner's place.
  if (isClosed && pairing?.phase !== 'paired')
    return {
      above: text(
        'The other CoServer runs, without its partner. If this server is to take the place of that partner, its administrator says so there: on its console, "Accept a replacement". The old server must be off.',
        'Then both show the same six digits.',
      ),
      below: pairing?.trouble ? [wrong(inSetup(pairing.trouble))] : [],
    };
  if (!pairing)
    return { above: text('The other server is looked for on the links. Start its setup, and go on there to this page.'), below: [] };
  const isKnown = partner?.handOver ? text('The other CoServer runs: what it knows of the pair is taken over.') : [];
  const code: Block[] =
    pairing.code === null ? [] : [{ kind: 'gap' }, { kind: 'code', text: `${pairing.code.slice(0, 3)} ${pairing.code.slice(3)}` }];
  return {
    above: [
      ...text(
        'The two servers make a key that only they have. Nobody stands between them if both screens show the same six digits: look at both, or let somebody read them to you.',
      ),
      ...code,
      { kind: 'gap' },
      ...text(inSetup(pairing.sentence)),
      ...(pairing.fingerprint ? text(`Fingerprint of the key: ${pairing.fingerprint}`) : []),
      ...isKnown,
    ],
    below: pairing.trouble === '' ? [] : [wrong(inSetup(pairing.trouble))],
  };
}

function qualificationPage({ qualification, partner }: SetupFacts): PageBlocks {
  if (!qualification) {
    const what = partner
      ? 'This server is being read; a small guest is started to try its processor.'
      : 'Waiting for what the other server is made of.';
    return { above: text(what, 'You may go on: the result is shown again on the console of the pair.'), below: [] };
  }
  const shown = qualification.items.slice(0, ITEMS_MAX - 3);
  const left = qualification.items.length - shown.length;
  return {
    above: [
      ...text(qualification.sentence),
      { kind: 'gap' },
      ...shown.flatMap(({ item, a, b, rule }): Block[] => [wrong(`${item}: A ${a}, B ${b}`), { kind: 'rule', text: rule }]),
      ...(left > 0 ? text(`... and ${left} more, on the console of the pair.`) : []),
    ],
    below:
      qualification.verdict === 'passed'
        ? []
        : text(
            'Two servers that differ are not run in lockstep: the guest is then not protected at level 3. You may go on and change it later.',
          ),
  };
}

// ---- the guest, the summary ----------------------------------------------------------------------------------------------------

function guestPage(state: SetupState, facts: SetupFacts): PageBlocks {
  const answers = answersOf(state, facts);
  const disk = diskOf(facts, answers['guest.disk']);
  return {
    above: text(
      'The virtual server. Each of the two servers holds a whole copy of its disk. What is asked here is the same on both: the second one takes it over.',
    ),
    below: disk ? [...text(`${disk.text}: room for ${disk.mib} MiB.`), ...(disk.holds === '' ? [] : [wrong(disk.holds)])] : [],
  };
}

/** What the guest boots from comes with an answer file, or by a stick whenever the product starts. */
function missingBlocks({ missing, machine }: SetupFacts): Block[] {
  return [
    ...(machine.kvm
      ? []
      : [wrong("No /dev/kvm: the guest would be emulated, many times slower. Switch virtualisation on in this server's BIOS.")]),
    ...(missing.length === 0
      ? []
      : [wrong(`Not there yet: ${missing.join(', ')}. A stick with the label TWINSTEP brings them in its folder guest.`)]),
  ];
}

function readiness(other: SetupFacts['partner']): string {
  if (other?.handOver)
    return 'The other CoServer runs. Once this is agreed to it goes over to the new key, and this server starts with an empty copy, which is then made equal.';
  return other?.isReady ? 'The other server is ready.' : 'The other server is not ready yet: both start together.';
}

function summaryPage(state: SetupState, facts: SetupFacts): PageBlocks {
  const a = answersOf(state, facts);
  const { roles } = cablingOf(state, facts);
  const ports = facts.nics
    .filter((n) => (roles[n.mac] ?? 'none') !== 'none')
    .map((n) => `${ROLE_TEXT[roles[n.mac] ?? 'none']}: ${n.number} (${n.name})`);
  const row = (label: string, value: string): Block => ({ kind: 'fact', label, value });
  const other = facts.partner;
  const different = differences(state, facts);
  return {
    above: [
      row('This server', `CoServer ${a.coServer}, address ${a['management.address']}, router ${a['management.gateway'] || 'none'}`),
      row(
        'The other one',
        other ? `CoServer ${other.coServer}, address ${other.managementAddress || 'not said yet'}` : 'has not said anything yet',
      ),
      row('Ports', ports.join(', ')),
      row('Paired', facts.pairing?.fingerprint ? `yes, key ${facts.pairing.fingerprint}` : 'no'),
      row('Witness', `${a['witness.address']} port ${a['witness.port']}`),
      row("The other's BMC", a['fence.address']),
      row('Password', a.password === '' ? 'none yet' : 'set'),
      row('Guest', `${a['guest.name']}: level ${a['guest.level']}, ${a['guest.memoryMiB']} MiB, processors: ${a['guest.cpus']}`),
      row('Its disk', `${a['guest.diskMiB']} MiB on ${a['guest.disk']}`),
      row('It boots', `${a['guest.kernel']}, ${a['guest.initrd']}`),
    ],
    below: [
      ...different.map((d) => wrong(`${d.question}: '${d.here}' here, '${d.there}' there`)),
      ...missingBlocks(facts),
      ...text(readiness(other)),
      ...(state.isAgreed && other?.isReady !== true && !other?.handOver ? text('Agree once more to write without waiting for it.') : []),
    ],
  };
}
