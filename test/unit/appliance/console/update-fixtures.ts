// What `GET /api/update` answers in the situations that a console must show.
import type { UpdatePicture, UpdateState } from '../../../../appliance/console/update-state.ts';

export const running = (more: Partial<UpdatePicture> = {}): UpdatePicture => ({
  version: '1.0.0',
  slot: 'a',
  trial: null,
  other: null,
  received: null,
  next: '1.0.0',
  isBusy: false,
  upload: null,
  partner: { version: '1.0.0', onTrial: false, received: null, givenUp: null },
  pair: null,
  ...more,
});

export const uploaded = (more: Partial<UpdatePicture> = {}): UpdatePicture =>
  running({
    other: { version: '1.2.0', isUsable: true, text: 'it has not run yet: 3 starts to show that it works' },
    next: '1.2.0',
    ...more,
  });

export const sending = (): UpdatePicture =>
  uploaded({
    pair: {
      target: '1.2.0',
      state: 'sending',
      text: 'The update to 1.2.0 is on its way to CoServer B.',
      mayRestartGuest: false,
      asksRestartGuest: false,
      sent: { bytes: 95_000_000, of: 190_000_000, bytesPerSecond: 19_000_000 },
    },
  });

export const asking = (): UpdatePicture =>
  uploaded({
    partner: { version: '1.2.0', onTrial: false, received: null, givenUp: null },
    pair: {
      target: '1.2.0',
      state: 'rolling',
      text: 'CoServer B runs 1.2.0. To go on the workload must move, which restarts the guest at level 2.',
      mayRestartGuest: false,
      asksRestartGuest: true,
      sent: null,
    },
  });

export const stopped = (): UpdatePicture =>
  uploaded({
    partner: { version: '1.0.0', onTrial: false, received: null, givenUp: '1.2.0' },
    pair: {
      target: '1.2.0',
      state: 'stopped',
      text: 'Version 1.2.0 did not become healthy on CoServer B, which is back on 1.0.0.',
      mayRestartGuest: false,
      asksRestartGuest: false,
      sent: null,
    },
  });

export const onTrial = (): UpdatePicture =>
  running({
    version: '1.2.0',
    slot: 'b',
    trial: { triesLeft: 2 },
    other: { version: '1.0.0', isUsable: true, text: 'it ran well before' },
    next: '1.2.0',
    partner: null,
  });

export const known = (picture: UpdatePicture): UpdateState => ({ kind: 'known', picture, forcible: {} });
