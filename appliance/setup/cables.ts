// Where the cables run: from what is heard on each port, which port here is connected to which port there, and what is wrong with that.
// Pure. A port that hears one port of one other server is taken as a direct cable to it; a switch in between shows by hearing several.
import { type Beacon, isConfigured } from './beacon.ts';
import { type NicFact, ROLE_TEXT, type Role, type Roles } from './roles.ts';

/** Four beacons a second: twelve in a row were lost, so it is no longer there. */
export const HEARD_MS = 3_000;
/** Of a sender that fell silent while another one speaks on the same port: its cable was moved. A switch brings both all the time. */
const MOVED_MS = 1_000;

/** One beacon as it came in. */
export interface Heard {
  /** Number of the port here. */
  port: number;
  /** Of the Ethernet frame that brought it. */
  mac: string;
  beacon: Beacon;
  atMs: number;
  /** When this sender was heard here for the first time. */
  sinceMs: number;
  /** Since when it says the same of what is heard at its end. */
  saysSinceMs: number;
}

export type PortState =
  | { kind: 'noCarrier' }
  | { kind: 'silent' }
  /** isHeardThere null: too soon to tell. */
  | { kind: 'partner'; port: number; name: string; role: Role; isHeardThere: boolean | null }
  /** The same server: another of its ports, or this one. */
  | { kind: 'self'; port: number }
  /** More than one port is heard: there is a switch. */
  | { kind: 'switch'; heard: number };

export interface PortReport {
  number: number;
  state: PortState;
}

export interface Finding {
  /** wrong: the pair cannot be protected like this; note: to be known. */
  kind: 'good' | 'note' | 'wrong';
  text: string;
}

export interface CableReport {
  ports: PortReport[];
  findings: Finding[];
  /** The other server that is being set up, as its latest beacon has it; null: none is heard. */
  partner: Beacon | null;
  /** Its choice of roles counts before ours: it is A, or has said more than we have. */
  partnerLeads: boolean;
}

export interface Here {
  identity: string;
  coServer: 'A' | 'B' | null;
  nics: readonly NicFact[];
  roles: Roles;
  /** The person here has looked at them: they lead. */
  areRolesChosen: boolean;
}

export function diagnoseCables(here: Here, heard: readonly Heard[], nowMs: number): CableReport {
  const recent = plugged(latest(heard.filter((h) => nowMs - h.atMs <= HEARD_MS)));
  const ownMacs = new Set(here.nics.map((n) => n.mac));
  const isTwin = (h: Heard): boolean => h.beacon.identity === here.identity && !ownMacs.has(h.mac);
  const others = recent.filter((h) => h.beacon.identity !== here.identity);
  const ports = here.nics.map((nic) => ({
    number: nic.number,
    state: stateOf(
      nic,
      recent.filter((h) => h.port === nic.number),
      { here, ownMacs, nowMs },
    ),
  }));
  const identities = [...new Set(others.map((h) => h.beacon.identity))];
  const partner = partnerOf(others, ports);
  const partnerLeads = partner !== null && !here.areRolesChosen && isLed(here, partner);
  const findings = [
    ...twins(
      recent.filter(isTwin),
      others.filter((h) => ownMacs.has(h.mac)),
      here,
    ),
    ...strangers(identities, here, others, partner),
    ...here.nics.flatMap((nic) => portFindings(nic, ports, here)),
  ];
  return { ports, findings, partner, partnerLeads };
}

/** By exactly one of the two: by the one that runs already, by A, or while the letters say nothing by the lower identity. */
function isLed(here: Here, partner: Beacon): boolean {
  if (isConfigured(partner.stage)) return true;
  const rank = (side: 'A' | 'B' | null): number => (side === 'A' ? 0 : side === null ? 1 : 2);
  const difference = rank(partner.coServer) - rank(here.coServer);
  return difference === 0 ? partner.identity < here.identity : difference < 0;
}

/** Of each sender on each port the newest. */
function latest(heard: readonly Heard[]): Heard[] {
  const found = new Map<string, Heard>();
  for (const h of heard) {
    const key = `${h.port} ${h.mac} ${h.beacon.identity} ${h.beacon.port}`;
    const before = found.get(key);
    if (!before || before.atMs <= h.atMs) found.set(key, h);
  }
  return [...found.values()];
}

/** Without those whose cable was in the port before the one that is there now. */
function plugged(heard: readonly Heard[]): Heard[] {
  return heard.filter((h) => !heard.some((other) => other.port === h.port && other.sinceMs > h.atMs && other.atMs - h.atMs > MOVED_MS));
}

interface Around {
  here: Here;
  ownMacs: ReadonlySet<string>;
  nowMs: number;
}

function stateOf(nic: NicFact, heard: readonly Heard[], { here, ownMacs, nowMs }: Around): PortState {
  const [first, second] = heard;
  if (!first) return nic.carrier ? { kind: 'silent' } : { kind: 'noCarrier' };
  if (second) return { kind: 'switch', heard: heard.length };
  const { beacon } = first;
  if (beacon.identity === here.identity && ownMacs.has(first.mac)) return { kind: 'self', port: beacon.port };
  const answers = beacon.heardIdentity === here.identity && beacon.heardPort === nic.number;
  // An end that was plugged out for a moment has forgotten, and hears again soon.
  const isHeardThere = answers ? true : nowMs - first.saysSinceMs > HEARD_MS ? false : null;
  return { kind: 'partner', port: beacon.port, name: beacon.name, role: beacon.role, isHeardThere };
}

/** Who is heard over a direct cable counts before who is heard somewhere in a network. */
function partnerOf(others: readonly Heard[], ports: readonly PortReport[]): Beacon | null {
  const direct = new Set(ports.filter((p) => p.state.kind === 'partner').map((p) => p.number));
  const byAge = [...others].sort((a, b) => Number(direct.has(b.port)) - Number(direct.has(a.port)) || b.atMs - a.atMs);
  return byAge[0]?.beacon ?? null;
}

function twins(sameIdentity: readonly Heard[], sameMac: readonly Heard[], here: Here): Finding[] {
  const found: Finding[] = [];
  const [twin] = sameIdentity;
  if (twin)
    found.push(
      wrong(
        `Another server on port ${twin.port} has the identity of this one (${here.identity.slice(0, 8)}): one is a copy of the other. Start one of them anew.`,
      ),
    );
  const [mac] = sameMac;
  if (mac)
    found.push(wrong(`Port ${mac.beacon.port} there has the MAC address ${mac.mac} of a port of this server: every port needs its own.`));
  return found;
}

function strangers(identities: readonly string[], here: Here, others: readonly Heard[], partner: Beacon | null): Finding[] {
  const found: Finding[] = [];
  if (identities.length > 1) {
    const where = [...new Set(others.map((h) => h.port))].sort((a, b) => a - b).join(', ');
    found.push(
      wrong(
        `${identities.length} other servers are being set up on the networks of this one (ports ${where}): leave only the two that belong together switched on.`,
      ),
    );
  }
  if (partner?.coServer && partner.coServer === here.coServer)
    found.push(
      wrong(
        `The other server says that it is CoServer ${here.coServer} too: choose ${here.coServer === 'A' ? 'B' : 'A'} on one of the two.`,
      ),
    );
  return found;
}

const wrong = (text: string): Finding => ({ kind: 'wrong', text });
const note = (text: string): Finding => ({ kind: 'note', text });

function portFindings(nic: NicFact, ports: readonly PortReport[], here: Here): Finding[] {
  const role = here.roles[nic.mac] ?? 'none';
  const state = ports.find((p) => p.number === nic.number)?.state ?? { kind: 'silent' };
  const isLink = role === 'link1' || role === 'link2';
  const use = role === 'none' ? '' : ` (${ROLE_TEXT[role]})`;
  switch (state.kind) {
    case 'noCarrier':
      if (role === 'none') return [];
      return [(isLink ? wrong : note)(`Port ${nic.number}${use} has no carrier: plug its cable in at both ends.`)];
    case 'silent':
      return isLink
        ? [wrong(`Port ${nic.number}${use}: nothing is heard. Does its cable run to the other server, and is that one switched on?`)]
        : [];
    case 'self':
      return state.port === nic.number
        ? [wrong(`Port ${nic.number}${use} hears itself: its cable leads back into it.`)]
        : // Said once for the two ends.
          state.port > nic.number
          ? [
              wrong(
                `Port ${nic.number} and port ${state.port} of this server are connected to each other: plug one end into the other server.`,
              ),
            ]
          : [];
    case 'switch':
      return isLink
        ? [
            wrong(
              `Port ${nic.number}${use} hears ${state.heard} ports: there is a switch in between. A link is a cable from server to server.`,
            ),
          ]
        : [note(`Port ${nic.number}${use} hears ${state.heard} ports: it is connected to a switch.`)];
    case 'partner':
      return partnerFindings(nic, role, state);
    default:
      return state satisfies never;
  }
}

function partnerFindings(nic: NicFact, role: Role, state: PortState & { kind: 'partner' }): Finding[] {
  const connected = `port ${nic.number} here is connected to port ${state.port} there`;
  const uses = `${ROLE_TEXT[role]} here, ${ROLE_TEXT[state.role]} there`;
  const isLink = role === 'link1' || role === 'link2';
  const theirs = state.role === 'link1' || state.role === 'link2';
  if (state.isHeardThere === false && (isLink || theirs))
    return [
      wrong(
        `Port ${nic.number} here hears port ${state.port} there, but is not heard: its cable carries one direction only. Take another cable.`,
      ),
    ];
  if (role === 'none' || state.role === 'none') return role === 'none' && !theirs ? [] : [note(`${capital(connected)} (${uses}).`)];
  if (role === state.role)
    return isLink
      ? [{ kind: 'good', text: `${capital(ROLE_TEXT[role])}: port ${nic.number} here is connected to port ${state.port} there.` }]
      : [];
  if (isLink && theirs) return [wrong(`Crossed: ${connected} (${uses}). Swap the two cables at one server, or the two uses on one.`)];
  return [wrong(`Swapped: ${connected} (${uses}). Move the cable, or change the use of one of the two ports.`)];
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
