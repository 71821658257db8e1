// What a port of this server is for, and a first proposal. Pure.
//
// The cables decide first: a port that hears exactly one port of the partner can be a link. Where the partner has said what the other
// end is for, this end is for the same: so nobody has to count ports twice.
import type { CableReport } from './cables.ts';

/** As the NICs are called once the product runs. */
export const ROLES = ['none', 'link1', 'link2', 'lan0', 'mgmt0'] as const;
export type Role = (typeof ROLES)[number];

export const ROLE_TEXT: Readonly<Record<Role, string>> = {
  none: 'not used',
  link1: 'link 1',
  link2: 'link 2',
  lan0: 'guest network',
  mgmt0: 'management',
};

/** One port as it was found. null: not known. */
export interface NicFact {
  /** From 1, in the order of their place in the server: what people call it. */
  number: number;
  name: string;
  mac: string;
  driver: string | null;
  /** "0000:01:00.0". */
  bus: string | null;
  speedMbps: number | null;
  carrier: boolean;
}

export type Roles = Readonly<Record<string, Role>>;

/** By MAC address. @param cables Null: nothing was heard yet. */
export function proposeRoles(nics: readonly NicFact[], cables: CableReport | null): Roles {
  const roles: Record<string, Role> = Object.fromEntries(nics.map((n) => [n.mac, 'none']));
  const free = (): NicFact[] => nics.filter((n) => roles[n.mac] === 'none');
  const taken = (role: Role): boolean => Object.values(roles).includes(role);
  const heardBy = new Map(cables?.ports.map((p) => [p.number, p.state]));
  // What the other end is for already.
  for (const nic of nics) {
    const state = heardBy.get(nic.number);
    if (state?.kind === 'partner' && state.role !== 'none' && cables?.partnerLeads && !taken(state.role)) roles[nic.mac] = state.role;
  }
  const direct = free().filter((n) => heardBy.get(n.number)?.kind === 'partner');
  const bySpeed = (a: NicFact, b: NicFact): number => (b.speedMbps ?? 0) - (a.speedMbps ?? 0) || a.number - b.number;
  for (const role of ['link1', 'link2'] as const) {
    const nic = taken(role) ? undefined : direct.sort(bySpeed).shift();
    if (nic) roles[nic.mac] = role;
  }
  // The rest: the guest's clients before the operator; a port with a carrier before one without.
  const others = free().sort((a, b) => Number(b.carrier) - Number(a.carrier) || bySpeed(a, b));
  const wanted: Role[] = cables?.partner ? ['lan0', 'mgmt0'] : ['lan0', 'mgmt0', 'link1', 'link2'];
  for (const role of wanted) {
    const nic = taken(role) ? undefined : others.shift();
    if (nic) roles[nic.mac] = role;
  }
  return roles;
}

/** What is wrong with the choice, one sentence with its remedy; null: nothing. */
export function roleProblem(nics: readonly NicFact[], roles: Roles): string | null {
  const by = (role: Role): NicFact[] => nics.filter((n) => roles[n.mac] === role);
  for (const role of ROLES) {
    const found = by(role);
    if (role !== 'none' && found.length > 1)
      return `Ports ${found.map((n) => n.number).join(' and ')} are both for '${ROLE_TEXT[role]}': give one of them another use.`;
  }
  if (by('link1').length === 0) return "No port is for 'link 1': choose the port whose cable runs directly to the other server.";
  if (by('lan0').length === 0) return "No port is for 'guest network': choose the port towards the guest's clients.";
  if (by('mgmt0').length === 0) return "No port is for 'management': choose the port towards the network of the operators.";
  return null;
}

/** One link works; what is lost with the second. Null: there are two. */
export function roleWarning(nics: readonly NicFact[], roles: Roles): string | null {
  return nics.some((n) => roles[n.mac] === 'link2')
    ? null
    : 'There is only one link: when its cable fails the pair is no longer protected. A second direct cable is worth its price.';
}
