import fc from 'fast-check';
import t from 'tap';
import { agree, commitmentOf, ownKeys, SECRET_BYTES } from '../../../../appliance/pairing/agreement.ts';
import { ATTEMPTS_IN_A_ROW, CONFIRM_MS, PAUSE_MS, pairingStep, SILENT_MS, TICK_MS } from '../../../../appliance/pairing/protocol.ts';
import { pairingView } from '../../../../appliance/pairing/view.ts';
import { decodePairing, encodePairing, type PairingBody, type PairingMessage } from '../../../../appliance/wire/pairing.ts';
import { deliver, type Name, other, PAIR_ID, randomFrom, run, Side } from './simulated-pair.ts';

const pair = (seed: string): [Side, Side] => [new Side('A', seed), new Side('B', seed)];
const codeOf = (side: Side): string => side.code ?? 'no code';

function messages(side: Side): PairingMessage[] {
  return side.outbox.splice(0).flatMap((bytes) => {
    const reading = decodePairing(bytes);
    return reading.kind === 'message' ? [reading.message] : [];
  });
}

t.test('two CoServers and two operators: one key, durable on both', async (t) => {
  const sides = pair('good');
  const [a, b] = sides;
  let at = run(sides, 0, 3);
  t.match(a.code, /^\d{6}$/);
  t.equal(a.code, b.code);
  t.match(pairingView(a.state, at), { phase: 'code', code: codeOf(a), sentence: /CoServer B: confirm only if it shows the same/ });
  a.feed({ kind: 'confirm', at, code: codeOf(a) });
  at = run(sides, at, 4);
  t.same([a.disk, b.disk], Array(2).fill({ pending: null, key: null }), 'one confirmation keeps nothing');
  t.match(pairingView(a.state, at), { phase: 'confirmed' });
  b.feed({ kind: 'confirm', at, code: '000000' });
  at = run(sides, at, 4);
  t.same([a.disk, b.disk], Array(2).fill({ pending: null, key: null }), 'another code confirms nothing');
  b.feed({ kind: 'confirm', at, code: codeOf(b) });
  at = run(sides, at, 2);
  t.match(a.disk.key, /^[0-9a-f]{64}$/);
  t.same(a.disk, b.disk);
  for (const side of sides) t.match(pairingView(side.state, at), { phase: 'paired', partnerDone: true, dropped: [] });
  t.equal(pairingView(a.state, at).fingerprint, pairingView(b.state, at).fingerprint);
});

t.test('who stands between them makes two codes', async (t) => {
  const a = new Side('A', 'victims');
  const b = new Side('B', 'victims');
  // To A it is B, to B it is A: two honest machines back to back.
  const between = { forA: new Side('B', 'middle'), forB: new Side('A', 'middle') };
  let at = run([a, between.forA], 0, 3);
  at = run([between.forB, b], at, 3);
  t.ok(a.code && b.code);
  t.not(a.code, b.code);
  // The operator reads the other console's code into this one: refused, and said on both sides.
  a.feed({ kind: 'confirm', at, code: codeOf(b) });
  t.equal(a.state.session?.kind === 'agreed' && a.state.session.confirmed, false);
  a.feed({ kind: 'differ', at });
  deliver([a, between.forA], at);
  t.same(a.ended, ['differHere']);
  t.same(between.forA.ended, ['differThere']);
  t.match(pairingView(a.state, at).trouble, /codes differ: nothing was kept.*cable of every link runs directly/s);
  t.same([a.disk, b.disk], Array(2).fill({ pending: null, key: null }));
});

t.test('a man in the middle cannot choose after he has seen: a reveal must fit its commitment', async (t) => {
  const b = new Side('B', 'committed');
  const [first, second] = [ownKeys(randomFrom('1')(SECRET_BYTES)), ownKeys(randomFrom('2')(SECRET_BYTES))];
  const session = '11'.repeat(16);
  const offer = { session, pairId: PAIR_ID, publicKey: first.publicKey, nonce: first.nonce };
  const say = (body: PairingBody) =>
    b.feed({ kind: 'received', at: 0, bytes: encodePairing({ sender: 'A', session, pairId: PAIR_ID, body }) });
  say({ kind: 'commit', commitment: commitmentOf(offer) });
  t.equal(b.state.session?.kind, 'answered');
  say({ kind: 'reveal', publicKey: second.publicKey, nonce: second.nonce });
  say({ kind: 'reveal', publicKey: first.publicKey, nonce: second.nonce });
  t.equal(b.state.session?.kind, 'answered');
  t.equal(b.state.dropped.contradicting, 2);
  say({ kind: 'reveal', publicKey: first.publicKey, nonce: first.nonce });
  t.equal(b.state.session?.kind, 'agreed');
});

t.test('points of low order are refused', async (t) => {
  // RFC 7748, clause 6.1, and the list in Curve25519's own documentation.
  const low = [
    '00'.repeat(32),
    `01${'00'.repeat(31)}`,
    'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
    `ec${'ff'.repeat(30)}7f`,
    `ed${'ff'.repeat(30)}7f`,
    `ee${'ff'.repeat(30)}7f`,
  ];
  const own = ownKeys(randomFrom('own')(SECRET_BYTES));
  for (const publicKey of low) {
    const offer = { session: '11'.repeat(16), pairId: PAIR_ID, publicKey: own.publicKey, nonce: own.nonce };
    t.equal(agree(own, 'A', offer, { publicKey, nonce: '22'.repeat(32) }), null, publicKey);
    const a = new Side('A', 'low');
    a.feed({ kind: 'tick', at: 0 });
    const session = a.state.session?.id ?? '';
    const body: PairingBody = { kind: 'answer', publicKey, nonce: '22'.repeat(32) };
    a.feed({ kind: 'received', at: 1, bytes: encodePairing({ sender: 'B', session, pairId: PAIR_ID, body }) });
    t.same([a.ended, a.state.session, a.code, a.state.failed], [['hostile'], null, null, 1]);
  }
});

t.test('every field of the exchange is in the code', async (t) => {
  const [mine, theirs] = [ownKeys(randomFrom('a')(SECRET_BYTES)), ownKeys(randomFrom('b')(SECRET_BYTES))];
  const offer = { session: '11'.repeat(16), pairId: PAIR_ID, publicKey: mine.publicKey, nonce: mine.nonce };
  const answer = { publicKey: theirs.publicKey, nonce: theirs.nonce };
  const base = agree(mine, 'A', offer, answer);
  t.same(agree(theirs, 'B', offer, answer), base);
  for (const changed of [
    agree(mine, 'A', { ...offer, session: '12'.repeat(16) }, answer),
    agree(mine, 'A', { ...offer, pairId: '1f'.repeat(16) }, answer),
    agree(mine, 'A', { ...offer, nonce: '00'.repeat(32) }, answer),
    agree(mine, 'A', offer, { ...answer, nonce: '00'.repeat(32) }),
  ]) {
    t.not(changed?.pairKey, base?.pairKey);
    t.not(changed?.code, base?.code);
  }
});

t.test('after five attempts that failed there is a pause, and it grows', async (t) => {
  const a = new Side('A', 'guesser');
  let at = 0;
  const fail = () => {
    const b = new Side('B', `guessed ${a.state.failed}`);
    at = run([a, b], at, 3);
    t.equal(a.code, b.code);
    a.feed({ kind: 'differ', at });
  };
  for (let i = 0; i < ATTEMPTS_IN_A_ROW; i++) fail();
  t.equal(a.ended.length, 5);
  const pausedAt = at;
  t.match(pairingView(a.state, at), { phase: 'paused', sentence: /5 attempts have failed: paused for 60 s/ });
  run([a, new Side('B', 'eager')], at, 8);
  t.equal(a.code, null, 'no code during the pause');
  at = pausedAt + PAUSE_MS;
  for (let i = 0; i < ATTEMPTS_IN_A_ROW; i++) fail();
  t.equal(a.state.pausedUntilMs, at + 2 * PAUSE_MS);
  // B, too: commitments that are never opened are guesses, since B's answer tells whether opening is worth while.
  const b = new Side('B', 'asked');
  let now = 0;
  for (let i = 0; i < ATTEMPTS_IN_A_ROW + 1; i++) {
    b.feed({ kind: 'received', at: now, bytes: commit(`0${i}`.repeat(16)) });
    now += SILENT_MS + 1;
    b.feed({ kind: 'tick', at: now });
  }
  t.match(b.state, { failed: ATTEMPTS_IN_A_ROW, session: null, dropped: { paused: 1 } });
});

const commit = (session: string): Buffer =>
  encodePairing({ sender: 'A', session, pairId: PAIR_ID, body: { kind: 'commit', commitment: '33'.repeat(32) } });

t.test('time-outs: a silent partner, operators who went home', async (t) => {
  const sides = pair('slow');
  let at = run(sides, 0, 3);
  const first = sides[0].code;
  for (let i = 0; i < CONFIRM_MS / TICK_MS; i++) at = run(sides, at, 1);
  t.same(sides[0].ended, ['timeout']);
  at = run(sides, at, 3);
  t.ok(sides[0].code, 'a new code');
  t.not(sides[0].code, first);
  const [a] = sides;
  for (let i = 0; i <= SILENT_MS / TICK_MS; i++) {
    at += TICK_MS;
    a.feed({ kind: 'tick', at });
  }
  t.same(a.ended, ['timeout', 'silent']);
  t.match(pairingView(a.state, at).trouble, /CoServer B fell silent/);
});

t.test('what is configured wrongly is named with its remedy', async (t) => {
  const trouble = (side: Side) => pairingView(side.state, 0).trouble;
  const twice: [Side, Side] = [new Side('A', 'one'), new Side('A', 'two')];
  run(twice, 0, 2);
  t.match(trouble(twice[0]), /says that it is CoServer A too: set coServer to B in one/);
  const strangers: [Side, Side] = [new Side('A', 'x'), new Side('B', 'x', '1f'.repeat(16))];
  run(strangers, 0, 2);
  t.match(trouble(strangers[1]), /names the pair 0f0f.*, this one 1f1f.*: make pair.id the same/);
  const b = new Side('B', 'old');
  const newer = commit('01'.repeat(16));
  newer[4] = 2;
  b.feed({ kind: 'received', at: 0, bytes: newer });
  t.equal(trouble(b), 'The partner speaks pairing version 2, this CoServer version 1: update this CoServer.');
  // A cable that ends in itself.
  const a = new Side('A', 'loop');
  a.feed({ kind: 'tick', at: 0 });
  for (const bytes of a.outbox.splice(0)) a.feed({ kind: 'received', at: 0, bytes });
  t.match(a.state.dropped, { reflected: 1, sameSide: 0 });
  // One has a key, the other does not.
  const [paired, fresh] = pair('half');
  paired.disk = { key: 'ab'.repeat(32), pending: null };
  paired.restart();
  run([paired, fresh], 0, 3);
  t.match(trouble(fresh), /CoServer A has a key that this one does not have: run 'twinstep pair --again' there/);
  const [caller, holder] = pair('half again');
  holder.disk = { key: 'ab'.repeat(32), pending: null };
  holder.restart();
  run([caller, holder], 0, 3);
  t.match(trouble(holder), /CoServer A has no key, this one has: run 'twinstep pair --again' here/);
});

t.test('a disk that cannot be written is said until it can', async (t) => {
  const sides = pair('disk');
  const [a, b] = sides;
  let at = run(sides, 0, 3);
  const says = () => pairingView(a.state, at).trouble;
  a.feed({ kind: 'diskFailed', at, reason: 'EROFS: read-only file system' });
  at = run(sides, at, 3);
  t.same(b.ended, ['diskThere']);
  t.ok(a.code, 'a new attempt');
  t.equal(says(), 'The key could not be kept: EROFS: read-only file system.');
  for (const side of sides) side.feed({ kind: 'confirm', at, code: side.code ?? '' });
  at = run(sides, at, 3);
  t.equal(says(), '');
  t.equal(a.disk.key, b.disk.key);
});

t.test('a heartbeat under the pending key completes it: the partner has long begun to work', async (t) => {
  const [a] = pair('late');
  a.disk = { key: null, pending: 'cd'.repeat(32) };
  a.restart();
  a.feed({ kind: 'tick', at: 0 });
  t.equal(a.disk.key, null);
  a.feed({ kind: 'partnerProved', at: 1 });
  t.same(a.disk, { key: 'cd'.repeat(32), pending: null });
});

/** One thing that happens in a simulated pairing. */
const choice = fc.record({
  what: fc.constantFrom('tick', 'deliver', 'deliver', 'deliver', 'lose', 'copy', 'reorder', 'confirm', 'confirm', 'kill', 'noise'),
  side: fc.constantFrom<Name>('A', 'B'),
  /** Killed before its n-th duty in the next step; large: not. */
  dieBefore: fc.oneof({ weight: 4, arbitrary: fc.constant(99) }, { weight: 1, arbitrary: fc.nat({ max: 3 }) }),
  noise: fc.nat(),
});

t.test('whatever is lost, copied, late or killed: nobody is alone with a key, and it ends well when the trouble ends', async (t) => {
  let paired = 0;
  fc.assert(
    fc.property(fc.array(choice, { minLength: 20, maxLength: 160 }), fc.nat(), (choices, seed) => {
      const sides = { A: new Side('A', `${seed}`), B: new Side('B', `${seed}`) };
      let at = 0;
      const check = () => {
        for (const name of ['A', 'B'] as const) {
          const { key } = sides[name].disk;
          const there = sides[other(name)].disk;
          if (key !== null && there.key !== key && there.pending !== key) throw new Error(`${name} is alone with its key`);
        }
      };
      for (const c of choices) {
        const side = sides[c.side];
        const feed = (event: Parameters<Side['feed']>[0]) => {
          if (!side.feed(event, c.dieBefore)) side.restart();
          check();
        };
        const inbox = sides[other(c.side)].outbox;
        switch (c.what) {
          case 'tick':
            at += TICK_MS;
            feed({ kind: 'tick', at });
            break;
          case 'deliver': {
            const bytes = inbox.shift();
            if (bytes) feed({ kind: 'received', at, bytes });
            break;
          }
          case 'lose':
            inbox.shift();
            break;
          case 'copy':
            if (inbox[0]) inbox.push(inbox[0]);
            break;
          case 'reorder':
            inbox.reverse();
            break;
          case 'confirm':
            if (side.code !== null && side.code === sides[other(c.side)].code) feed({ kind: 'confirm', at, code: side.code });
            break;
          case 'kill':
            side.restart();
            break;
          case 'noise': {
            const bytes = Buffer.from(inbox[0] ?? Buffer.alloc(112));
            bytes[c.noise % 112] = (bytes[c.noise % 112] ?? 0) ^ (1 + (c.noise % 255));
            feed({ kind: 'received', at, bytes });
            break;
          }
          default:
            throw new Error(c.what);
        }
      }
      // The trouble ends: both run, both operators compare what they see.
      for (let i = 0; i < 60 * 60 * 4 && !(sides.A.disk.key && sides.B.disk.key); i++) {
        at = run([sides.A, sides.B], at, 1);
        check();
        for (const side of [sides.A, sides.B])
          if (sides.A.code !== null && sides.A.code === sides.B.code) side.feed({ kind: 'confirm', at, code: sides.A.code });
      }
      if (sides.A.disk.key === null || sides.A.disk.key !== sides.B.disk.key) throw new Error('not paired in the end');
      paired++;
    }),
    { numRuns: 300 },
  );
  t.equal(paired, 300);
});

t.test('hostile bytes: nothing without a confirmation of both operators keeps anything', async (t) => {
  const hex = (bytes: number) => fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((b) => Buffer.from(b).toString('hex'));
  const body: fc.Arbitrary<PairingBody> = fc.oneof(
    fc.record({ kind: fc.constant('commit' as const), commitment: hex(32) }),
    fc.record({ kind: fc.constantFrom('answer' as const, 'reveal' as const), publicKey: hex(32), nonce: hex(32) }),
    fc.record({ kind: fc.constant('confirm' as const), mac: hex(32) }),
    fc.record({ kind: fc.constant('kept' as const), stage: fc.constantFrom('pending' as const, 'established' as const), mac: hex(32) }),
    fc.record({ kind: fc.constant('abort' as const), reason: fc.constantFrom('differ' as const, 'timeout' as const) }),
  );
  fc.assert(
    fc.property(fc.array(fc.record({ body, own: fc.boolean(), noise: fc.uint8Array({ maxLength: 130 }) })), fc.boolean(), (steps, isA) => {
      const side = new Side(isA ? 'A' : 'B', 'hostile');
      side.disk = { key: null, pending: 'ee'.repeat(32) };
      side.restart();
      let at = 0;
      for (const s of steps) {
        side.feed({ kind: 'tick', at });
        if (side.code) side.feed({ kind: 'confirm', at, code: side.code });
        const session = s.own ? (side.state.session?.id ?? '00'.repeat(16)) : s.body.kind === 'kept' ? '00'.repeat(16) : '77'.repeat(16);
        const message = { sender: other(side.name), session, pairId: PAIR_ID, body: s.body };
        side.feed({ kind: 'received', at, bytes: encodePairing(message) });
        side.feed({ kind: 'received', at, bytes: Buffer.from(s.noise) });
        at += 100;
      }
      if (side.disk.key !== null || side.disk.pending !== 'ee'.repeat(32)) throw new Error('a key was kept');
    }),
    { numRuns: 500 },
  );
  const { state } = new Side('A', 'pure');
  t.same(pairingStep(state, { kind: 'tick', at: 5 }, randomFrom('1')), pairingStep(state, { kind: 'tick', at: 5 }, randomFrom('1')));
  t.ok(messages(new Side('B', 'quiet')).length === 0);
});
