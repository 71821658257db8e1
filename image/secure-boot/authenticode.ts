// Signs an EFI program so that firmware takes it under Secure Boot (Microsoft, "Windows Authenticode Portable Executable Signature Format";
// UEFI specification 2.10, 32.5). The signature covers all of the file but three places: the header's checksum, the entry that says where the
// signatures are, and the signatures, which end the file. Pure; the same program and key give the same bytes.
import { createHash } from 'node:crypto';
import { context, der, octets, oid, sequence } from './der.ts';
import { SHA256, type Signer, signAttached } from './signed-data.ts';

/** SPC_INDIRECT_DATA: "the content is a digest of something else"; SPC_PE_IMAGE_DATA: "of a program". */
const INDIRECT_DATA = oid('1.3.6.1.4.1.311.2.1.4');
const PE_IMAGE_DATA = oid('1.3.6.1.4.1.311.2.1.15');
/** From the start of the optional header of PE32+. */
const OPTIONAL = { headerBytes: 60, checksum: 64, directories: 108, security: 112 + 4 * 8 } as const;
const PE32_PLUS = 0x20b;
const SECTION_BYTES = 40;
const CERTIFICATE_HEADER_BYTES = 8;
/** Of WIN_CERTIFICATE: revision 2.0, PKCS #7. */
const [REVISION, PKCS_SIGNED_DATA] = [0x0200, 0x0002];

interface Places {
  optional: number;
  headerBytes: number;
  sections: { offset: number; bytes: number }[];
  signatures: { offset: number; bytes: number };
}

/** Throws when it is no PE32+, or signed already. */
export function signProgram(program: Buffer, signer: Signer): Buffer {
  const { optional, signatures } = placesOf(program);
  if (signatures.bytes > 0) throw new Error('the EFI program is signed already');
  // Signatures begin at a multiple of 8; what fills up to there is signed, too.
  const body = Buffer.concat([program, Buffer.alloc(-program.length & 7)]);
  const link = context(0, context(2, der(0x80, Buffer.from('<<<Obsolete>>>', 'utf16le').swap16())));
  const image = sequence(PE_IMAGE_DATA, sequence(der(0x03, Buffer.from([0])), link));
  const content = sequence(image, sequence(SHA256, octets(programDigest(body))));
  const signature = signAttached(INDIRECT_DATA, content, signer);
  const bytes = (CERTIFICATE_HEADER_BYTES + signature.length + 7) & ~7;
  const table = Buffer.alloc(bytes);
  table.writeUInt32LE(bytes, 0);
  table.writeUInt16LE(REVISION, 4);
  table.writeUInt16LE(PKCS_SIGNED_DATA, 6);
  signature.copy(table, CERTIFICATE_HEADER_BYTES);
  body.writeUInt32LE(body.length, optional + OPTIONAL.security);
  body.writeUInt32LE(bytes, optional + OPTIONAL.security + 4);
  return Buffer.concat([body, table]);
}

export function isSigned(program: Buffer): boolean {
  return placesOf(program).signatures.bytes > 0;
}

/** SHA-256 as Authenticode counts it: header, sections in the order of the file, what is behind them. */
export function programDigest(program: Buffer): Buffer {
  const { optional, headerBytes, sections, signatures } = placesOf(program);
  const hash = createHash('sha256');
  const end = signatures.bytes > 0 ? signatures.offset : program.length;
  const [checksum, security] = [optional + OPTIONAL.checksum, optional + OPTIONAL.security];
  hash.update(program.subarray(0, checksum));
  hash.update(program.subarray(checksum + 4, security));
  hash.update(program.subarray(security + 8, headerBytes));
  let covered = headerBytes;
  for (const { offset, bytes } of sections.toSorted((a, b) => a.offset - b.offset)) {
    if (bytes === 0) continue;
    hash.update(program.subarray(offset, offset + bytes));
    covered += bytes;
  }
  return hash.update(program.subarray(covered, end)).digest();
}

function placesOf(program: Buffer): Places {
  const pe = program.length > 0x40 ? program.readUInt32LE(0x3c) : 0;
  const optional = pe + 24;
  if (pe === 0 || optional + OPTIONAL.security + 8 > program.length || program.readUInt16LE(optional) !== PE32_PLUS)
    throw new Error('this is no EFI program for 64 bits (PE32+)');
  if (program.readUInt32LE(optional + OPTIONAL.directories) < 5)
    throw new Error('the EFI program has no place for signatures in its header');
  const table = optional + program.readUInt16LE(pe + 20);
  const sections = Array.from({ length: program.readUInt16LE(pe + 6) }, (_, i) => ({
    bytes: program.readUInt32LE(table + i * SECTION_BYTES + 16),
    offset: program.readUInt32LE(table + i * SECTION_BYTES + 20),
  }));
  const security = optional + OPTIONAL.security;
  const signatures = { offset: program.readUInt32LE(security), bytes: program.readUInt32LE(security + 4) };
  return { optional, headerBytes: program.readUInt32LE(optional + OPTIONAL.headerBytes), sections, signatures };
}
