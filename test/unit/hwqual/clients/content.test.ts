import fc from 'fast-check';
import t from 'tap';
import { ContentChecker, contentBytes, contentWord } from '../../../../hwqual/lab/clients/content.ts';

t.test('the first words, as README.md gives them', async (t) => {
  t.equal(contentBytes(0, 16).toString('hex'), '0e2fca9203b5de36bb1b42b46bf9a096');
  t.equal(contentWord(2 ** 32), contentWord(0), 'repeats after 16 GiB');
});

t.test('any piece is the same piece of the whole', async (t) => {
  const whole = contentBytes(0, 4096);
  fc.assert(
    fc.property(fc.nat(4000), fc.nat(96), (offset, length) => {
      t.ok(contentBytes(offset, length).equals(whole.subarray(offset, offset + length)));
    }),
    { numRuns: 200 },
  );
  const far = 2 ** 33 + 5;
  t.ok(
    contentBytes(far, 100)
      .subarray(3)
      .equals(contentBytes(far + 3, 97)),
    'beyond 32 bits of offset',
  );
});

t.test('the checker accepts the content in any pieces and names the first wrong byte', async (t) => {
  const whole = contentBytes(0, 1000);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 70 }), { minLength: 20 }), fc.nat(999), (pieces, wrongAt) => {
      const good = new ContentChecker();
      const bad = new ContentChecker();
      const damaged = Buffer.from(whole);
      damaged[wrongAt] = (damaged[wrongAt] ?? 0) ^ 1;
      let at = 0;
      let found = -1;
      for (const length of [...pieces, 1000]) {
        if (good.push(whole.subarray(at, at + length)) !== -1) throw new Error('good content refused');
        if (found === -1) found = bad.push(damaged.subarray(at, at + length));
        at += length;
      }
      if (found !== wrongAt) throw new Error(`found ${found} instead of ${wrongAt}`);
    }),
  );
  const shifted = new ContentChecker();
  t.ok(shifted.push(whole.subarray(4, 100)) >= 0, 'a lost word is noticed');
});
