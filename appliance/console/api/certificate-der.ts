// A self-signed X.509 certificate as bytes (RFC 5280, DER as in X.690): just the fields that a TLS server's own certificate needs.
// Pure: names, times, serial number, public key and the signing function come in.
//
//   Certificate    30 { TBSCertificate, 30 { ecdsa-with-SHA256 }, 03 00 signature }
//   TBSCertificate 30 { a0 { 02 01 02 }, 02 serial, 30 { ecdsa-with-SHA256 }, issuer, 30 { notBefore, notAfter }, subject, SPKI, a3 { 30 { extensions } } }
import { isIPv4, isIPv6 } from 'node:net';

const SEQUENCE = 0x30;
const SET = 0x31;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const OID = 0x06;
const UTF8_STRING = 0x0c;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;
const CONTEXT = 0x80;
const CONTEXT_CONSTRUCTED = 0xa0;

const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2';
const COMMON_NAME = '2.5.4.3';
const KEY_USAGE = '2.5.29.15';
const SUBJECT_ALT_NAME = '2.5.29.17';
const BASIC_CONSTRAINTS = '2.5.29.19';
const EXTENDED_KEY_USAGE = '2.5.29.37';
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';

export interface CertificateFields {
  commonName: string;
  /** DNS names and IP addresses. */
  names: string[];
  /** 1 to 20 bytes, not all zero. */
  serial: Uint8Array;
  notBefore: Date;
  notAfter: Date;
  /** SubjectPublicKeyInfo of an ECDSA P-256 key, DER. */
  publicKey: Uint8Array;
  /** ECDSA with SHA-256 over the bytes: the signature as DER. */
  sign: (bytes: Uint8Array) => Uint8Array;
}

export function selfSignedCertificate(f: CertificateFields): Buffer {
  const algorithm = tlv(SEQUENCE, oid(ECDSA_WITH_SHA256));
  const name = tlv(SEQUENCE, tlv(SET, tlv(SEQUENCE, oid(COMMON_NAME), tlv(UTF8_STRING, Buffer.from(f.commonName)))));
  const extensions = tlv(
    SEQUENCE,
    extension(BASIC_CONSTRAINTS, true, tlv(SEQUENCE)),
    // digitalSignature: bit 0, seven bits unused.
    extension(KEY_USAGE, true, tlv(BIT_STRING, Buffer.from([7, 0x80]))),
    extension(EXTENDED_KEY_USAGE, false, tlv(SEQUENCE, oid(SERVER_AUTH))),
    extension(SUBJECT_ALT_NAME, false, tlv(SEQUENCE, ...f.names.map(generalName))),
  );
  const body = tlv(
    SEQUENCE,
    tlv(CONTEXT_CONSTRUCTED | 0, tlv(INTEGER, Buffer.from([2]))),
    positiveInteger(f.serial),
    algorithm,
    name,
    tlv(SEQUENCE, time(f.notBefore), time(f.notAfter)),
    name,
    f.publicKey,
    tlv(CONTEXT_CONSTRUCTED | 3, extensions),
  );
  return tlv(SEQUENCE, body, algorithm, tlv(BIT_STRING, Buffer.from([0]), f.sign(body)));
}

/** PEM (RFC 7468): 64 characters per line. */
export function pem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

function tlv(tag: number, ...content: Uint8Array[]): Buffer {
  const value = Buffer.concat(content);
  return Buffer.concat([Buffer.from([tag]), length(value.length), value]);
}

function length(n: number): Buffer {
  if (n < 0x80) return Buffer.from([n]);
  return n < 0x100 ? Buffer.from([0x81, n]) : Buffer.from([0x82, n >> 8, n & 0xff]);
}

function positiveInteger(bytes: Uint8Array): Buffer {
  const first = bytes.findIndex((b) => b !== 0);
  const value = first < 0 ? Buffer.from([0]) : Buffer.from(bytes.subarray(first));
  return (value[0] ?? 0) >= 0x80 ? tlv(INTEGER, Buffer.from([0]), value) : tlv(INTEGER, value);
}

function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes = [first * 40 + second];
  for (const arc of rest) {
    const septets = [arc & 0x7f];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) septets.unshift((left & 0x7f) | 0x80);
    bytes.push(...septets);
  }
  return tlv(OID, Buffer.from(bytes));
}

/** UTCTime until 2049, GeneralizedTime from then on (RFC 5280, 4.1.2.5). */
function time(at: Date): Buffer {
  const digits = `${at.toISOString().slice(0, 19).replace(/[-:T]/g, '')}Z`;
  return at.getUTCFullYear() < 2050 ? tlv(UTC_TIME, Buffer.from(digits.slice(2))) : tlv(GENERALIZED_TIME, Buffer.from(digits));
}

function extension(id: string, critical: boolean, value: Buffer): Buffer {
  return tlv(SEQUENCE, oid(id), ...(critical ? [Buffer.from([0x01, 0x01, 0xff])] : []), tlv(OCTET_STRING, value));
}

function generalName(name: string): Buffer {
  if (isIPv4(name)) return tlv(CONTEXT | 7, Buffer.from(name.split('.').map(Number)));
  if (isIPv6(name)) return tlv(CONTEXT | 7, ipv6Bytes(name));
  return tlv(CONTEXT | 2, Buffer.from(name, 'latin1'));
}

function ipv6Bytes(address: string): Buffer {
  // The URL parser writes every form (also with an embedded IPv4 address) as hexadecimal groups.
  const [head = '', tail] = new URL(`http://[${address.split('%')[0]}]/`).hostname.slice(1, -1).split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups = [...left, ...Array.from({ length: 8 - left.length - right.length }, () => '0'), ...right];
  return Buffer.from(groups.map((g) => g.padStart(4, '0')).join(''), 'hex');
}
