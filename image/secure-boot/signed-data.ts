// PKCS #7 SignedData (RFC 2315) with one signature, RSA with SHA-256: what firmware takes as the signature of a program and of a variable.
// No time is signed: the same key and content give the same bytes. Pure.
import { createHash, type KeyObject, sign, type X509Certificate } from 'node:crypto';
import { context, integer, NOTHING, octets, oid, readDer, sequence, setOf } from './der.ts';

const OIDS = {
  data: oid('1.2.840.113549.1.7.1'),
  signedData: oid('1.2.840.113549.1.7.2'),
  contentType: oid('1.2.840.113549.1.9.3'),
  messageDigest: oid('1.2.840.113549.1.9.4'),
} as const;
export const SHA256 = sequence(oid('2.16.840.1.101.3.4.2.1'), NOTHING);
const RSA = sequence(oid('1.2.840.113549.1.1.1'), NOTHING);
const ONE = integer(Buffer.from([1]));

export interface Signer {
  key: KeyObject;
  certificate: X509Certificate;
}

/** Throws, saying which, when firmware would not take these. */
export function checkSigner({ key, certificate }: Signer): Signer {
  if (key.type !== 'private' || key.asymmetricKeyType !== 'rsa')
    throw new Error('the key for Secure Boot is not a private RSA key, the only kind that all firmware takes');
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (bits < 2048) throw new Error(`the key for Secure Boot has ${bits} bits; firmware asks for 2048 at least`);
  if (!certificate.checkPrivateKey(key)) throw new Error('the certificate for Secure Boot belongs to another key');
  return { key, certificate };
}

/** Of content that lies elsewhere: nothing of it is in the result, which is not wrapped in a ContentInfo. */
export function signDetached(content: Uint8Array, { key, certificate }: Signer): Buffer {
  const info = signerInfo(certificate, [], sign('sha256', content, key));
  return signedData(sequence(OIDS.data), certificate, info);
}

/** `content`: one DER value of type `type`, which is in the result. A ContentInfo. */
export function signAttached(type: Buffer, content: Buffer, { key, certificate }: Signer): Buffer {
  const [value] = readDer(content);
  const digest = createHash('sha256')
    .update(value?.content ?? content)
    .digest();
  const attributes = setOf(sequence(OIDS.contentType, setOf(type)), sequence(OIDS.messageDigest, setOf(octets(digest))));
  const [inner] = readDer(attributes);
  // Signed as a SET, stored under the tag [0] (RFC 2315, 9.3).
  const info = signerInfo(certificate, [context(0, inner?.content ?? Buffer.alloc(0))], sign('sha256', attributes, key));
  return sequence(OIDS.signedData, context(0, signedData(sequence(type, context(0, content)), certificate, info)));
}

function signedData(content: Buffer, certificate: X509Certificate, info: Buffer): Buffer {
  return sequence(ONE, setOf(SHA256), content, context(0, certificate.raw), setOf(info));
}

function signerInfo(certificate: X509Certificate, attributes: readonly Buffer[], signature: Buffer): Buffer {
  const { issuer, serial } = nameOf(certificate);
  return sequence(ONE, sequence(issuer, serial), SHA256, ...attributes, RSA, octets(signature));
}

/** Certificate: SEQUENCE { tbs: SEQUENCE { [0] version, serial, algorithm, issuer, ... } } (RFC 5280, 4.1). */
function nameOf(certificate: X509Certificate): { issuer: Buffer; serial: Buffer } {
  const [whole] = readDer(certificate.raw);
  const [tbs] = readDer(whole?.content ?? Buffer.alloc(0));
  const [version, serial, , issuer] = readDer(tbs?.content ?? Buffer.alloc(0));
  if (version?.tag !== 0xa0 || !serial || !issuer) throw new Error('the certificate for Secure Boot is not of version 3');
  return { issuer: issuer.whole, serial: serial.whole };
}
