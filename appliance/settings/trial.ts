// A new management address that was asked for over the network: it stays when somebody has come to this server by it and says so, and goes by itself
// otherwise. What is shown of that, and what may be asked. Pure.
import type { ActionView, AttentionView } from '../core/snapshot.ts';
import type { Trial } from './record.ts';

/** To find the console at its new address, to sign in and to press a button. */
export const TRIAL_MS = 120_000;

export const KEEP_ADDRESS = 'keep-management-address';
export const OLD_ADDRESS = 'take-old-address-back';

export function trialActions(trial: Trial | null): ActionView[] {
  if (!trial) return [];
  return [
    { name: KEEP_ADDRESS, label: `Keep the address ${trial.to.address}`, allowed: true, reason: '' },
    { name: OLD_ADDRESS, label: `Go back to ${trial.from.address}`, allowed: true, reason: '' },
  ];
}

export function trialAttention(trial: Trial | null, leftMs: number): AttentionView[] {
  if (!trial) return [];
  return [
    {
      kind: 'address',
      severity: 'warning',
      title: 'Is the new management address to stay?',
      sentence: `This CoServer was given the address ${trial.to.address}. Unless somebody says that it is to stay, it takes ${trial.from.address} again: its process starts anew once more, and so after a loss of power.`,
      row: null,
      leftMs,
      endsWhen: [],
      ways: [
        { text: 'You see this at the new address, or know that it is right:', action: KEEP_ADDRESS },
        { text: 'It is wrong:', action: OLD_ADDRESS },
      ],
    },
  ];
}

export const wentBack = (trial: Trial, why: string): string =>
  `The management address ${trial.to.address} was not kept (${why}): this CoServer is at ${trial.from.address} again.`;
