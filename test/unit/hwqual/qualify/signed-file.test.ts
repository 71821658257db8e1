// Signed files: what was signed is what is read, one changed character is noticed, and nothing that comes breaks the reader.
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { formatInventory, parseSavedInventory } from '../../../../hwqual/qualify/inventory-file.ts';
import {
  canonicalJson,
  FileError,
  type Json,
  SignatureError,
  signed,
  signingKey,
  verified,
} from '../../../../hwqual/qualify/signed-file.ts';
import { wholeFacts } from '../checks/facts-fixture.ts';

/** Of any kind: the error says that the file cannot be used. */
function isRefused(read: () => unknown): boolean {
  try {
    read();
    return false;
  } catch (e) {
    if (e instanceof FileError) return true;
    throw e;
  }
}

const folder = mkdtempSync(join(tmpdir(), 'signed-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const key = signingKey(folder);
const whole = await wholeFacts();
const text = formatInventory(whole, new Date('2026-11-21T12:00:00Z'), key);

t.test('the key is made once, for its owner only', async (t) => {
  t.ok(signingKey(folder).equals(key));
  const file = join(folder, 'inventory-key.pem');
  t.equal(statSync(file).mode & 0o777, 0o600);
  chmodSync(file, 0o644);
  signingKey(folder);
  t.equal(statSync(file).mode & 0o777, 0o600, 'closed again');
  const other = mkdtempSync(join(tmpdir(), 'signed-'));
  t.teardown(() => rmSync(other, { recursive: true, force: true }));
  writeFileSync(join(other, 'inventory-key.pem'), 'garbage', { mode: 0o600 });
  t.throws(() => signingKey(other), /does not hold an Ed25519 key: remove it/);
  t.throws(() => signingKey('/nowhere/at/all'), FileError);
});

t.test('canonical JSON: the order of keys and spaces are nothing, all else is', async (t) => {
  t.equal(canonicalJson({ b: [1, null, 'é'], a: { d: false, c: -0.5 }, left: undefined }), '{"a":{"c":-0.5,"d":false},"b":[1,null,"é"]}');
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const canonical = canonicalJson(value as Json);
      t.same(JSON.parse(canonical), JSON.parse(JSON.stringify(value)));
      t.equal(canonicalJson(JSON.parse(canonical) as Json), canonical);
    }),
    { numRuns: 500 },
  );
  let deep: Json = 1;
  for (let i = 0; i < 50; i++) deep = [deep];
  t.throws(() => canonicalJson(deep), /too deeply/);
});

t.test('read as it was written', async (t) => {
  const saved = parseSavedInventory(text, 'a.json');
  t.strictSame(saved.facts, whole);
  t.equal(saved.savedAt, '2026-11-21T12:00:00.000Z');
  t.match(saved.fingerprint, /^([0-9a-f]{4} ?){16}$/);
});

t.test('any character that is changed is noticed', async (t) => {
  const original = canonicalJson(JSON.parse(text) as Json);
  fc.assert(
    fc.property(fc.nat(text.length - 1), fc.constantFrom('0', '1', 'x', '"', ' ', '}', '\\', ',', 'é'), (at, by) => {
      const changed = text.slice(0, at) + by + text.slice(at + 1);
      let canonical: string;
      try {
        canonical = canonicalJson(JSON.parse(changed) as Json);
      } catch {
        t.ok(isRefused(() => parseSavedInventory(changed, 'a')));
        return;
      }
      if (canonical === original) return;
      // What is not covered is what the file says of its own key: it is taken from the key.
      const { signature } = JSON.parse(changed) as { signature?: { fingerprint?: string } };
      const untouched = JSON.parse(text) as { signature: { fingerprint: string } };
      if (signature?.fingerprint !== untouched.signature.fingerprint) {
        try {
          t.equal(parseSavedInventory(changed, 'a').fingerprint, untouched.signature.fingerprint);
        } catch (e) {
          t.ok(e instanceof FileError);
        }
        return;
      }
      t.ok(
        isRefused(() => parseSavedInventory(changed, 'a')),
        JSON.stringify(changed.slice(Math.max(0, at - 20), at + 20)),
      );
    }),
    { numRuns: 2_000 },
  );
});

t.test('base64 that decodes to the same bytes is another text all the same', async (t) => {
  const { signature, ...content } = JSON.parse(text) as { signature: { publicKey: string; value: string } };
  for (const end of ['é', ',', '', '==', '1'])
    for (const field of ['publicKey', 'value'] as const) {
      const changed = { ...content, signature: { ...signature, [field]: signature[field].replace(/=+$/, end) } };
      if (changed.signature[field] === signature[field]) continue;
      t.throws(() => verified(JSON.stringify(changed), 'a'), SignatureError, `${field} ends in "${end}"`);
    }
});

t.test('signed by another key it is another fingerprint; signed content of another kind is no inventory', async (t) => {
  const other = mkdtempSync(join(tmpdir(), 'signed-'));
  t.teardown(() => rmSync(other, { recursive: true, force: true }));
  const again = parseSavedInventory(formatInventory(whole, new Date(), signingKey(other)), 'a');
  t.not(again.fingerprint, parseSavedInventory(text, 'a').fingerprint);
  const good = JSON.parse(text) as Record<string, Json>;
  const { signature: _, ...content } = good;
  const resigned = (change: Record<string, Json>) => JSON.stringify(signed({ ...content, ...change }, key));
  t.throws(() => parseSavedInventory(resigned({ kind: 'other' }), 'a'), /no inventory of this version/);
  t.throws(() => parseSavedInventory(resigned({ savedAt: 'yesterday' }), 'a'), /when it was saved/);
  t.throws(() => parseSavedInventory(resigned({ facts: {} }), 'a.json'), /^a\.json: coServer is missing/);
  t.throws(() => verified(JSON.stringify(content), 'a.json'), { message: /a\.json: it is not signed: write it with/ });
  for (const signature of [null, 7, {}, { algorithm: 'none' }, { algorithm: 'Ed25519', publicKey: 'AAAA', value: '' }])
    t.throws(() => verified(JSON.stringify({ ...content, signature }), 'a'), SignatureError);
});

t.test('anything may be in a file', async (t) => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.json(),
        fc.json().map((j) => `{"signature":${j}}`),
      ),
      (garbage) => {
        t.ok(isRefused(() => parseSavedInventory(garbage, 'a')));
      },
    ),
    { numRuns: 1_500 },
  );
  // Signed, but of any shape.
  fc.assert(
    fc.property(fc.jsonValue(), (facts) => {
      const file = JSON.stringify(
        signed({ kind: 'twinstep-inventory', schema: 1, savedAt: '2026-11-21T12:00:00Z', facts: facts as Json }, key),
      );
      t.ok(isRefused(() => parseSavedInventory(file, 'a')));
    }),
    { numRuns: 500 },
  );
});
