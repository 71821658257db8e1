// The firmware's variables that decide what Secure Boot takes (UEFI specification 2.10, 8.2.2 and 32.4): PK, the platform's owner; KEK, who may
// change the lists; db, whose programs are started. As files with a signature, from which systemd-boot or the firmware's own set-up takes
// them over. Pure.
//
// signature list:   type GUID (16), bytes of all (4), of the header, none (4), of each entry (4), then entries: owner GUID (16), certificate
// file of a variable: time (16), bytes (4), revision (2), type (2), GUID of PKCS #7 (16), the signature, signature lists
import { encodeGuid } from '../disk/gpt.ts';
import { type Signer, signDetached } from './signed-data.ts';

const CERTIFICATE = 'a5c059a1-94e4-4aa7-87b5-ab155c2bf072';
const PKCS7 = '4aafd29d-68df-49ee-8aa9-347d375665a7';
/** Whose variable it is: the specification's own ones, and the lists of what is trusted. */
const VENDORS = {
  PK: '8be4df61-93ca-11d2-aa0d-00e098032b8c',
  KEK: '8be4df61-93ca-11d2-aa0d-00e098032b8c',
  db: 'd719b2cb-3d3a-4596-a3bc-dad00e67656f',
} as const;
/** Kept, seen by the boot and by the system, replaced by a later time only. */
const ATTRIBUTES = 0x27;
const [REVISION, GUID_SIGNATURE] = [0x0200, 0x0ef1];

export type VariableName = keyof typeof VENDORS;
export const VARIABLES: readonly VariableName[] = ['PK', 'KEK', 'db'];

/** `certificates` in DER. `owner`: a GUID, for people only. */
export function signatureLists(certificates: readonly Uint8Array[], owner: string): Buffer {
  return Buffer.concat(
    certificates.map((certificate) => {
      const entry = 16 + certificate.length;
      const sizes = Buffer.alloc(12);
      sizes.writeUInt32LE(28 + entry, 0);
      sizes.writeUInt32LE(entry, 8);
      return Buffer.concat([encodeGuid(CERTIFICATE), sizes, encodeGuid(owner), certificate]);
    }),
  );
}

/** The content of `NAME.auth`. `at`: to the second; firmware takes no older one later. */
export function signedVariable(name: VariableName, lists: Buffer, at: Date, signer: Signer): Buffer {
  const time = Buffer.alloc(16);
  time.writeUInt16LE(at.getUTCFullYear(), 0);
  time.set([at.getUTCMonth() + 1, at.getUTCDate(), at.getUTCHours(), at.getUTCMinutes(), at.getUTCSeconds()], 2);
  const attributes = Buffer.alloc(4);
  attributes.writeUInt32LE(ATTRIBUTES);
  const signed = Buffer.concat([Buffer.from(name, 'utf16le'), encodeGuid(VENDORS[name]), attributes, time, lists]);
  const signature = signDetached(signed, signer);
  const head = Buffer.alloc(8);
  head.writeUInt32LE(24 + signature.length, 0);
  head.writeUInt16LE(REVISION, 4);
  head.writeUInt16LE(GUID_SIGNATURE, 6);
  return Buffer.concat([time, head, encodeGuid(PKCS7), signature, lists]);
}
