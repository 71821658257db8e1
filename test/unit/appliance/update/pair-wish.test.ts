// Whatever order the two CoServers hear of each other in, they end with the same wish; and what is no wish, or no message, is refused by name.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { decodeMessage, encodeMessage, type PairMessage } from '../../../../appliance/update/pair-messages.ts';
import {
  compatibleByWish,
  mergeWishes,
  type PairWish,
  parseWish,
  readLevel,
  readWish,
  sameWish,
  wishFileOf,
  writeLevel,
  writeWish,
} from '../../../../appliance/update/pair-wish.ts';
import type { RollingSide } from '../../../../appliance/update/rolling.ts';
import { folderFor } from './machine.ts';

const WISH: PairWish = {
  number: 3,
  startedOn: 'A',
  target: '1.1.0',
  engine: '11.1.3',
  minimumFrom: '1.0.0',
  from: ['1.0.0'],
  since: '2026-11-21T00:00:00.000Z',
  by: 'the web console',
  mayRestartGuest: false,
  end: null,
};
const SIDE: RollingSide = { version: '1.0.0', onTrial: false, received: null, givenUp: null, role: 'primary', engine: '11.1.3', level: 3 };

/** Of one story: a number and who began it make the rest. */
const wishes = fc
  .record({
    number: fc.integer({ min: 1, max: 3 }),
    startedOn: fc.constantFrom('A' as const, 'B' as const),
    mayRestartGuest: fc.boolean(),
    end: fc.constantFrom(
      null,
      { kind: 'done' as const, text: 'd' },
      { kind: 'stopped' as const, text: 's' },
      { kind: 'stopped' as const, text: 'r' },
    ),
  })
  .map((some): PairWish => ({ ...WISH, ...some, target: `1.${some.number}.0` }));

t.test('merged in any order it is the same, and nothing that was added is lost', async () => {
  fc.assert(
    fc.property(fc.array(wishes, { minLength: 1, maxLength: 6 }), fc.infiniteStream(fc.nat()), (all, dice) => {
      const shuffled = [...all].sort(() => ((dice.next().value as number) % 2 === 0 ? 1 : -1));
      const merged = all.reduce<PairWish | null>(mergeWishes, null);
      const again = [...shuffled, ...all].reduce<PairWish | null>(mergeWishes, null);
      if (!sameWish(merged, again)) throw new Error(`${JSON.stringify(merged)} and ${JSON.stringify(again)}`);
      const ofIt = all.filter((w) => w.number === merged?.number && w.startedOn === merged.startedOn);
      if (ofIt.some((w) => w.end) !== (merged?.end !== null)) throw new Error('an end was lost');
      if (ofIt.some((w) => w.mayRestartGuest) !== merged?.mayRestartGuest) throw new Error('a word was lost');
    }),
  );
});

t.test('kept, read, refused', async (t) => {
  const record = join(folderFor(t), 'update.json');
  t.equal(readWish(record), null);
  t.ok(writeWish(record, WISH));
  t.strictSame(readWish(record), WISH);
  writeFileSync(wishFileOf(record), '{"number": 1}');
  t.equal(readWish(record), null, 'the partner has it, too');
  t.notOk(writeWish(join(wishFileOf(record), 'update.json'), WISH));
  t.equal(readLevel(record), null);
  t.ok(writeLevel(record, 2));
  t.equal(readLevel(record), 2);
  t.ok(writeLevel(record, null));
  t.equal(readLevel(record), null);
  for (const [change, field] of [
    [{ number: 0 }, /number/],
    [{ startedOn: 'C' }, /startedOn/],
    [{ target: '1.1' }, /target/],
    [{ from: ['1.0.0', '1.0.1', '1.0.2'] }, /from/],
    [{ by: 'x'.repeat(300) }, /by/],
    [{ mayRestartGuest: 1 }, /mayRestartGuest/],
    [{ end: { kind: 'over', text: '' } }, /end\.kind/],
  ] as const)
    t.throws(() => parseWish({ ...WISH, ...change }), field);
});

t.test('which versions run duplex: those from which the update began, from minimumFrom on', async (t) => {
  t.strictSame(compatibleByWish(WISH, '1.1.0'), ['1.0.0']);
  t.strictSame(compatibleByWish(WISH, '1.0.0'), [], 'the newer one knows the older one');
  t.strictSame(compatibleByWish({ ...WISH, from: ['0.9.0', '1.0.1'] }, '1.1.0'), ['1.0.1']);
  t.strictSame(compatibleByWish(null, '1.1.0'), []);
});

t.test('messages', async (t) => {
  const messages: PairMessage[] = [
    { kind: 'state', wish: WISH, side: SIDE },
    { kind: 'state', wish: null, side: { ...SIDE, received: '1.1.0', givenUp: '1.2.0' } },
    { kind: 'offer', transfer: 2 ** 32 - 1, version: '1.1.0', bytes: 190_000_000 },
    { kind: 'data', transfer: 7, data: Buffer.from('some of it') },
    { kind: 'taken', transfer: 7, bytes: 10 },
    { kind: 'ended', transfer: 7, refusal: null },
    { kind: 'ended', transfer: 7, refusal: { kind: 'signature', text: 'not signed' } },
    { kind: 'dropped', transfer: 7, text: 'it was stopped' },
  ];
  for (const message of messages) t.strictSame(decodeMessage(Buffer.concat(encodeMessage(message))), message);
  const said = (value: object) => () => decodeMessage(Buffer.from(JSON.stringify({ schema: 1, ...value })));
  t.throws(said({ schema: 2 }), /schema/);
  t.throws(said({ kind: 'explode' }), /unknown kind/);
  t.throws(said({ kind: 'state', wish: null, side: { ...SIDE, role: 'king' } }), /side\.role/);
  t.throws(said({ kind: 'state', wish: null, side: { ...SIDE, version: 'x' } }), /version is no version/);
  t.throws(said({ kind: 'taken', transfer: -1, bytes: 1 }), /transfer is no whole number/);
  t.throws(() => decodeMessage(Buffer.alloc(1 << 15, '{')), /32768 bytes/);
  t.throws(() => decodeMessage(Buffer.from([1, 0, 0, 0, 1])), /data of 5 bytes/);
  t.throws(() => decodeMessage(Buffer.from('x')));
});
