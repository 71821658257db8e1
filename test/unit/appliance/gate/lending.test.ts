// The guest of one gate over the business NIC of the other: two gates, joined by a channel, each with a wire of its own.
import t from 'tap';
import { Gate } from '../../../../appliance/gate/gate.ts';
import { GuestAddressBook } from '../../../../appliance/gate/guest-addresses.ts';
import type { LanPort } from '../../../../appliance/gate/lan-port.ts';
import { framesOfGuest, Lending } from '../../../../appliance/gate/lending.ts';
import { decodeLending, EMIT_HEADER, encodeLending, HEARD_HEADER, isLendingMessage } from '../../../../appliance/gate/lending-messages.ts';
import { type FakeChannel, fakePair } from '../../../../drivers/link/fake.ts';
import { BROADCAST, framed, GUEST_MAC, ipv4Frame, labelOf, OTHER_MAC, unframed } from './guest-frames.ts';

const fromGuest = (n: number, to = OTHER_MAC, from = GUEST_MAC) => ipv4Frame(to, from, '10.77.0.10', '10.77.0.1', n);
const toGuest = (n: number, to = GUEST_MAC, from = OTHER_MAC) => ipv4Frame(to, from, '10.77.0.1', '10.77.0.10', n);

function makeSide(channel: FakeChannel, lockstep = false) {
  const sent: Buffer[] = [];
  const fed: number[] = [];
  let arrive: (batch: Buffer) => void = () => {};
  const lan: LanPort = {
    send: (batch) => {
      sent.push(...unframed(Buffer.from(batch)));
      return batch.length;
    },
    onFrames: (callback) => {
      arrive = callback;
    },
    onWritable: () => {},
    health: () => ({ sendLost: 0, receiveLost: 0, problem: '' }),
    close: () => {},
  };
  const gate = new Gate({ lan, channel, interval: { current: 0 }, guestMac: GUEST_MAC, lockstep, nowMs: () => 0, emit: () => {} });
  gate.attach({
    connected: true,
    bytesRead: 0,
    write: (batch) => fed.push(...unframed(batch).map(labelOf)) > 0,
    close: async () => {},
  });
  return {
    gate,
    fed,
    /** What left on this side's own NIC: labels of the packets, and how many announcements. */
    packets: () => sent.filter((f) => f.readUInt16BE(12) === 0x0800).map(labelOf),
    announcements: () => sent.filter((f) => f.readUInt16BE(12) === 0x8035).length,
    lanSends: (...frames: Buffer[]) => arrive(framed(...frames)),
    guestSends: (...labels: number[]) => {
      const frames = labels.map((n) => fromGuest(n));
      for (const f of frames) gate.sink.frame(f, 0, f.length);
      gate.sink.batch(framed(...frames), frames.length);
    },
  };
}

function makePair(lockstep = false, windowBytes?: number) {
  const channels = fakePair(windowBytes === undefined ? {} : { windowBytes });
  return { owner: makeSide(channels.a, lockstep), lender: makeSide(channels.b, lockstep), channels };
}

const delivered = async () => {
  for (let i = 0; i < 4; i++) await new Promise((resolve) => setImmediate(resolve));
};

for (const lockstep of [false, true])
  t.test(`frames go both ways over the partner's NIC, once, and back over the own one (lockstep: ${lockstep})`, async (t) => {
    const { owner, lender } = makePair(lockstep);
    owner.gate.setMode('solo');
    owner.guestSends(1);
    t.same(owner.packets(), [1]);
    owner.gate.redirect('partner');
    owner.guestSends(2);
    await delivered();
    t.same([owner.packets(), lender.packets(), lender.announcements()], [[1], [], 0], 'nobody lends yet: dropped');
    lender.gate.lend(true);
    await delivered();
    t.equal(lender.announcements(), 1, 'the switches learn the port at once');
    owner.guestSends(3, 4);
    lender.lanSends(toGuest(5), toGuest(6, BROADCAST), toGuest(7, OTHER_MAC), fromGuest(8, BROADCAST));
    owner.lanSends(toGuest(9));
    await delivered();
    t.same([owner.packets(), lender.packets()], [[1], [3, 4]]);
    t.same([owner.fed, lender.fed], [[5, 6], []], 'not what is for others, not its own echo, not what the dead NIC still delivers');
    t.match(lender.gate.status().lending, { lends: true, handedOver: 2, dropped: 0 });
    owner.gate.redirect('own');
    t.equal(owner.announcements(), 1);
    lender.lanSends(toGuest(10));
    owner.lanSends(toGuest(10));
    owner.guestSends(11);
    await delivered();
    t.same(
      [owner.packets(), lender.packets(), owner.fed],
      [
        [1, 11],
        [3, 4],
        [5, 6, 10],
      ],
      'the lender is late: nothing comes twice',
    );
    lender.gate.lend(false);
    lender.lanSends(toGuest(12));
    await delivered();
    t.same(owner.fed, [5, 6, 10]);
  });

t.test('it ends by itself when the channel is lost, and goes on when it is back', async (t) => {
  const { owner, lender, channels } = makePair();
  owner.gate.setMode('solo');
  lender.gate.lend(true);
  await delivered();
  owner.gate.redirect('partner');
  await delivered();
  t.equal(lender.announcements(), 1, 'announced at once when it is lent already');
  channels.cut();
  owner.guestSends(1);
  lender.lanSends(toGuest(2));
  channels.mend();
  await delivered();
  t.same([lender.packets(), owner.fed], [[], []], 'what was said meanwhile does not come late');
  t.equal(lender.announcements(), 2, 'lent and announced again');
  owner.guestSends(3);
  await delivered();
  t.same(lender.packets(), [3]);
  channels.a.reset();
  owner.guestSends(4);
  await delivered();
  owner.guestSends(5);
  await delivered();
  t.same(lender.packets(), [3, 5], 'a new session begins with its own word');
});

t.test('a full channel drops, as a full NIC does', async (t) => {
  const { owner, lender, channels } = makePair(false, 190);
  owner.gate.setMode('solo');
  owner.gate.redirect('partner');
  lender.gate.lend(true);
  await delivered();
  const dropped = owner.gate.status().lending.dropped;
  channels.a.hold();
  owner.guestSends(1, 2, 3);
  owner.guestSends(4);
  t.equal(owner.gate.status().lending.dropped, dropped + 1);
  t.equal(owner.gate.status().drops.lanFull, dropped + 1);
  channels.a.release();
  await delivered();
  owner.guestSends(5);
  await delivered();
  t.same(lender.packets(), [1, 2, 3, 5]);
});

t.test('who owns the LAN lends nothing, who does not redirects nothing; both end with the mode', async (t) => {
  const { owner, lender } = makePair();
  owner.gate.setMode('solo');
  t.throws(() => owner.gate.lend(true), /lend while solo/);
  t.throws(() => lender.gate.redirect('partner'), /redirect while closed/);
  owner.gate.redirect('partner');
  lender.gate.setMode('standby');
  lender.gate.lend(true);
  await delivered();
  lender.gate.takeOver();
  owner.guestSends(1);
  await delivered();
  t.same(lender.packets(), [], 'a side that took over says nothing for the other one any more');
  t.equal(lender.gate.status().lending.lends, false);
  owner.gate.setMode('closed');
  t.equal(owner.gate.status().lending.through, 'own');
  owner.gate.setMode('solo');
  owner.guestSends(2);
  t.same(owner.packets(), [2]);
});

t.test('held output goes where the guest is reached when it is released', async (t) => {
  const { owner, lender } = makePair();
  owner.gate.setMode('solo');
  owner.gate.setMode('frozen');
  owner.guestSends(1);
  lender.gate.lend(true);
  await delivered();
  owner.gate.redirect('partner');
  t.equal(lender.announcements(), 0);
  owner.gate.releaseAll();
  await delivered();
  t.same([owner.packets(), lender.packets()], [[], [1]]);
});

t.test('only frames of the guest are emitted for the partner', async (t) => {
  const book = new GuestAddressBook(GUEST_MAC);
  const batch = framed(fromGuest(1), fromGuest(2, OTHER_MAC, OTHER_MAC), fromGuest(3), fromGuest(4), Buffer.alloc(5));
  const { runs, frames, refused } = framesOfGuest(batch, book);
  t.same(
    runs.map((r) => unframed(r).map(labelOf)),
    [[1], [3, 4]],
  );
  t.same([frames, refused], [3, 2]);
  const broken = framesOfGuest(Buffer.concat([framed(fromGuest(1)), Buffer.from([0, 0, 9, 9, 1])]), book);
  t.same([broken.frames, broken.refused, unframed(broken.runs[0] ?? Buffer.alloc(0)).map(labelOf)], [1, 1, [1]]);
});

t.test('the way of the output', async (t) => {
  const rules = new Lending();
  t.equal(rules.way(false), 'own');
  rules.through = 'partner';
  t.equal(rules.way(true), 'nowhere');
  rules.partnerLends = true;
  t.equal(rules.way(true), 'partner');
  t.equal(rules.way(false), 'nowhere');
  rules.full = true;
  t.equal(rules.way(true), 'nowhere');
  rules.channelLost();
  t.same([rules.partnerLends, rules.full], [false, false]);
});

t.test('the bytes of the table in README.md', async (t) => {
  t.equal(encodeLending(true).toString('hex'), '0901');
  t.equal(Buffer.concat([EMIT_HEADER, framed(Buffer.alloc(14, 0xee))]).toString('hex'), `07${'0000000e'}${'ee'.repeat(14)}`);
  t.same(decodeLending(Buffer.concat([HEARD_HEADER, Buffer.from('ab')])), { kind: 'heard', batch: Buffer.from('ab') });
  t.same(decodeLending(Buffer.from([9, 0])), { kind: 'lending', lends: false });
  for (const bad of [[9], [9, 2], [9, 1, 1]]) t.throws(() => decodeLending(Buffer.from(bad)), /lending message of/);
  t.throws(() => decodeLending(Buffer.from([3])), /unknown message type 3/);
  t.same(
    [6, 7, 8, 9, 10].map((type) => isLendingMessage(Buffer.from([type]))),
    [false, true, true, true, false],
  );
  const { owner, channels } = makePair();
  channels.b.send(Buffer.from([9, 7]));
  await delivered();
  t.match(owner.gate.status().problem, /lending message of 2 bytes, flag 7/, 'a bad one is told and ignored');
});
