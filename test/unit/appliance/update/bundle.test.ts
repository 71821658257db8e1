import { generateKeyPairSync, sign } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import {
  checkSignature,
  decodeHeader,
  decodeManifest,
  encodeHead,
  encodeManifest,
  HEADER_BYTES,
  MAX_MANIFEST_BYTES,
  SIGNATURE_BYTES,
  UpdateRefusal,
} from '../../../../appliance/update/bundle.ts';
import { ByteSource } from '../../../../appliance/update/byte-source.ts';
import { compareVersions, isVersion } from '../../../../appliance/update/version.ts';
import { bundle, folderFor, KEYS, Machine, manifestOf, stream, version } from './machine.ts';

const MANIFEST = manifestOf(version('1.2.3'));

t.test('the example of the README', async (t) => {
  const content = (bytes: number) => ({ bytes, sha256: 'ab'.repeat(32) });
  const manifest = encodeManifest({ version: '1.2.0', engine: '11.1.3', minimumFrom: '1.0.0', program: content(3), slot: content(4) });
  const head = encodeHead(manifest, Buffer.alloc(SIGNATURE_BYTES, 7));
  t.equal(head.toString('hex', 0, HEADER_BYTES), '5457535445505550010000004b010000');
  t.equal(head.length, HEADER_BYTES + manifest.length + SIGNATURE_BYTES);
  t.match(manifest.toString(), /^\{\n "kind": "twinstep-update",\n "schema": 1,\n "version": "1\.2\.0",/);
});

t.test('a manifest reads back as it was written, and says what is wrong with another one', async (t) => {
  t.strictSame(decodeManifest(encodeManifest(MANIFEST)), MANIFEST);
  const wrong = (change: (m: Record<string, unknown>) => void, message: RegExp, kind = 'manifest') => {
    const value = JSON.parse(encodeManifest(MANIFEST).toString()) as Record<string, unknown>;
    change(value);
    t.throws(() => decodeManifest(Buffer.from(JSON.stringify(value))), { kind, message });
  };
  wrong((m) => Object.assign(m, { kind: 'letter' }), /kind is not/);
  wrong((m) => Object.assign(m, { schema: 2 }), /schema 2, this version reads schema 1/, 'format');
  for (const value of ['1.2', '1.2.3-rc1', '01.2.3', '1.2.3\n', 7, null]) wrong((m) => Object.assign(m, { version: value }), /version is/);
  wrong((m) => Object.assign(m, { minimumFrom: '' }), /minimumFrom is ""/);
  wrong((m) => Object.assign(m, { engine: '\u001b[2J' }), /engine is "\\u001b\[2J"/);
  for (const bytes of [0, -1, 1.5, 2 ** 53, '9', 81 << 20])
    wrong((m) => Object.assign(m, { program: { bytes, sha256: 'a' } }), /program\.bytes is/);
  wrong((m) => Object.assign(m, { slot: { bytes: 1, sha256: 'A'.repeat(64) } }), /slot\.sha256 is/);
  wrong((m) => Object.assign(m, { slot: [] }), /slot is no object/);
  t.throws(() => decodeManifest(Buffer.from('{')), { kind: 'manifest', message: /not JSON/ });
});

t.test('any of the trusted keys counts, and only for these bytes', async (t) => {
  const text = encodeManifest(MANIFEST);
  const [next, stranger] = [generateKeyPairSync('ed25519'), generateKeyPairSync('ed25519')];
  const trusted = [KEYS.publicKey, next.publicKey];
  for (const key of [KEYS.privateKey, next.privateKey]) t.doesNotThrow(() => checkSignature(text, sign(null, text, key), trusted));
  for (const signature of [
    sign(null, text, stranger.privateKey),
    sign(null, Buffer.concat([text, text]), KEYS.privateKey),
    Buffer.alloc(64),
    Buffer.alloc(0),
  ])
    t.throws(() => checkSignature(text, signature, trusted), { kind: 'signature', message: /not signed by a key that this image trusts/ });
});

t.test('hostile bytes: whatever comes is refused by name, and nothing is written before the signature was right', async (t) => {
  const m = Machine.make([version('1.0.0')], folderFor(t));
  const good = bundle(version('1.1.0'));
  const head = HEADER_BYTES + encodeManifest(manifestOf(version('1.1.0'))).length + SIGNATURE_BYTES;
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 3000 }), fc.boolean(), fc.nat(head), async (bytes, isInside, at) => {
      // All of it, or some of it inside a good one's head.
      const data = isInside ? Buffer.concat([good.subarray(0, at), bytes, good.subarray(at + bytes.length)]) : Buffer.from(bytes);
      if (data.subarray(0, head).equals(good.subarray(0, head))) return;
      const error = await m
        .store()
        .receive(stream(data))
        .then(
          () => null,
          (e: unknown) => e,
        );
      if (!(error instanceof UpdateRefusal) || !['notAnUpdate', 'format', 'manifest', 'signature', 'truncated'].includes(error.kind))
        throw error;
      if (m.power.done > 0) throw new Error('something was written');
    }),
    { numRuns: 400 },
  );
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
      // Signed nonsense: a manifest is looked at as a stranger's all the same.
      const text = Buffer.from(bytes);
      if (text.length === 0) return;
      const data = Buffer.concat([encodeHead(text, sign(null, text, KEYS.privateKey)), Buffer.alloc(100)]);
      await m
        .store()
        .receive(stream(data))
        .then(
          () => {
            throw new Error('taken');
          },
          (e: unknown) => {
            if (!(e instanceof UpdateRefusal) || e.kind !== 'manifest') throw e;
          },
        );
    }),
  );
  t.throws(() => decodeHeader(Buffer.concat([Buffer.from('TWSTEPUP'), Buffer.from('01000000ffffffff', 'hex')])), {
    kind: 'manifest',
    message: new RegExp(`4294967295 bytes, ${MAX_MANIFEST_BYTES} at most`),
  });
});

t.test('the same bytes, however they were cut', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 20 })), fc.array(fc.nat(15), { maxLength: 10 }), async (chunks, asked) => {
      const all = Buffer.concat(chunks);
      const source = new ByteSource(
        (async function* () {
          yield* chunks;
        })(),
      );
      let at = 0;
      for (const bytes of asked) {
        if (at + bytes > all.length) {
          const error = await source.exact(bytes, 'x').catch((e: unknown) => e);
          if (!(error instanceof UpdateRefusal) || error.kind !== 'truncated') throw new Error('more than there was');
          return;
        }
        if (!(await source.exact(bytes, 'x')).equals(all.subarray(at, at + bytes))) throw new Error('other bytes');
        at += bytes;
      }
      const isOver = await source.end().then(
        () => true,
        () => false,
      );
      if (isOver !== (at === all.length)) throw new Error('the end is elsewhere');
    }),
  );
});

t.test('versions: three numbers, in the order of numbers', async (t) => {
  for (const text of ['0.0.0', '1.2.3', '10.0.999999']) t.ok(isVersion(text), text);
  for (const text of ['', '1.2', '1.2.3.4', '1.2.03', 'v1.2.3', '1.2.3-1', '1.2.1000000', '1.2.3\n', ' 1.2.3'])
    t.notOk(isVersion(text), text);
  const sorted = ['0.9.9', '1.0.0', '1.0.10', '1.2.0', '1.10.0', '2.0.0'];
  t.strictSame([...sorted].reverse().sort(compareVersions), sorted);
});
