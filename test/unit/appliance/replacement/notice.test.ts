// What a replaced server is told: only under the key that it has, for its pair, and never by damage.
import t from 'tap';
import { decodeNotice, encodeNotice, NOTICE_BYTES, noticeKeyOf } from '../../../../appliance/replacement/notice.ts';

const PAIR = '3c'.repeat(16);
const KEY = noticeKeyOf(Buffer.alloc(32, 7));
const NOTICE = { sender: 'A' as const, pairId: PAIR, at: Date.UTC(2026, 10, 21, 18, 32) };

t.test('the bytes of the README', async (t) => {
  const b = encodeNotice(NOTICE, KEY);
  t.equal(b.length, NOTICE_BYTES);
  t.equal(b.toString('hex', 0, 32), `5477527001010000${PAIR}${NOTICE.at.toString(16).padStart(16, '0')}`);
  t.strictSame(decodeNotice(b, PAIR, KEY), NOTICE);
  t.strictSame(decodeNotice(Buffer.concat([b, Buffer.alloc(10)]), PAIR, KEY), NOTICE, 'padded by a NIC');
});

t.test('nobody else is meant, and nobody else can say it', async (t) => {
  const b = encodeNotice(NOTICE, KEY);
  t.equal(decodeNotice(b, PAIR, noticeKeyOf(Buffer.alloc(32, 8))), null, 'of another key: as a CoServer has that stays');
  t.equal(decodeNotice(b, '4d'.repeat(16), KEY), null, 'of another pair');
  for (let at = 0; at < NOTICE_BYTES; at++) {
    const damaged = Buffer.from(b);
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    // Bytes 6 and 7 are under the MAC as well.
    t.equal(decodeNotice(damaged, PAIR, KEY), null, `byte ${at}`);
  }
  for (const length of [0, 3, 31, 63]) t.equal(decodeNotice(b.subarray(0, length), PAIR, KEY), null);
  t.throws(() => encodeNotice({ ...NOTICE, pairId: 'zz' }, KEY), RangeError);
});
