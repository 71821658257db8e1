// How long each command takes on paper, and what is said at its good end.
import type { Command } from '../../appliance/core/machine.ts';

/** Ms; what is not named takes none. persist, freeze, say and record are barriers. */
export const TAKES_MS: Partial<Record<Command['kind'], number>> = {
  persist: 5,
  freeze: 1,
  startGuest: 1_000,
  adoptGuest: 100,
  adoptDisk: 20,
  openTarget: 50,
  resync: 1_000,
  openIncoming: 50,
  confirmCopy: 5,
  protect: 1_000,
  releaseReady: 20,
  takeOver: 20,
  continueAlone: 20,
  abandonPartner: 20,
  stopAll: 20,
  leaveLockstep: 20,
  shutDownGuest: 500,
  endServer: 20,
};

/** The phase that the partner must be in for it. */
export const NEEDS_PARTNER: Partial<Record<Command['kind'], string>> = {
  resync: 'target',
  protect: 'incoming',
  releaseReady: 'ready',
  confirmCopy: 'committing',
};

/** What the product's own effects say at their good end. */
export function reasonOf(command: Command['kind']): string {
  switch (command) {
    case 'resync':
      return '64 MiB copied';
    case 'keepHistory':
      return 'kept aside';
    default:
      return '';
  }
}
