// Which NICs of the two machines have a carrier. A link is one cable between them: it carries while it is whole and both have power. The
// other two networks end in switches.
import type { CoServerName } from '../../../appliance/core/snapshot.ts';
import { CO_SERVERS, partnerOf } from '../settings.ts';
import { NIC_ROLES, type NicRole } from './spec.ts';

export interface CableState {
  on: Record<CoServerName, boolean>;
  /** Links: one cable, so the same on both sides. */
  whole: Record<CoServerName, Record<NicRole, boolean>>;
}

export function allWhole(): CableState {
  const whole = () => ({ link1: true, link2: true, mgmt0: true, lan0: true });
  return { on: { A: false, B: false }, whole: { A: whole(), B: whole() } };
}

export function isLink(role: NicRole): boolean {
  return role === 'link1' || role === 'link2';
}

export function withCable(state: CableState, name: CoServerName, role: NicRole, whole: boolean): CableState {
  const ends = isLink(role) ? CO_SERVERS : [name];
  const next = { ...state.whole };
  for (const end of ends) next[end] = { ...next[end], [role]: whole };
  return { ...state, whole: next };
}

/** Of a machine that is on: the carrier of each of its NICs. */
export function carriers(state: CableState, name: CoServerName): Record<NicRole, boolean> {
  const carrier = (role: NicRole) => state.whole[name][role] && (!isLink(role) || state.on[partnerOf(name)]);
  const [link1, link2, mgmt0, lan0] = NIC_ROLES.map(carrier);
  return { link1: link1 === true, link2: link2 === true, mgmt0: mgmt0 === true, lan0: lan0 === true };
}
