// The machines that are known, and which of them two servers are. A new profile is its file and a line here.
import type { Facts } from '../checks/index.ts';
import { type Profile, parseProfile } from './load-profile.ts';
import qemuQ35 from './qemu-q35.json' with { type: 'json' };

export { type Profile, ProfileError, parseProfile } from './load-profile.ts';

export const PROFILES: readonly Profile[] = [parseProfile(qemuQ35, 'qemu-q35.json')];

/** Null: none, or they are not of one model. */
export function profileOf(a: Facts, b: Facts, profiles: readonly Profile[] = PROFILES): Profile | null {
  return profiles.find((p) => fits(p, a) && fits(p, b)) ?? null;
}

function fits({ match }: Profile, { inventory: { system } }: Facts): boolean {
  return match.some((m) => m.systemVendor === system.vendor && m.systemProduct === system.product);
}
