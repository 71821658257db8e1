// What is written in the guest's place is of one interval: the one that a restore point's cut looks at, and that the partner is told.
// And what a replica's guest sees of a copy that is over: nothing.
import t from 'tap';
import { activityLog, HOT_EXTENTS } from '../../../../appliance/core/activity-log.ts';
import { GuestDisk } from '../../../../appliance/mirror/guest-disk.ts';
import { decodeMessage, type MirrorMessage } from '../../../../appliance/mirror/messages.ts';
import type { Metadata } from '../../../../appliance/mirror/metadata.ts';
import { Partner } from '../../../../appliance/mirror/partner.ts';
import type { Quarantine } from '../../../../appliance/mirror/quarantine.ts';
import type { Replica } from '../../../../appliance/mirror/replica.ts';
import { LostBlockError } from '../../../../appliance/mirror/source-reads.ts';
import { StoreError } from '../../../../drivers/block/index.ts';
import { fakePair } from '../../../../drivers/link/fake.ts';
import { LosableStore, Power } from './losable-store.ts';
import { until } from './mirror-pair.ts';

const BLOCK = 4096;

function guestDisk(cold: () => Promise<void> | undefined = () => undefined) {
  const state = { interval: 1 };
  const over: string[] = [];
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
    aloneErrorHoldMs: undefined,
    written: () => undefined,
    quarantine: { hasWhole: () => false, beforeRead: () => undefined, beforeWrite: () => undefined } as unknown as Quarantine,
    healed: () => undefined,
    onReplicaOver: (e) => over.push(e.message),
    // What is not on the disk is not there for whoever reads the disk otherwise.
    rescue: (e) => Promise.reject(e),
  });
  guest.partner = partner;
  return { guest, state, sent, over };
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

t.test('a file that its world is in fails under a replica: told once as its end, and not answered while it is one', async (t) => {
  const { guest, over } = guestDisk();
  guest.partner = undefined;
  const fails = (operation: 'read' | 'write'): Promise<never> =>
    Promise.reject(new StoreError('io', operation, 0, `${operation} of the scratch file failed`));
  guest.replica = { read: () => fails('read'), guestWrite: () => fails('write') } as unknown as Replica;
  const order: string[] = [];
  const all = [
    guest.write(0, Buffer.alloc(BLOCK, 7), false).then(() => order.push('write')),
    guest.read(BLOCK, BLOCK).then(() => order.push('read')),
  ];
  await until(() => over.length === 2, 'it is told');
  t.same(over.sort(), ['read of the scratch file failed', 'write of the scratch file failed']);
  t.same(order, []);
  // It has taken over.
  guest.replica = undefined;
  await Promise.all(all);
  t.equal((await guest.read(0, 1))[0], 7);
});

t.test('what a replica may not be given at all is its guest’s error: a block that is lost on both, more than it may write', async (t) => {
  const { guest, over } = guestDisk();
  guest.replica = {
    read: () => Promise.reject(new LostBlockError(0, 'lost on both')),
    guestWrite: () => Promise.reject(new StoreError('noSpace', 'write', 0, 'too much', 'ENOSPC')),
  } as unknown as Replica;
  await t.rejects(guest.read(0, BLOCK), { message: 'lost on both' });
  await t.rejects(guest.write(0, Buffer.alloc(BLOCK), false), { message: 'too much' });
  t.same(over, []);
});
