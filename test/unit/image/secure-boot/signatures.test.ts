// Signatures for Secure Boot, judged by others: sbverify (sbsigntool) for programs, openssl for certificates and variables.
import { execFileSync, spawnSync } from 'node:child_process';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { addSections } from '../../../../image/disk/uki.ts';
import { isSigned, programDigest, signProgram } from '../../../../image/secure-boot/authenticode.ts';
import { ownCertificate } from '../../../../image/secure-boot/certificate.ts';
import { context, oid, readDer, sequence } from '../../../../image/secure-boot/der.ts';
import { loadSecureBoot, UNSIGNED } from '../../../../image/secure-boot/index.ts';
import { enrolment, makeKeys } from '../../../../image/secure-boot/keys.ts';
import { checkSigner, signDetached } from '../../../../image/secure-boot/signed-data.ts';
import { signatureLists } from '../../../../image/secure-boot/variables.ts';

const AT = new Date('2026-01-02T03:04:05Z');
const folder = mkdtempSync(join(tmpdir(), 'twinstep-signatures-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const file = (name: string, data: Uint8Array | string): string => {
  writeFileSync(join(folder, name), data);
  return join(folder, name);
};

/** The least that is a PE32+ with one section, one gap between header and section, and 3 bytes behind the last one. */
function smallProgram(): Buffer {
  const b = Buffer.alloc(0x600 + 3, 0x11);
  b.fill(0, 0, 0x400);
  b.write('MZ', 0, 'latin1');
  b.writeUInt32LE(0x40, 0x3c);
  b.write('PE\0\0', 0x40, 'latin1');
  b.writeUInt16LE(0x8664, 0x44);
  b.writeUInt16LE(1, 0x46);
  b.writeUInt16LE(240, 0x54);
  const optional = 0x58;
  b.writeUInt16LE(0x20b, optional);
  b.writeUInt32LE(0x1000, optional + 32);
  b.writeUInt32LE(0x200, optional + 36);
  b.writeUInt32LE(0x2000, optional + 56);
  b.writeUInt32LE(0x400, optional + 60);
  b.writeUInt16LE(10, optional + 68);
  b.writeUInt32LE(16, optional + 108);
  const section = optional + 240;
  b.write('.text', section, 'latin1');
  for (const [at, value] of [
    [8, 0x200],
    [12, 0x1000],
    [16, 0x200],
    [20, 0x400],
  ] as const)
    b.writeUInt32LE(value, section + at);
  return b;
}

const keys = makeKeys(AT);
const others = makeKeys(AT);

function sbverify(program: string, certificate: string): boolean {
  const { status, error } = spawnSync('sbverify', ['--cert', certificate, program]);
  if (error) throw error;
  return status === 0;
}

t.test('a signed program is right to another implementation, by our certificate only', async (t) => {
  const db = file('db.crt', keys.db.certificate.toString());
  const other = file('other.crt', others.db.certificate.toString());
  const withKernel = addSections(smallProgram().subarray(0, 0x600), [{ name: '.cmdline', data: Buffer.from('quiet') }]);
  for (const [name, program] of [
    ['small', smallProgram()],
    ['sections', withKernel],
  ] as const) {
    const signed = signProgram(program, keys.db);
    t.ok(isSigned(signed) && !isSigned(program), name);
    t.ok(sbverify(file(name, signed), db), `${name}: right`);
    t.notOk(sbverify(join(folder, name), other), `${name}: not by somebody else's certificate`);
    t.strictSame(signProgram(program, keys.db), signed, `${name}: the same again`);
    for (const at of [0x90, 0x410, 0x602]) {
      const changed = Buffer.from(signed);
      changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
      t.notOk(sbverify(file('changed', changed), db), `${name}: byte ${at} is covered`);
    }
    t.strictSame(
      programDigest(signed),
      programDigest(Buffer.concat([program, Buffer.alloc(-program.length & 7)])),
      `${name}: the digest leaves out signatures`,
    );
    t.throws(() => signProgram(signed, keys.db), { message: /signed already/ });
  }
  t.throws(() => signProgram(Buffer.from('#!/bin/sh\n'), keys.db), { message: /no EFI program/ });
});

t.test('certificates are what openssl reads', async (t) => {
  const path = file('PK.crt', keys.PK.certificate.toString());
  const said = execFileSync('openssl', ['x509', '-in', path, '-noout', '-subject', '-enddate', '-ext', 'basicConstraints'], {
    encoding: 'utf8',
  });
  t.match(said, /Twinstep platform key/);
  t.match(said, /Jan {2}2 03:04:05 2056 GMT/, 'from 2050 on another kind of time');
  t.match(said, /CA:FALSE/);
  t.ok(keys.PK.certificate.verify(keys.PK.certificate.publicKey), 'it vouches for itself');
});

t.test('a file of a variable: list, and a signature over name, owner, attributes, time and list', async (t) => {
  const auth = enrolment(keys, AT, [others.db.certificate]).db;
  t.strictSame([auth.readUInt16LE(0), ...auth.subarray(2, 7)], [2026, 1, 2, 3, 4, 5]);
  const bytes = auth.readUInt32LE(16);
  t.equal(auth.readUInt16LE(22), 0x0ef1);
  const signature = auth.subarray(16 + 24, 16 + bytes);
  const lists = auth.subarray(16 + bytes);
  const first = 28 + 16 + keys.db.certificate.raw.length;
  t.equal(lists.readUInt32LE(16), first, 'the first list ends where the second begins');
  t.ok(lists.subarray(44, first).equals(keys.db.certificate.raw));
  t.ok(lists.subarray(first + 44).equals(others.db.certificate.raw), 'whom else to trust');
  const image = Buffer.from('cbb219d73a3d9645a3bcdad00e67656f', 'hex');
  const signed = Buffer.concat([Buffer.from('db', 'utf16le'), image, Buffer.from([0x27, 0, 0, 0]), auth.subarray(0, 16), lists]);
  const wrapped = sequence(oid('1.2.840.113549.1.7.2'), context(0, signature));
  const verify = (content: Buffer) =>
    spawnSync('openssl', [
      ...['cms', '-verify', '-binary', '-inform', 'DER', '-in', file('db.p7', wrapped), '-content', file('db.content', content)],
      ...['-CAfile', file('KEK.crt', keys.KEK.certificate.toString()), '-purpose', 'any', '-partial_chain', '-out', '/dev/null'],
    ]);
  t.equal(verify(signed).status, 0, verify(signed).stderr.toString());
  t.not(verify(Buffer.concat([signed, Buffer.from([0])])).status, 0, 'and nothing else is');
});

t.test('DER at its borders', async (t) => {
  for (const length of [0, 127, 128, 255, 256, 65_535, 65_536]) {
    const [value] = readDer(sequence(Buffer.alloc(length, 7)));
    t.equal(value?.content.length, length, `${length} bytes`);
  }
  t.throws(() => readDer(Buffer.from([0x30, 5, 1, 1])), RangeError);
});

t.test('keys that firmware would not take are named', async (t) => {
  const small = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey;
  const facts = { name: 'x', serial: Buffer.from([1]), from: AT, to: AT };
  t.throws(() => checkSigner({ key: small, certificate: ownCertificate(small, facts) }), { message: /1024 bits/ });
  t.throws(() => checkSigner({ key: keys.db.key, certificate: others.db.certificate }), { message: /another key/ });
  t.throws(() => checkSigner({ key: generateKeyPairSync('ed25519').privateKey, certificate: keys.db.certificate }), { message: /RSA/ });
  t.equal(checkSigner(keys.db).key, keys.db.key);
  t.ok(signDetached(Buffer.from('x'), keys.db).length > 256 + keys.db.certificate.raw.length);
});

t.test('the key ceremony: secrets are readable by their owner only, and nothing is replaced', async (t) => {
  const program = join(import.meta.dirname, '../../../../image/secure-boot/keys.ts');
  const target = join(folder, 'keys');
  const run = (...args: string[]) => spawnSync(process.execPath, ['--no-warnings', program, ...args], { encoding: 'utf8' });
  t.equal(run(target, '--also-trust', join(folder, 'other.crt')).status, 0);
  t.equal(statSync(join(target, 'db.key')).mode & 0o777, 0o600);
  t.ok(new X509Certificate(readFileSync(join(target, 'db.der'))).subject.includes('Twinstep programs'));
  t.ok(readFileSync(join(target, 'db.auth')).includes(others.db.certificate.raw));
  t.notOk(readFileSync(join(target, 'KEK.auth')).includes(others.db.certificate.raw));
  t.match(run(target).stderr, /there already/);
  t.match(run().stderr, /usage/);
  t.equal(signatureLists([], '00000000-0000-0000-0000-000000000000').length, 0);
});

t.test('options of the image: all or nothing, and a wrong file is named without what is in it', async (t) => {
  const key = file('db.key', keys.db.key.export({ type: 'pkcs8', format: 'pem' }));
  const certificate = join(folder, 'db.crt');
  t.equal(loadSecureBoot({}), UNSIGNED);
  t.throws(() => loadSecureBoot({ key }), { message: /both --secure-boot-key and --secure-boot-cert/ });
  t.throws(() => loadSecureBoot({ enrol: folder }), { message: /both/ });
  t.throws(() => loadSecureBoot({ key: certificate, certificate }), { message: `${certificate} is no private key (PEM)` });
  t.throws(() => loadSecureBoot({ key, certificate: join(folder, 'other.crt') }), { message: /another key/ });
  const loaded = loadSecureBoot({ key, certificate, enrol: join(folder, 'keys') });
  t.ok(isSigned(loaded.sign(smallProgram())));
  t.strictSame(
    loaded.enrolment.map(({ path }) => path),
    ['PK', 'KEK', 'db'].map((name) => `loader/keys/auto/${name}.auth`),
    'where the boot loader looks for keys that it may take by itself',
  );
});
