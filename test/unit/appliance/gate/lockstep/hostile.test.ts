// Hostile input: nothing that comes from the LAN, from a guest or from the partner makes the gate throw, or grow without bound.
import fc from 'fast-check';
import t from 'tap';
import { announcement } from '../../../../../appliance/gate/announcement.ts';
import { FrameSplitter, FramingError } from '../../../../../appliance/gate/frames.ts';
import { GuestAddressBook } from '../../../../../appliance/gate/guest-addresses.ts';
import { filterForGuest } from '../../../../../appliance/gate/lan-filter.ts';
import { CONNECTION_LIMIT, HALF_OPEN_LIMIT, HELD_LIMIT_BYTES } from '../../../../../appliance/gate/lockstep/api.ts';
import { isForProbe, readProbeAnswer } from '../../../../../appliance/gate/lockstep/probe-frames.ts';
import {
  parseFrame,
  quotedSegment,
  timestampOf,
  translateForGuest,
  translateForLan,
  windowScaleOf,
} from '../../../../../appliance/gate/lockstep/segment.ts';
import { decodeLockstep, encodeLockstep, isLockstepMessage } from '../../../../../appliance/gate/partner-lockstep.ts';
import { decodePartnerMessage } from '../../../../../appliance/gate/partner-messages.ts';
import { framed, GUEST_MAC } from '../guest-frames.ts';
import { hostileFrame } from './hostile-frames.ts';
import { LockstepPair } from './lockstep-pair.ts';
import { tcp } from './tcp-frames.ts';

/** The same segment to another remote port of another guest port; its checksum does not matter here. */
function sentTo(template: Buffer, n: number): Buffer {
  const f = Buffer.from(template);
  f.writeUInt16BE(1 + (n >> 16), 34);
  f.writeUInt16BE(n & 0xffff, 36);
  f.writeUInt32BE(n, 38);
  return f;
}

const RUNS = { numRuns: 3000 };

t.test('every parser of single frames', async () => {
  fc.assert(
    fc.property(hostileFrame, fc.boolean(), (frame, fromGuest) => {
      const parsed = parseFrame(frame, fromGuest);
      quotedSegment(frame);
      isForProbe(frame, 7);
      readProbeAnswer(frame, 7);
      if (parsed.kind !== 'tcp') return;
      timestampOf(parsed);
      windowScaleOf(parsed);
      const before = frame.length;
      translateForGuest(parsed, 77, 78);
      translateForLan(parsed, 79, 80);
      if (frame.length !== before || parsed.payloadAt > parsed.endAt || parsed.endAt > frame.length) throw new Error('its bounds');
    }),
    RUNS,
  );
});

t.test('the addresses and the filter: what is not a frame stays outside, the rest is ranges of the batch', async () => {
  fc.assert(
    fc.property(fc.array(hostileFrame, { maxLength: 6 }), fc.uint8Array({ maxLength: 6 }), fc.boolean(), (frames, rest, known) => {
      const book = new GuestAddressBook(known ? GUEST_MAC : null);
      const batch = Buffer.concat([framed(...frames), rest]);
      const { runs, bytes } = filterForGuest(batch, book);
      if (runs.reduce((n, r) => n + r.length, 0) !== bytes || bytes > batch.length) throw new Error('the runs');
      const enough = frames.filter((f) => f.length >= 14);
      for (const f of enough) book.learn(f, 0, f.length);
      book.addresses();
      announcement(book);
      if (book.export().length > 64) throw new Error('more addresses than the limit');
    }),
    RUNS,
  );
});

t.test('a byte stream that is out of step is refused by name, and nothing else is thrown', async () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 8 }),
      fc.array(hostileFrame, { maxLength: 3 }),
      (chunks, frames) => {
        const splitter = new FrameSplitter({ frame: () => {}, batch: () => {}, runt: () => {} });
        try {
          splitter.push(framed(...frames));
          for (const chunk of chunks) splitter.push(Buffer.from(chunk));
        } catch (e) {
          if (!(e instanceof FramingError)) throw e;
        }
      },
    ),
    RUNS,
  );
});

t.test('messages of a partner of another version: an error that names the stream, or a message', async () => {
  const sound = [
    encodeLockstep({ kind: 'begin', session: 9, base: [{ key: 'x'.repeat(12), sequence: 1, timestamp: 2, guestIsn: 3 }] }),
    encodeLockstep({ kind: 'isn', interval: 1, key: 'y'.repeat(36), sequence: 1, timestamp: 2, answers: 3 }),
    encodeLockstep({ kind: 'mark' }),
    Buffer.from('0600000009000000010000000eeeeeeeeeeeeeeeeeeeeeeeeeeeee', 'hex'),
    Buffer.from('010102030400000000', 'hex'),
    Buffer.from('02015254007700 1a00040a4d000a'.replace(' ', ''), 'hex'),
  ];
  const cut = fc.tuple(fc.constantFrom(...sound), fc.nat(60), fc.array(fc.tuple(fc.nat(59), fc.nat(255)), { maxLength: 3 }));
  fc.assert(
    fc.property(cut, ([message, length, changes]) => {
      const m = Buffer.from(message.subarray(0, length));
      for (const [at, value] of changes) if (at < m.length) m[at] = value;
      try {
        if (isLockstepMessage(m)) decodeLockstep(m);
        else decodePartnerMessage(m);
      } catch (e) {
        if (!/^(network stream: |a frame of \d+ bytes was announced)/.test((e as Error).message)) throw e;
      }
    }),
    RUNS,
  );
});

t.test(
  'both sides of lockstep, with everything in any order: nothing is thrown, limits hold, one checkpoint is asked for at a time',
  async () => {
    const step = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.tuple(fc.constantFrom('guest' as const, 'replica' as const, 'client' as const, 'both' as const), hostileFrame),
      },
      { weight: 1, arbitrary: fc.tuple(fc.constant('wait' as const), fc.nat(60)) },
      {
        weight: 1,
        arbitrary: fc.tuple(fc.constantFrom('checkpoint' as const, 'compare' as const, 'hold' as const), fc.constant(Buffer.alloc(0))),
      },
    );
    fc.assert(
      fc.property(fc.array(step, { minLength: 5, maxLength: 60 }), (steps) => {
        const p = new LockstepPair().protect();
        let wanted = 0;
        for (const [what, with_] of steps) {
          if (what === 'wait') p.wait(with_);
          else if (what === 'checkpoint') {
            p.checkpoint();
            wanted = p.wanted.length;
          } else if (what === 'compare' || what === 'hold') p.primary.setComparing(what === 'compare', p.now);
          else p[what](Buffer.from(with_));
          if (p.wanted.length > wanted + 1) throw new Error('asked twice');
        }
        const s = p.primary.statistics();
        if (s.heldBytes < 0 || s.replicaBytes < 0 || s.heldFrames < 0) throw new Error(JSON.stringify(s));
        p.reply();
        p.interval++;
        p.primary.onCommit(p.interval - 1, p.now);
        if (p.primary.statistics().heldFrames !== 0) throw new Error('a commit releases everything');
        const { base } = p.secondary.takeOver();
        p.primary.importBase(base);
      }),
      { numRuns: 1500 },
    );
  },
);

t.test('SYNs of any number of senders: established connections stay, and what is kept has a limit', async (t) => {
  const p = new LockstepPair();
  // An established one, silent from now on.
  p.client(tcp({ fromGuest: false, seq: 9, flags: 'S' }));
  p.guest(
    tcp({ seq: 100, ack: 10, flags: 'SA' }),
    tcp({ seq: 101, ack: 12 }),
    tcp({ clientPort: 2, seq: 1, ack: 1 }),
    tcp({ seq: 101, ack: 12 }),
  );
  p.protect();
  const flood = (from: number, count: number, flags: string): void => {
    const template = tcp({ guestPort: 1, seq: 0, ack: 1, flags });
    for (let i = from; i < from + count; i++) p.both(sentTo(template, i));
  };
  for (let round = 0; round < 12; round++) {
    flood(100_000 + round * 10_000, 10_000, round % 2 ? 'SA' : 'RA');
    if (round % 3 === 0) p.checkpoint();
  }
  p.checkpoint();
  flood(300_000, 3000, 'SA');
  const s = p.primary.statistics();
  t.ok(s.connections <= HALF_OPEN_LIMIT + 3000, `${s.connections} connections`);
  t.ok(s.forgottenConnections > 100_000 - HALF_OPEN_LIMIT);
  t.ok(s.heldBytes <= HELD_LIMIT_BYTES);
  // It leaves by comparison: its past is still known.
  p.checkpoint();
  p.left;
  p.both(tcp({ seq: 101, ack: 12, data: 'still here' }));
  t.same(p.left, ['A 101 ack 12 "still here"']);
  t.ok(p.by.comparison > 0);
});

t.test('established connections have a limit of their own: the least recently used go', async (t) => {
  const p = new LockstepPair();
  const template = tcp({ guestPort: 1, seq: 1, ack: 1 });
  for (let i = 0; i < CONNECTION_LIMIT + 5000; i++) {
    p.guest(sentTo(template, i), sentTo(template, i));
  }
  const { connections } = p.primary.statistics();
  t.ok(connections <= CONNECTION_LIMIT + HALF_OPEN_LIMIT, `${connections}`);
  t.equal(p.left.length, 2 * (CONNECTION_LIMIT + 5000));
});
