import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { checkSignature, decodeHeader, decodeManifest, HEADER_BYTES, SIGNATURE_BYTES } from '../../../appliance/update/bundle.ts';
import { encodeManifest } from '../../../appliance/update/format.ts';
import { addSections } from '../../../image/disk/uki.ts';
import { BLOCK_BYTES, hashTree } from '../../../image/disk/verity.ts';
import { isEncrypted, makeKey, readPrivateKey, readPublicKey } from '../../../image/sign/keys.ts';
import { manifestFor, signManifest, writeUpdate } from '../../../image/sign/pack.ts';
import { engineVersion } from '../../../image/sign/sign.ts';

const folder = mkdtempSync(join(tmpdir(), 'twinstep-sign-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const PASSPHRASE = 'long enough to keep';

/** The smallest PE32+ that has what is looked at. */
function stub(): Buffer {
  const b = Buffer.alloc(1536);
  b.writeUInt32LE(0x40, 0x3c);
  b.write('PE\0\0', 0x40, 'latin1');
  b.writeUInt16LE(1, 0x46);
  b.writeUInt16LE(0xf0, 0x54);
  b.writeUInt16LE(0x20b, 0x58);
  b.writeUInt32LE(4096, 0x58 + 32);
  b.writeUInt32LE(512, 0x58 + 36);
  b.writeUInt32LE(1024, 0x58 + 60);
  return b;
}

function parts(version: string, salt = 'ab'.repeat(16)) {
  const data = Buffer.alloc(3 * BLOCK_BYTES, version);
  const { rootHash, tree, dataBlocks } = hashTree(data, salt);
  const program = addSections(stub(), [
    { name: '.osrel', data: Buffer.from(`ID=twinstep\nVERSION_ID=${version}\n`) },
    {
      name: '.cmdline',
      data: Buffer.from(`quiet twinstep.version=${version} twinstep.hash=${rootHash} twinstep.salt=${salt} twinstep.blocks=${dataBlocks}`),
    },
  ]);
  return { version, engine: '11.1.3', minimumFrom: '0.0.0', program, slot: Buffer.concat([data, tree]) };
}

t.test('a key: the private one is encrypted and for its owner only, and never replaced', async (t) => {
  const name = join(folder, 'one');
  const { privateFile, publicFile } = makeKey(name, PASSPHRASE);
  t.ok(isEncrypted(privateFile));
  t.equal(statSync(privateFile).mode & 0o777, 0o600);
  t.throws(() => makeKey(name, PASSPHRASE), { message: /never replaced/ });
  t.throws(() => makeKey(join(folder, 'two'), 'too short'), { message: /12 at least/ });
  t.throws(() => readPrivateKey(privateFile, 'another passphrase'), { message: /the passphrase is another one/ });
  t.throws(() => readPublicKey(privateFile), { message: /is a private key: it must never be in an image/ });
  t.throws(() => readPublicKey(join(folder, 'none.pub')), { message: /none\.pub cannot be read: ENOENT/ });
  const rsa = join(folder, 'rsa.pub');
  writeFileSync(rsa, generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ type: 'spki', format: 'pem' }));
  t.throws(() => readPublicKey(rsa), { message: /type rsa; updates are signed by Ed25519/ });
  t.equal(readPublicKey(publicFile), createPublicKey(readPrivateKey(privateFile, PASSPHRASE)).export({ type: 'spki', format: 'pem' }));
});

t.test('an update of what belongs together, as a server reads it', async (t) => {
  const { privateFile, publicFile } = makeKey(join(folder, 'key'), PASSPHRASE);
  const key = readPrivateKey(privateFile, PASSPHRASE);
  const made = parts('1.2.3');
  const manifest = encodeManifest(manifestFor(made));
  const path = join(folder, 'twinstep-1.2.3.update');
  writeUpdate(path, { ...made, manifest, signature: signManifest(manifest, key), publicKey: readPublicKey(publicFile) });
  const update = readFileSync(path);
  const bytes = decodeHeader(update.subarray(0, HEADER_BYTES));
  const body = HEADER_BYTES + bytes + SIGNATURE_BYTES;
  const text = update.subarray(HEADER_BYTES, HEADER_BYTES + bytes);
  checkSignature(text, update.subarray(HEADER_BYTES + bytes, body), [createPublicKey(readPublicKey(publicFile))]);
  const m = decodeManifest(text);
  t.match(m, { version: '1.2.3', engine: '11.1.3', program: { bytes: made.program.length }, slot: { bytes: made.slot.length } });
  t.ok(update.subarray(body).equals(Buffer.concat([made.program, made.slot])));
  t.throws(() => writeUpdate(`${path}2`, { ...made, manifest, signature: sign(null, Buffer.from('x'), key), publicKey: key }), {
    message: /not one of this manifest/,
  });
  t.notOk(existsSync(`${path}2`));
});

t.test('what does not belong together is never signed', async (t) => {
  const [a, b] = [parts('1.2.3'), parts('1.2.4')];
  t.throws(() => manifestFor({ ...a, version: '1.2.4' }), { message: /of version '1\.2\.3', not 1\.2\.4/ });
  t.throws(() => manifestFor({ ...a, slot: b.slot }), { message: /not the one that the program of the boot vouches for/ });
  const cut = Buffer.from(a.slot);
  cut.writeUInt8(1, cut.length - 1);
  t.throws(() => manifestFor({ ...a, slot: cut }), { message: /vouches for/ }, 'its hash tree is another one');
  t.throws(() => manifestFor({ ...a, version: '1.2' }), { message: /is no version/ });
  t.match(engineVersion(), /^\d+\.\d+\.\d+$/);
});
