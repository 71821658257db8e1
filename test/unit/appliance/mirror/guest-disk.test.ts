// What is written in the guest's place is of one interval: the one that a restore point's cut looks at, and that the partner is told.
import t from 'tap';
import { activityLog, HOT_EXTENTS } from '../../../../appliance/core/activity-log.ts';
import { GuestDisk } from '../../../../appliance/mirror/guest-disk.ts';
import { decodeMessage, type MirrorMessage } from '../../../../appliance/mirror/messages.ts';
import type { Metadata } from '../../../../appliance/mirror/metadata.ts';
import { Partner } from '../../../../appliance/mirror/partner.ts';
import type { Quarantine } from '../../../../appliance/mirror/quarantine.ts';
import { fakePair } from '../../../../drivers/link/fake.ts';
import { LosableStore, Power } from './losable-store.ts';

const BLOCK = 4096;

function guestDisk(cold: () => Promise<void> | undefined = () => undefined) {
  const state = { interval: 1 };
  const sent: MirrorMessage[] = [];
  const { a, b } = fakePair();
  b.on('message', (bytes) => {
    const m = decodeMessage(bytes);
    sent.push(m);
    partner.answered({ ...m, kind: 'answer', status: 'ok' });
  });
  const partner = new Partner(a, 7, () => t.fail('the partner is lost'));
  const log = activityLog([], HOT_EXTENTS);
  const metadata = { log, begin: () => cold(), end: () => undefined } as unknown as Metadata;
  const guest = new GuestDisk({
    disk: new LosableStore(new Power(Number.POSITIVE_INFINITY, () => 0), Buffer.alloc(4 * BLOCK)),
    metadata,
    interval: () => state.interval,
    onError: (e) => t.fail(e.message),
    isWriteThrough: false,
    written: () => undefined,
    quarantine: { hasWhole: () => false } as unknown as Quarantine,
    healed: () => undefined,
    rescue: () => Promise.reject(new Error('nothing is lost')),
  });
  guest.partner = partner;
  return { guest, state, sent };
}

t.test('a checkpoint while its bytes are fetched: a cut between the intervals holds it', async (t) => {
  const { guest, state, sent } = guestDisk();
  const cut = Promise.withResolvers<ReturnType<typeof guest.changes.holdAfter>>();
  let fetched = 0;
  const replaced = guest.replace(0, BLOCK, async () => {
    if (fetched++ === 0) {
      state.interval = 2;
      cut.resolve(guest.changes.holdAfter(1));
    }
    return Buffer.alloc(BLOCK, fetched);
  });
  const hold = await cut.promise;
  await Promise.race([hold.wanted, replaced]);
  t.same(sent, [], 'nothing of the later interval before the cut');
  hold.release();
  await replaced;
  t.match(sent, [{ kind: 'write', interval: 2, data: Buffer.alloc(BLOCK, 2) }], 'as it was when it was written');
});

t.test('a checkpoint while its extent becomes suspect: nothing is sent of an interval that may be committed', async (t) => {
  let isCold = true;
  const { guest, state, sent } = guestDisk(() => {
    if (!isCold) return undefined;
    isCold = false;
    state.interval = 2;
    return Promise.resolve();
  });
  await guest.replace(BLOCK, BLOCK, () => Promise.resolve(Buffer.alloc(BLOCK, 1)));
  t.same(
    sent.map((m) => m.interval),
    [2],
  );
});

t.test('checkpoints that overtake it again and again: it says so', async (t) => {
  const { guest, state, sent } = guestDisk();
  const data = async (): Promise<Buffer> => {
    state.interval++;
    return Buffer.alloc(BLOCK);
  };
  await t.rejects(guest.replace(0, BLOCK, data), /checkpoints overtook it 20 times/);
  t.same(sent, []);
});
