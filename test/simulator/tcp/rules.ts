// The product's rules, as the simulation takes them.
import { LockstepPrimary } from '../../../appliance/gate/lockstep/primary.ts';
import { LockstepSecondary } from '../../../appliance/gate/lockstep/secondary.ts';
import type { Gates } from './pair.ts';

export const LOCKSTEP: Gates = {
  primary: (ports) => new LockstepPrimary(ports),
  secondary: (ports) => new LockstepSecondary(ports),
};
