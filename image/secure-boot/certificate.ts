// A certificate that vouches for itself (X.509 version 3, RFC 5280): all that Secure Boot wants of one is a name and a public key. Pure.
import { createPublicKey, type KeyObject, sign, X509Certificate } from 'node:crypto';
import { bits, context, integer, NOTHING, octets, oid, sequence, setOf, time, utf8 } from './der.ts';

const SHA256_WITH_RSA = sequence(oid('1.2.840.113549.1.1.11'), NOTHING);
const COMMON_NAME = oid('2.5.4.3');
const BASIC_CONSTRAINTS = oid('2.5.29.19');
const TRUE = Buffer.from([0x01, 0x01, 0xff]);

export interface CertificateFacts {
  name: string;
  /** 16 bytes, not repeated: firmware's tools tell certificates apart by it. */
  serial: Uint8Array;
  from: Date;
  to: Date;
}

/** `key`: a private RSA key. */
export function ownCertificate(key: KeyObject, { name, serial, from, to }: CertificateFacts): X509Certificate {
  const subject = sequence(setOf(sequence(COMMON_NAME, utf8(name))));
  const body = sequence(
    context(0, integer(Buffer.from([2]))),
    integer(serial),
    SHA256_WITH_RSA,
    subject,
    sequence(time(from), time(to)),
    subject,
    createPublicKey(key).export({ type: 'spki', format: 'der' }),
    // Critical; not an authority.
    context(3, sequence(sequence(BASIC_CONSTRAINTS, TRUE, octets(sequence())))),
  );
  return new X509Certificate(sequence(body, SHA256_WITH_RSA, bits(sign('sha256', body, key))));
}
