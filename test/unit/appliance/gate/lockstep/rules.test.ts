// The release rules, each with a sequence written by hand. P: numbers of the primary's guest (as on the LAN), S: the replica's.
import t from 'tap';
import { arpFrame, GUEST_MAC } from '../guest-frames.ts';
import { LockstepPair } from './lockstep-pair.ts';
import { describe, isChecksumRight, tcp, timeOf, udp } from './tcp-frames.ts';

/** A connection opened while nothing was protected: both replicas have the same numbers. */
function established(): LockstepPair {
  const p = new LockstepPair();
  p.client(tcp({ fromGuest: false, seq: 99, flags: 'S' }));
  p.guest(tcp({ seq: 999, ack: 100, flags: 'SA' }));
  p.client(tcp({ fromGuest: false, seq: 100, ack: 1000 }));
  p.protect();
  p.left;
  p.fedReplica;
  p.fedPrimary;
  return p;
}

const data = (seq: number, text: string, ack = 100) => tcp({ seq, ack, data: text, flags: 'PA' });

t.test('unprotected: everything leaves at once', async (t) => {
  const p = new LockstepPair();
  p.guest(tcp({ seq: 1 }), udp('a'), arpFrame(GUEST_MAC, 1, GUEST_MAC, '10.77.0.10', '10.77.0.1'), tcp({ seq: 5, flags: 'UA' }));
  t.same(p.left, ['A 1 ack 0', 'udp "a"', 'arp', 'AU 5 ack 0']);
});

t.test('data leaves when the replica has produced equal bytes, however they are cut', async (t) => {
  const p = established();
  p.guest(data(1000, 'hello '), data(1006, 'world'));
  t.same(p.left, []);
  p.replica(data(1000, 'hel'));
  t.same(p.left, []);
  p.replica(data(1003, 'lo wor'));
  t.same(p.left, ['PA 1000 ack 100 "hello "']);
  p.replica(data(1009, 'ld, and more'));
  t.same(p.left, ['PA 1006 ack 100 "world"']);
  p.guest(data(1011, ', and'));
  t.same(p.left, ['PA 1011 ack 100 ", and"'], 'the replica was ahead');
  t.equal(p.primary.statistics().replicaBytes > 0, true);
});

t.test('the replica out of order, and twice', async (t) => {
  const p = established();
  p.replica(data(1003, 'def'), data(1006, 'ghi'), data(1003, 'def'));
  p.guest(data(1000, 'abcdefghi'));
  t.same(p.left, []);
  p.replica(data(1000, 'abcd'));
  t.same(p.left, ['PA 1000 ack 100 "abcdefghi"']);
});

t.test('other bytes: a checkpoint is asked for at once, and the commit lets them out', async (t) => {
  const p = established();
  p.guest(data(1000, 'time 12:00'));
  p.replica(data(1000, 'time 12:01'));
  t.same([p.left, p.wanted], [[], ['different']]);
  p.guest(data(1010, 'x'));
  p.replica(data(1010, 'x'));
  t.same(p.left, [], 'nothing behind it');
  p.checkpoint();
  t.same(p.left, ['PA 1000 ack 100 "time 12:00"', 'PA 1010 ack 100 "x"']);
  p.both(data(1011, 'again'));
  t.same(p.left, ['PA 1011 ack 100 "again"'], 'compared anew after the commit');
});

t.test('an acknowledgement waits for the replica to have the bytes', async (t) => {
  const p = established();
  p.guest(tcp({ seq: 1000, ack: 5000 }));
  t.same(p.left, []);
  p.replica(tcp({ seq: 1000, ack: 3000 }));
  t.same(p.left, []);
  p.replica(tcp({ seq: 1000, ack: 6000 }));
  t.same(p.left, ['A 1000 ack 5000']);
  p.guest(tcp({ seq: 1000, ack: 4000 }));
  t.same(p.left, ['A 1000 ack 4000'], 'said before');
  p.guest(data(1000, 'a', 7000));
  p.replica(data(1000, 'a', 6500));
  t.same(p.left, [], 'also with equal data');
});

t.test('held too long: data after 25 ms, an acknowledgement after 100 ms, each counted by its cause', async (t) => {
  const p = established();
  p.guest(tcp({ seq: 1000, ack: 200 }));
  p.wait(99);
  t.same(p.wanted, []);
  p.wait(1);
  t.same(p.wanted, ['ack']);
  p.checkpoint();
  p.guest(data(1000, 'a'));
  p.wait(24);
  t.same(p.wanted, ['ack']);
  p.wait(1);
  p.wait(50);
  t.same(p.wanted, ['ack', 'data'], 'asked for once');
  p.checkpoint();
  p.guest(udp('q'));
  p.wait(25);
  p.checkpoint();
  p.guest(tcp({ seq: 1001, ack: 200, flags: 'FA' }));
  p.wait(25);
  t.same(p.wanted, ['ack', 'data', 'datagram', 'fin']);
  t.match(p.primary.statistics().causes, { ack: 1, data: 1, datagram: 1, fin: 1, syn: 0 });
});

t.test('SYN and FIN count as bytes; a FIN where the replica has data differs', async (t) => {
  const p = established();
  p.both(tcp({ seq: 1000, ack: 100, data: 'x', flags: 'FA' }));
  t.same(p.left, ['FA 1000 ack 100 "x"']);
  const q = established();
  q.guest(tcp({ seq: 1000, ack: 100, flags: 'FA' }));
  q.replica(data(1000, 'y'));
  t.same([q.left, q.wanted], [[], ['different']]);
});

t.test('RST leaves only when both reset', async (t) => {
  const p = established();
  p.guest(tcp({ seq: 1000, flags: 'R' }));
  t.same(p.left, []);
  p.replica(tcp({ seq: 1000, flags: 'R' }));
  t.same(p.left, ['R 1000']);
  p.guest(tcp({ seq: 1000, flags: 'R' }));
  t.same(p.left, [], 'one of the replica for one of the primary');
  p.wait(25);
  t.same(p.wanted, ['rst']);
});

t.test('a reset of the connection before lets none of the next one’s leave', async (t) => {
  const p = established();
  p.both(tcp({ seq: 1000, flags: 'R' }));
  p.replica(tcp({ seq: 1000, flags: 'R' }));
  p.guest(tcp({ seq: 5000, ack: 9000, flags: 'SA' }));
  p.replica(tcp({ seq: 6000, ack: 9000, flags: 'SA' }));
  t.same(p.left, ['R 1000', 'SA 5000 ack 9000']);
  p.guest(tcp({ seq: 5001, flags: 'R' }), tcp({ seq: 5001, flags: 'R' }));
  t.same(p.left, []);
  p.replica(tcp({ seq: 7777, flags: 'R' }));
  t.same(p.left, [], 'a reset with another number is not the same');
  p.replica(tcp({ seq: 6001, flags: 'R' }));
  t.same(p.left, ['R 5001']);
});

t.test('a retransmission of what left leaves at once, whatever the replica does', async (t) => {
  const p = established();
  p.both(data(1000, 'abc'));
  p.guest(data(1000, 'abc'), data(1001, 'b'));
  t.same(p.left, ['PA 1000 ack 100 "abc"', 'PA 1000 ack 100 "abc"', 'PA 1001 ack 100 "b"']);
  p.guest(data(1002, 'cde'));
  t.same(p.left, [], 'not when new bytes are at its end');
});

t.test('a connection opened while protected: numbers and timestamps are the replica’s own, the client sees one', async (t) => {
  for (const version of [4, 6] as const) {
    const p = new LockstepPair().protect();
    p.client(tcp({ version, fromGuest: false, seq: 99, flags: 'S', timestamps: [1, 0] }));
    const synAck = (seq: number, ts: number) => tcp({ version, seq, ack: 100, flags: 'SA', timestamps: [ts, 1], shift: 1 });
    p.replica(synAck(7000, 500_000));
    t.equal(p.toPrimary.length, 0, 'held until the primary’s number is known');
    p.guest(synAck(999, 20_000));
    t.same(p.left, ['SA 999 ack 100']);
    p.fedReplica;
    p.client(tcp({ version, fromGuest: false, seq: 100, ack: 1000, timestamps: [2, 20_000], sack: [[1001, 1005]] }));
    t.same(p.fedReplica, ['A 100 ack 7001']);
    t.same(p.fedPrimary.slice(1), ['A 100 ack 1000']);
    p.replica(tcp({ version, seq: 7001, ack: 100, data: 'hi', timestamps: [500_001, 2], flags: 'PA' }));
    p.guest(tcp({ version, seq: 1000, ack: 100, data: 'hi', timestamps: [20_001, 2], flags: 'PA' }));
    t.same(p.left, ['PA 1000 ack 100 "hi"']);
    t.same(p.secondary.statistics().offsets, 1);
    p.checkpoint();
    t.same(p.secondary.statistics().offsets, 0, 'the replica is the primary’s copy');
    p.client(tcp({ version, fromGuest: false, seq: 100, ack: 1002 }));
    t.same(p.fedReplica, ['A 100 ack 1002']);
    p.both(tcp({ version, seq: 1002, ack: 100, data: 'yo', flags: 'PA' }));
    t.same(p.left, ['PA 1002 ack 100 "yo"']);
  }
});

t.test('a SYN-ACK is not released before the secondary knows both numbers', async (t) => {
  const p = new LockstepPair().protect();
  p.slow = true;
  p.guest(tcp({ seq: 999, ack: 100, flags: 'SA' }));
  p.replica(tcp({ seq: 7000, ack: 100, flags: 'SA' }));
  t.same(p.left, []);
  p.carry();
  t.same(p.left, ['SA 999 ack 100']);
});

t.test('a connection that the guest opens', async (t) => {
  const p = new LockstepPair().protect();
  const syn = (seq: number) => tcp({ guestPort: 33_000, clientPort: 443, seq, flags: 'S', windowScale: 7 });
  p.guest(syn(100));
  t.same(p.left, []);
  p.replica(syn(900));
  t.same(p.left, ['S 100']);
  p.fedReplica;
  p.client(tcp({ fromGuest: false, guestPort: 33_000, clientPort: 443, seq: 50, ack: 101, flags: 'SA', windowScale: 7 }));
  t.same([p.fedReplica, p.fedPrimary], [['SA 50 ack 901'], ['SA 50 ack 101']]);
  p.guest(tcp({ guestPort: 33_000, clientPort: 443, seq: 101, ack: 51 }));
  p.replica(tcp({ guestPort: 33_000, clientPort: 443, seq: 901, ack: 51 }));
  t.same(p.left, ['A 101 ack 51']);
});

t.test('other offers in a SYN-ACK differ', async (t) => {
  const p = new LockstepPair().protect();
  p.guest(tcp({ seq: 999, ack: 100, flags: 'SA', windowScale: 7 }));
  p.replica(tcp({ seq: 999, ack: 100, flags: 'SA', windowScale: 8 }));
  t.same([p.left, p.wanted], [[], ['different']]);
});

t.test('the same addresses and ports again: the earlier connection’s acknowledgements count for nothing', async (t) => {
  const p = established();
  p.replica(tcp({ seq: 1000, ack: 2_000_000 }));
  p.guest(tcp({ seq: 50_000, ack: 1_000_001, flags: 'SA' }));
  p.replica(tcp({ seq: 1000, ack: 2_000_500 }));
  t.same(p.left, []);
  p.replica(tcp({ seq: 60_000, ack: 1_000_001, flags: 'SA' }));
  t.same(p.left, ['SA 50000 ack 1000001']);
});

t.test('a SYN-ACK that answers another SYN is not this connection’s', async (t) => {
  const p = new LockstepPair().protect();
  p.guest(tcp({ seq: 999, ack: 100, flags: 'SA' }));
  p.replica(tcp({ seq: 7000, ack: 555, flags: 'SA' }));
  t.same([p.left, p.toPrimary, p.secondary.statistics().offsets], [[], [], 0]);
});

t.test('datagrams: equal payload, in any order, one for one; identification does not count', async (t) => {
  const p = new LockstepPair().protect();
  p.guest(udp('a', { id: 1 }), udp('b', { id: 2 }), udp('a', { id: 3 }));
  p.replica(udp('b', { id: 900 }), udp('a', { id: 901 }));
  t.same(p.left, ['udp "b"', 'udp "a"']);
  p.replica(udp('c'));
  p.guest(udp('c'));
  t.same(p.left, ['udp "c"']);
  p.checkpoint();
  t.same(p.left, ['udp "a"']);
  p.replica(udp('d'));
  p.checkpoint();
  p.guest(udp('d'));
  t.same(p.left, [], 'what the replica said before the commit counts no more');
});

t.test('ARP at once; fragments and what nobody knows only by the commit', async (t) => {
  const p = new LockstepPair().protect();
  const fragment = udp('fragment');
  fragment.writeUInt16BE(0x2000, 20);
  p.both(arpFrame(GUEST_MAC, 1, GUEST_MAC, '10.77.0.10', '10.77.0.1'), fragment);
  t.same(p.left, ['arp']);
  p.wait(25);
  t.same(p.wanted, ['opaque']);
  p.checkpoint();
  t.same(p.left.length, 1);
});

t.test('between REPLY and LOADED nothing leaves by comparison; what the replica says then belongs to the next interval', async (t) => {
  const p = established();
  p.guest(data(1000, 'abc'));
  p.slow = true;
  p.replica(data(1000, 'abc'));
  p.reply();
  p.carry();
  t.same(p.left, []);
  p.slow = false;
  p.replica(data(1003, 'def'));
  p.interval = 2;
  p.primary.onCommit(1, p.now);
  t.same(p.left, ['PA 1000 ack 100 "abc"']);
  p.guest(data(1003, 'def'));
  t.same(p.left, []);
  p.secondary.onLoaded(1);
  t.same(p.left, ['PA 1003 ack 100 "def"']);
});

t.test('the replica’s words of an interval that the primary has not reached wait for its commit', async (t) => {
  const p = established();
  p.reply();
  p.secondary.onLoaded(1);
  p.replica(data(1000, 'abc'));
  p.interval = 2;
  p.guest(data(1000, 'abc'));
  t.same(p.left, []);
  p.primary.onCommit(1, p.now);
  t.same(p.left, ['PA 1000 ack 100 "abc"']);
  t.equal(p.by.comparison, 1);
});

t.test('from REPLY to LOADED inputs are held for the replica, and not for the primary', async (t) => {
  const p = established();
  p.reply();
  p.client(tcp({ fromGuest: false, seq: 100, ack: 1000, data: 'q' }));
  t.same([p.fedPrimary, p.fedReplica], [['A 100 ack 1000 "q"'], []]);
  p.interval = 2;
  p.primary.onCommit(1, p.now);
  p.secondary.onLoaded(1);
  t.same(p.fedReplica, ['A 100 ack 1000 "q"']);
});

t.test('the first copy: inputs since the guest’s stop are fed, earlier ones are part of its state', async (t) => {
  const p = new LockstepPair();
  const input = (n: number) => tcp({ fromGuest: false, seq: n, ack: 1 });
  p.client(input(1));
  p.primary.begin(1);
  p.client(input(2));
  p.primary.guestStopped();
  p.client(input(3), input(4));
  t.same(p.fedReplica, []);
  p.secondary.onLoaded(0);
  t.same(p.fedReplica, ['A 3 ack 1', 'A 4 ack 1']);
});

t.test('a connection that is older than what is followed: compared from its first segment, whoever sends it', async (t) => {
  const p = new LockstepPair().protect();
  p.guest(data(1000, 'abc'));
  t.same(p.left, []);
  p.replica(data(1000, 'abc'));
  t.same(p.left, ['PA 1000 ack 100 "abc"']);
  const q = new LockstepPair().protect();
  q.replica(data(1003, 'def'));
  q.guest(data(1000, 'abc'), data(1003, 'def'));
  t.same(q.left, [], 'the replica was ahead when it was first heard: what it said before is not known');
  q.wait(25);
  t.same(q.wanted, ['unknown']);
  q.checkpoint();
  q.left;
  q.both(data(1006, 'g'));
  t.same(q.left, ['PA 1006 ack 100 "g"']);
  const r = new LockstepPair().protect();
  r.replica(data(5000, 'ahead'));
  r.checkpoint();
  r.both(data(1000, 'abc'));
  t.same(r.left, ['PA 1000 ack 100 "abc"'], 'marks that only the replica made end with its interval');
});

t.test('a connection that was forgotten leaves by the commit, and is compared from then on', async (t) => {
  const p = new LockstepPair();
  p.guest(tcp({ seq: 999, ack: 100, flags: 'SA' }));
  for (let i = 0; i < 33_000; i++) p.guest(tcp({ clientPort: i + 1, guestPort: 81, seq: 1, flags: 'SA' }));
  t.ok(p.primary.statistics().forgottenConnections > 0);
  p.protect();
  p.left;
  p.both(data(1000, 'abc'));
  t.same(p.left, []);
  p.wait(25);
  t.same(p.wanted, ['unknown']);
  p.checkpoint();
  t.same(p.left, ['PA 1000 ack 100 "abc"']);
  p.both(data(1003, 'def'));
  t.same(p.left, ['PA 1003 ack 100 "def"']);
});

t.test('a number far from the stream moves no mark: what follows is still compared', async (t) => {
  const p = established();
  p.guest(data(900_000, 'other'));
  p.checkpoint();
  t.same(p.left, ['PA 900000 ack 100 "other"']);
  p.guest(data(1000, 'abc'));
  t.same(p.left, [], 'not taken for a retransmission');
  p.checkpoint();
  p.both(data(1003, 'def'));
  t.same(p.left, ['PA 1000 ack 100 "abc"', 'PA 1003 ack 100 "def"']);
});

t.test('frozen: nothing leaves; committed meanwhile, it leaves at the thaw', async (t) => {
  const p = established();
  p.primary.freeze(true, 0);
  p.both(data(1000, 'abc'));
  p.interval = 2;
  p.primary.onCommit(1, 0);
  p.guest(data(1003, 'def'));
  t.same(p.left, []);
  p.primary.freeze(false, 0);
  t.same(p.left, ['PA 1000 ack 100 "abc"']);
  p.primary.freeze(true, 0);
  t.equal(p.primary.releaseAll(), 1);
  p.primary.end();
  t.same(p.left, ['PA 1003 ack 100 "def"']);
  p.guest(data(1006, 'x'));
  t.same(p.left, ['PA 1006 ack 100 "x"']);
});

t.test('a counter that went back: held until a grant', async (t) => {
  const p = established();
  p.interval = 2;
  p.primary.onCommit(1, 0);
  p.interval = 0;
  p.guest(data(1000, 'abc'), udp('x'));
  p.primary.onCommit(2, 0);
  t.same([p.left, p.primary.statistics().heldFrames], [[], 2]);
  t.equal(p.primary.releaseAll(), 2);
  t.same(p.left, ['PA 1000 ack 100 "abc"', 'udp "x"']);
});

t.test('not compared (passive): each interval waits for its commit, and asks for it at once', async (t) => {
  const p = established();
  p.primary.setComparing(false, 0);
  p.both(data(1000, 'abc'));
  t.same([p.left, p.wanted], [[], ['passive']]);
  p.checkpoint();
  t.same(p.left, ['PA 1000 ack 100 "abc"']);
  p.both(data(1003, 'def'));
  p.primary.setComparing(true, 0);
  t.same([p.left, p.wanted], [['PA 1003 ack 100 "def"'], ['passive', 'passive']]);
});

t.test('a window is never wider than what either side offered; it widens when the replica does', async (t) => {
  const p = new LockstepPair().protect();
  const synAck = () => tcp({ seq: 999, ack: 100, flags: 'SA', window: 5000, windowScale: 1 });
  p.both(synAck());
  p.left;
  const bare = (window: number, ack = 200) => tcp({ seq: 1000, ack, window });
  p.replica(bare(5000));
  p.guest(bare(9000));
  const [, narrow] = p.leftFrames;
  t.equal(narrow?.readUInt16BE(34 + 14), 5000);
  t.equal(isChecksumRight(narrow ?? Buffer.alloc(0), true), true);
  p.left;
  p.replica(bare(5100));
  t.same(p.left, [], 'not for a few bytes');
  p.replica(bare(9000));
  t.same(p.left, ['A 1000 ack 200']);
  const wide = p.leftFrames.at(-1) ?? Buffer.alloc(0);
  t.equal(wide.readUInt16BE(34 + 14), 9000);
  t.equal(isChecksumRight(wide, true), true);
  p.replica(bare(9000));
  p.guest(bare(9500));
  p.wait(100);
  t.same(p.wanted, ['window']);
  p.left;
  p.checkpoint();
  t.same(p.left, ['A 1000 ack 200']);
  t.equal(p.leftFrames.at(-1)?.readUInt16BE(34 + 14), 9500);
});

t.test('takeover: connections go on with the numbers that the client knows, also through the next protection and the next', async (t) => {
  const first = new LockstepPair().protect();
  first.client(tcp({ fromGuest: false, seq: 99, flags: 'S' }));
  first.guest(tcp({ seq: 999, ack: 100, flags: 'SA', timestamps: [100, 1] }));
  first.replica(tcp({ seq: 7000, ack: 100, flags: 'SA', timestamps: [5100, 1] }));
  first.replica(tcp({ seq: 7001, ack: 100, data: 'lost', timestamps: [5101, 1] }));
  let { base, unseen, late } = first.secondary.takeOver();
  t.same([unseen.map(describe), late], [['SA 999 ack 100', 'A 1000 ack 100 "lost"'], []]);
  // Sequence numbers of the guest that runs: 6001 ahead of the LAN's, for ever.
  let lan = 1000;
  for (let round = 1; round <= 10; round++) {
    const p = new LockstepPair();
    p.primary.importBase(base);
    p.guest(tcp({ seq: lan + 6001, ack: 100, data: 'solo' }));
    t.same(p.left, [`A ${lan} ack 100 "solo"`]);
    p.protect(round);
    lan += 4;
    p.client(tcp({ fromGuest: false, seq: 100, ack: lan }));
    t.same([p.fedPrimary, p.fedReplica], [[`A 100 ack ${lan + 6001}`], [`A 100 ack ${lan + 6001}`]]);
    p.both(tcp({ seq: lan + 6001, ack: 100, data: 'duplex' }));
    t.same(p.left, [`A ${lan} ack 100 "duplex"`]);
    lan += 6;
    p.checkpoint();
    p.both(tcp({ seq: lan + 6001, ack: 100, data: 'more' }));
    t.same(p.left, [`A ${lan} ack 100 "more"`]);
    lan += 4;
    base = p.secondary.takeOver().base;
    t.equal(base.length, 1);
  }
});

t.test('no timestamp leaves that the replica has not reached: the survivor’s clock does not go back', async (t) => {
  for (const [version, shift] of [
    [4, 2],
    [6, 1],
  ] as const) {
    const p = new LockstepPair().protect();
    p.client(tcp({ version, fromGuest: false, seq: 99, flags: 'S', timestamps: [1, 0] }));
    const from = (seq: number, time: number, text: string, ack = 100) =>
      tcp({ version, seq, ack, data: text, flags: text ? 'PA' : 'A', timestamps: [time, 1], shift });
    // The replica answers the SYN 30 ms later than the primary: its clock, as the LAN knows it, is 30 ms behind.
    p.guest(tcp({ version, seq: 999, ack: 100, flags: 'SA', timestamps: [1000, 1] }));
    p.replica(tcp({ version, seq: 7000, ack: 100, flags: 'SA', timestamps: [50_030, 1] }));
    p.leftFrames = [];
    const times = () => p.leftFrames.splice(0).map(timeOf);
    p.guest(from(1000, 1040, 'one'));
    p.replica(from(7001, 50_040, 'one'));
    t.same(times(), [1010], 'as late as the replica has said');
    p.guest(from(1000, 1300, 'one'));
    t.same(times(), [1010], 'said before: leaves at once, with the latest known time');
    p.guest(from(1003, 1310, 'two'));
    p.replica(from(7004, 50_400, 'two'));
    t.same(times(), [1310], 'the replica is ahead: its own time');
    p.checkpoint();
    t.same(times(), []);
    p.guest(from(1006, 1400, 'three'));
    p.replica(from(1006, 1390, 'three'));
    t.same(times(), [1390]);
    p.guest(from(1011, 1450, 'four'));
    p.checkpoint();
    t.same(times(), [1450], 'a commit: the survivor’s clock is the primary’s');
    p.both(from(1015, 1460, 'five'));
    p.leftFrames = [];
    p.replica(from(1019, 1500, 'six'));
    const { unseen } = p.secondary.takeOver();
    t.same(unseen.map(timeOf), [1500, 1500], 'said again: with the latest time');
    t.ok(unseen.every((f) => isChecksumRight(f, true)));
  }
});

t.test('takeover: each client’s latest number is asked for once more, the guest says what it has', async (t) => {
  for (const version of [4, 6] as const) {
    const p = new LockstepPair().protect();
    const client = (seq: number, text: string, flags = 'PA', timestamps: [number, number] = [5, 1]) =>
      tcp({ version, fromGuest: false, seq, ack: 1000, data: text, flags, timestamps });
    p.client(tcp({ version, fromGuest: false, seq: 99, flags: 'S', timestamps: [1, 0] }));
    p.guest(tcp({ version, seq: 999, ack: 100, flags: 'SA', timestamps: [1000, 1] }));
    p.replica(tcp({ version, seq: 7000, ack: 100, flags: 'SA', timestamps: [50_000, 1] }));
    p.client(client(100, 'hello'), client(105, '', 'A'));
    p.fedReplica;
    t.equal(p.secondary.takeOver().fedFrames, 1);
    t.same(p.fedReplica, ['A 104 ack 7001'], 'below what it has sent, empty, in the replica’s numbers');
    t.equal(p.secondary.takeOver().fedFrames, 0);
  }
  const p = established();
  p.client(tcp({ fromGuest: false, seq: 100, ack: 1000, data: 'a', flags: 'PA' }));
  p.checkpoint();
  p.client(tcp({ fromGuest: false, seq: 101, ack: 1000, data: 'bc', flags: 'PFA' }));
  p.checkpoint();
  t.equal(p.secondary.takeOver().fedFrames, 1, 'of this interval and of the one before');
  t.same(p.fedReplica.slice(-1), ['A 103 ack 1000']);
  const old = established();
  old.client(tcp({ fromGuest: false, seq: 100, ack: 1000, data: 'a', flags: 'PA' }));
  old.checkpoint();
  old.checkpoint();
  t.equal(old.secondary.takeOver().fedFrames, 0, 'what is older was answered, or its timer is over');
});

t.test('the base ends with its connection, at both sides', async (t) => {
  const first = new LockstepPair().protect();
  first.guest(tcp({ seq: 999, ack: 100, flags: 'SA' }));
  first.replica(tcp({ seq: 7000, ack: 100, flags: 'SA' }));
  const p = new LockstepPair();
  p.primary.importBase(first.secondary.takeOver().base);
  p.protect();
  p.guest(tcp({ seq: 7000, ack: 100, flags: 'SA' }));
  t.same(p.primary.statistics().baseOffsets, 1, 'the same SYN-ACK again');
  p.both(tcp({ seq: 444, ack: 900, flags: 'SA' }));
  t.same(p.primary.statistics().baseOffsets, 0);
  p.checkpoint();
  t.same(p.left.at(-1), 'SA 444 ack 900');
  t.same(p.secondary.statistics().offsets, 0);
});

t.test('a takeover before the primary’s number is known: the replica’s own SYN leaves', async (t) => {
  const p = new LockstepPair().protect();
  p.replica(tcp({ seq: 7000, ack: 100, flags: 'SA' }));
  const taken = p.secondary.takeOver();
  t.same([taken.base, taken.late.map(describe)], [[], ['SA 7000 ack 100']]);
});

t.test('another session’s words count for nothing', async (t) => {
  const p = established();
  p.guest(data(1000, 'abc'));
  p.primary.fromPartner({ kind: 'output', session: 6, interval: 1, frame: data(1000, 'abc') }, 0);
  t.same(p.left, []);
});

t.test('floods: memory stays within its limits, connections are forgotten and checkpoints asked for once', async (t) => {
  const p = new LockstepPair().protect();
  for (let i = 0; i < 60_000; i++) {
    p.guest(tcp({ guestPort: 80, clientPort: i, seq: i, ack: 1, flags: 'SA' }));
  }
  const s = p.primary.statistics();
  t.ok(s.heldBytes <= 64 * 1024 * 1024);
  t.ok(s.connections <= 65_536);
  t.same(p.wanted, []);
  p.wait(25);
  t.same(p.wanted, ['syn']);
  p.checkpoint();
  for (let i = 0; i < 40_000; i++) p.both(udp(`${i}`.padEnd(300)));
  p.checkpoint();
  for (let i = 0; i < 60_000; i++) p.both(tcp({ seq: 1, flags: 'R', guestPort: i }));
  t.ok(p.primary.statistics().connections <= 32_768);
  t.ok(p.primary.statistics().forgottenConnections > 0);
});
