// What each page says beside its fields: as short as somebody needs who stands before a rack with a telephone. Pure.
import { ascii, BLANK, bold, hanging, type Line, pad, plain, wrap } from '../console/serial/layout.ts';
import { COLUMNS } from '../console/serial/screen.ts';
import { isConfigured } from './beacon.ts';
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
/** Rows of ports that have room beside what is said; the rest comes when the cursor goes there. */
const PORTS_SHOWN = 12;

export interface PageLines {
  /** Before the fields, and after them. */
  above: Line[];
  below: Line[];
}

const text = (...paragraphs: string[]): Line[] =>
  paragraphs.flatMap((p, i) => [...(i === 0 ? [] : [BLANK]), ...wrap(p, COLUMNS - 2).map((row) => plain(` ${row}`))]);

export function pageLines(state: SetupState, facts: SetupFacts): PageLines {
  switch (state.page) {
    case 'server':
      return {
        above: text(
          'Welcome. Two servers become one that does not stop when either of them does. A few questions on each of them, some minutes in all; nothing is kept before the summary.',
          'One of the two is CoServer A, the other one CoServer B. Which is which does not matter later: put the letter on its front.',
        ),
        below: partnerLines(facts),
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
          'The password of the administrator: for the web console, and for actions on this screen. There is no other way in, and none to look it up: keep it well.',
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
          `From then on: https://${answersOf(state, facts)['management.address'].split('/')[0]}/ and, on this line, the console of the pair. The browser warns once: compare the fingerprint that the console shows.`,
        ),
        below: [],
      };
    default:
      return state.page satisfies never;
  }
}

export const clockText = (ms: number): string => new Date(ms).toISOString().slice(0, 16).replace('T', ' ');

function partnerLines(facts: SetupFacts): Line[] {
  const heard = facts.heard.find((h) => h.beacon.identity !== facts.identity && facts.nowMs - h.atMs < 3_000);
  if (!heard) return text('No other server is heard yet. Start its setup when you like: the two find each other on their cables.');
  const { coServer, stage } = heard.beacon;
  if (isConfigured(stage) && coServer)
    return text(
      `CoServer ${coServer} of a pair is heard on port ${heard.port}: it runs, without its partner. This server can take that one's place as CoServer ${coServer === 'A' ? 'B' : 'A'}.`,
    );
  return text(`Another server is heard on port ${heard.port}: ${coServer ? `CoServer ${coServer}` : 'it has no letter yet'}.`);
}

// ---- ports and cables ----------------------------------------------------------------------------------------------------------

function speedText({ speedMbps, carrier }: NicFact): string {
  if (!carrier) return 'no cable';
  if (speedMbps === null) return 'up';
  return speedMbps >= 1000 ? `${speedMbps / 1000} Gbit` : `${speedMbps} Mbit`;
}

function portsPage(state: SetupState, facts: SetupFacts): PageLines {
  const { roles } = cablingOf(state, facts);
  const fields = fieldsOf(state, facts);
  const from = Math.max(0, Math.min(state.cursor - 1, facts.nics.length - PORTS_SHOWN));
  const rows = facts.nics.slice(from, from + PORTS_SHOWN).map((nic, at): Line => {
    const i = from + at;
    const isHere = i === state.cursor;
    const value = `< ${ROLE_TEXT[roles[nic.mac] ?? 'none']} >`;
    const place = [nic.name, nic.driver ?? '-', nic.mac, speedText(nic), nic.bus ?? '-'];
    const [name = '', driver = '', mac = '', speed = '', bus = ''] = place.map(ascii);
    return [
      { text: pad(`${isHere ? '>' : ' '}${String(nic.number).padStart(2)} `, 4), style: isHere ? 'bold' : 'plain' },
      { text: `${pad(name, 9)} ${pad(driver, 7)} ${pad(mac, 17)} ${pad(speed, 9)}${pad(bus, 12)} `, style: 'plain' },
      { text: pad(value, 17), style: isHere ? 'reverse' : 'plain' },
    ];
  });
  const warning = roleWarning(facts.nics, roles);
  return {
    above: [
      ...text(
        "Each port has one use. Two direct cables are the links between the servers; the guest's network leads to its clients, management to the operators. Cables that are heard are proposed.",
      ),
      BLANK,
      bold(`  # ${pad('name', 9)} ${pad('driver', 7)} ${pad('MAC address', 17)} ${pad('cable', 9)}${pad('place', 12)} use`),
      ...(rows.length > 0 ? rows : text('No network port was found: this server needs four, and two at least besides the links.')),
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

const MARKS: Readonly<Record<Finding['kind'], string>> = { good: '[ok] ', note: '[  ] ', wrong: '[!!] ' };

function cablesPage(state: SetupState, facts: SetupFacts): PageLines {
  const { roles, cables } = cablingOf(state, facts);
  // Those with a use first, where not all have room.
  const order = (nic: NicFact): number => ((roles[nic.mac] ?? 'none') === 'none' ? 1 : 0);
  const nics = facts.nics.length > PORTS_SHOWN ? [...facts.nics].sort((a, b) => order(a) - order(b)) : facts.nics;
  const rows = nics.slice(0, PORTS_SHOWN - 2).map((nic) => {
    const found = cables.ports.find((p) => p.number === nic.number);
    return plain(
      `   ${pad(`${nic.number}`, 3)}${pad(ascii(nic.name), 11)}${pad(ROLE_TEXT[roles[nic.mac] ?? 'none'], 15)}${found ? stateText(found.state) : ''}`,
    );
  });
  const rank: readonly Finding['kind'][] = ['wrong', 'good', 'note'];
  const findings = [...cables.findings].sort((a, b) => rank.indexOf(a.kind) - rank.indexOf(b.kind));
  const left = findings.length - ITEMS_MAX;
  return {
    above: [
      ...text('Both servers speak on every port, four times a second: plug and look. Nothing else is touched.'),
      BLANK,
      bold('   #  name       use            connected to'),
      ...rows,
    ],
    below: [
      ...findings
        .slice(0, ITEMS_MAX)
        .flatMap((f) => hanging(` ${MARKS[f.kind]}`, f.text, COLUMNS - 1, f.kind === 'wrong' ? 'bold' : 'plain')),
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

function pairingPage({ pairing, partner }: SetupFacts, isClosed: boolean): PageLines {
  // It runs, and its operator has not said yet that somebody may take its partner's place.
  if (isClosed && pairing?.phase !== 'paired')
    return {
      above: text(
        'The other CoServer runs, without its partner. If this server is to take the place of that partner, its administrator says so there: on its console, "Accept a replacement". The old server must be off.',
        'Then both show the same six digits.',
      ),
      below: pairing?.trouble ? hanging(' [!!] ', inSetup(pairing.trouble), COLUMNS - 1, 'bold') : [],
    };
  if (!pairing)
    return { above: text('The other server is looked for on the links. Start its setup, and go on there to this page.'), below: [] };
  const isKnown = partner?.handOver ? text('The other CoServer runs: what it knows of the pair is taken over.') : [];
  const code = pairing.code === null ? [] : [BLANK, bold(`      ${pairing.code.slice(0, 3)} ${pairing.code.slice(3)}`)];
  return {
    above: [
      ...text(
        'The two servers make a key that only they have. Nobody stands between them if both screens show the same six digits: look at both, or let somebody read them to you.',
      ),
      ...code,
      BLANK,
      ...text(inSetup(pairing.sentence)),
      ...(pairing.fingerprint ? text(`Fingerprint of the key: ${pairing.fingerprint}`) : []),
      ...isKnown,
    ],
    below: pairing.trouble === '' ? [] : hanging(' [!!] ', inSetup(pairing.trouble), COLUMNS - 1, 'bold'),
  };
}

function qualificationPage({ qualification, partner }: SetupFacts): PageLines {
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
      BLANK,
      ...shown.flatMap(({ item, a, b, rule }) => [
        ...hanging(' [!!] ', `${item}: A ${a}, B ${b}`, COLUMNS - 1, 'bold'),
        ...hanging('      ', rule, COLUMNS - 1).slice(0, 2),
      ]),
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

function guestPage(state: SetupState, facts: SetupFacts): PageLines {
  const answers = answersOf(state, facts);
  const disk = diskOf(facts, answers['guest.disk']);
  return {
    above: text(
      'The virtual server. Each of the two servers holds a whole copy of its disk. What is asked here is the same on both: the second one takes it over.',
    ),
    below: disk
      ? [
          ...text(`${disk.text}: room for ${disk.mib} MiB.`),
          ...(disk.holds === '' ? [] : hanging(' [!!] ', disk.holds, COLUMNS - 1, 'bold')),
        ]
      : [],
  };
}

/** What the guest boots from comes with an answer file, or by a stick whenever the product starts. */
function missingLines({ missing, machine }: SetupFacts): Line[] {
  const slow = machine.kvm
    ? []
    : hanging(
        ' [!!] ',
        "No /dev/kvm: the guest would be emulated, many times slower. Switch virtualisation on in this server's BIOS.",
        COLUMNS - 1,
        'bold',
      );
  return [...slow, ...filesMissing(missing)];
}

function filesMissing(missing: readonly string[]): Line[] {
  return missing.length === 0
    ? []
    : hanging(
        ' [!!] ',
        `Not there yet: ${missing.join(', ')}. A stick with the label TWINSTEP brings them in its folder guest.`,
        COLUMNS - 1,
        'bold',
      );
}

function readiness(other: SetupFacts['partner']): string {
  if (other?.handOver)
    return 'The other CoServer runs. Once this is agreed to it goes over to the new key, and this server starts with an empty copy, which is then made equal.';
  return other?.isReady ? 'The other server is ready.' : 'The other server is not ready yet: both start together.';
}

function summaryPage(state: SetupState, facts: SetupFacts): PageLines {
  const a = answersOf(state, facts);
  const { roles } = cablingOf(state, facts);
  const ports = facts.nics
    .filter((n) => (roles[n.mac] ?? 'none') !== 'none')
    .map((n) => `${ROLE_TEXT[roles[n.mac] ?? 'none']}: ${n.number} (${n.name})`);
  const row = (label: string, value: string): Line[] => hanging(` ${pad(label, 18)}`, value === '' ? 'none' : value, COLUMNS - 1);
  const other = facts.partner;
  const different = differences(state, facts);
  return {
    above: [
      ...row('This server', `CoServer ${a.coServer}, address ${a['management.address']}, router ${a['management.gateway'] || 'none'}`),
      ...row(
        'The other one',
        other ? `CoServer ${other.coServer}, address ${other.managementAddress || 'not said yet'}` : 'has not said anything yet',
      ),
      ...row('Ports', ports.join(', ')),
      ...row('Paired', facts.pairing?.fingerprint ? `yes, key ${facts.pairing.fingerprint}` : 'no'),
      ...row('Witness', `${a['witness.address']} port ${a['witness.port']}`),
      ...row("The other's BMC", a['fence.address']),
      ...row('Password', a.password === '' ? 'none yet' : 'set'),
      ...row('Guest', `${a['guest.name']}: level ${a['guest.level']}, ${a['guest.memoryMiB']} MiB, processors: ${a['guest.cpus']}`),
      ...row('Its disk', `${a['guest.diskMiB']} MiB on ${a['guest.disk']}`),
      ...row('It boots', `${a['guest.kernel']}, ${a['guest.initrd']}`),
    ],
    below: [
      ...different.flatMap((d) => hanging(' [!!] ', `${d.question}: '${d.here}' here, '${d.there}' there`, COLUMNS - 1, 'bold')),
      ...missingLines(facts),
      ...text(readiness(other)),
      ...(state.isAgreed && other?.isReady !== true && !other?.handOver ? text('Enter once more writes without waiting for it.') : []),
    ],
  };
}
