import { X509Certificate } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import t from 'tap';
import { selfSignedCertificate } from '../../../../../appliance/console/api/certificate-der.ts';
import { consoleCertificate } from '../../../../../appliance/console/api/index.ts';

async function directory(t: { teardown: (f: () => unknown) => void }): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'co-cert-'));
  t.teardown(() => rm(path, { recursive: true, force: true }));
  return path;
}

t.test('made once, kept, 0600', async (t) => {
  const stateDir = join(await directory(t), 'state');
  const options = { stateDir, coServer: 'A' as const, names: ['192.0.2.1', 'fd77::10', '::ffff:192.0.2.9', 'pair.example'] };
  const first = await consoleCertificate(options);
  t.strictSame(await readdir(stateDir), ['console-tls.pem'], 'nothing else is left');
  t.equal((await stat(join(stateDir, 'console-tls.pem'))).mode & 0o777, 0o600);
  t.strictSame(await consoleCertificate({ ...options, names: [] }), first);
  const x = new X509Certificate(first.cert);
  t.equal(x.subject, 'CN=Twinstep CoServer A');
  t.equal(x.verify(x.publicKey), true, 'signed by itself');
  t.equal(x.ca, false);
  t.strictSame(
    [x.checkIP('192.0.2.1'), x.checkIP('fd77::10'), x.checkHost('twinstep-a'), x.checkHost('pair.example')],
    ['192.0.2.1', 'fd77::10', 'twinstep-a', 'pair.example'],
  );
  t.equal(x.checkIP('192.0.2.2'), undefined);
  t.match(first.fingerprint, /^([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
  t.ok(Date.parse(x.validFrom) < Date.now() && Date.parse(x.validTo) > Date.now() + 9 * 365 * 86_400_000);
  const other = await consoleCertificate({ ...options, stateDir: join(stateDir, 'b'), coServer: 'B' });
  t.not(other.fingerprint, first.fingerprint);
});

t.test('a client that trusts it connects', async (t) => {
  const { key, cert } = await consoleCertificate({ stateDir: await directory(t), coServer: 'B', names: ['127.0.0.1'] });
  const server = createServer({ key, cert }, (_request, response) => response.end('ok'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const authorized = await new Promise<boolean>((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: address.port, ca: cert }, () => {
      resolve(socket.authorized);
      socket.destroy();
    });
    socket.on('error', reject);
  });
  t.equal(authorized, true);
});

t.test('a damaged or open file is named with the remedy', async (t) => {
  const stateDir = await directory(t);
  const path = join(stateDir, 'console-tls.pem');
  await writeFile(path, 'nonsense', { mode: 0o600 });
  const options = { stateDir, coServer: 'A' as const, names: [] };
  await t.rejects(consoleCertificate(options), /console-tls\.pem is damaged: remove it/);
  t.equal(await readFile(path, 'utf8'), 'nonsense', 'it is not overwritten');
  await chmod(path, 0o644);
  await t.rejects(consoleCertificate(options), /chmod 600/);
});

t.test('the bytes', async (t) => {
  const der = selfSignedCertificate({
    commonName: 'X',
    names: ['a'],
    serial: Uint8Array.of(0, 0, 0x80, 1),
    notBefore: new Date(Date.UTC(2025, 0, 2, 3, 4, 5)),
    notAfter: new Date(Date.UTC(2050, 0, 1)),
    publicKey: Buffer.from('3000', 'hex'),
    sign: () => Buffer.from('3003020101', 'hex'),
  });
  const hex = der.toString('hex');
  t.match(hex, 'a003020102', 'version 3');
  t.match(hex, '0203008001', 'a positive serial number without needless zeros');
  t.match(hex, '170d3235303130323033303430355a', 'UTCTime 250102030405Z');
  t.match(hex, '180f32303530303130313030303030305a', 'GeneralizedTime 20500101000000Z');
  t.match(hex, '300c0603551d130101ff04023000', 'not an authority');
  t.match(hex, '300e0603551d0f0101ff040403020780', 'signs only');
  t.match(hex, '300c0603551d1104053003820161', 'DNS name a');
  t.equal(hex.startsWith('3081') || hex.startsWith('3082'), true);
  t.match(hex, /300a06082a8648ce3d040302030600300302010[0-9]$/, 'signature');
});
