// Pairing without people: the secret that both answer files carry compares the codes in their place. Pure.
//
// Each side says in its beacons a MAC, under the secret, of the code that it shows. Who stands in between makes two different codes (one chance in
// a million per attempt that they are equal, as with people) and, without the secret, no MAC for either. The pair's key does not
// come from the secret: when the pairing is done the secret opens nothing.
import { createHmac, timingSafeEqual } from 'node:crypto';

/** 128 bits: it must not be found by trying, from the MACs on the cable. */
export const SECRET_PATTERN = /^[0-9a-f]{32,128}$/;
export const SECRET_WORDS = '32 to 128 hexadecimal digits, the same in both files: openssl rand -hex 16';

export function proofOf(secret: string, pairId: string, sender: 'A' | 'B', code: string): string {
  return createHmac('sha256', Buffer.from(secret, 'hex'))
    .update(`twinstep unattended pairing\0${pairId}\0${sender}\0${code}`)
    .digest('hex');
}

export function isProof(proof: string, secret: string, pairId: string, sender: 'A' | 'B', code: string): boolean {
  return timingSafeEqual(Buffer.from(proof, 'hex'), Buffer.from(proofOf(secret, pairId, sender, code), 'hex'));
}
