// The pairing within the setup: begun when both servers are known to each other, begun anew when the other one is another. The key lies where
// the product looks for it; a setup that is interrupted afterwards goes on with it.
import { createHash } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { type PairingHost, startPairing } from '../pairing/host.ts';
import { loadPending, parseKeyFile, pendingFileOf } from '../pairing/key-file.ts';
import type { PairingView } from '../pairing/view.ts';
import { type Beacon, NO_IDENTITY, NO_PROOF } from './beacon.ts';
import { isProof, proofOf } from './unattended-proof.ts';

export interface PairingWish {
  coServer: 'A' | 'B';
  pairId: string;
  nics: string[];
}

/** The same on both: from who is A and who is B, this time. */
export function freshPairId(identityOfA: string, identityOfB: string): string {
  return createHash('sha256').update(`twinstep pair ${identityOfA} ${identityOfB}`).digest('hex').slice(0, 32);
}

export class SetupPairing {
  readonly #keyFile: string;
  readonly #onChange: () => void;
  #host: PairingHost | null = null;
  #wish: PairingWish | null = null;

  constructor(keyFile: string, onChange: () => void) {
    this.#keyFile = keyFile;
    this.#onChange = onChange;
  }

  /** The key that is kept here, also of an earlier start; null: none. Hex. */
  kept(): { pairKey: string; pairId: string } | null {
    const found = parseKeyFile(this.#read(this.#keyFile));
    return found?.pairId ? { pairKey: found.pairKey, pairId: found.pairId } : null;
  }

  /** Of a key that waits for the partner's proof. */
  #pendingPairId(): string | null {
    return parseKeyFile(this.#read(pendingFileOf(this.#keyFile)))?.pairId ?? null;
  }

  /** Which pair this is: kept here, kept there, or a fresh one. Null: the other one is not known. */
  pairIdFor(coServer: 'A' | 'B', identity: string, partner: Beacon | null): string | null {
    const kept = this.kept()?.pairId ?? this.#pendingPairId();
    if (kept !== null) return kept;
    if (!partner) return this.#wish?.pairId ?? null;
    if (partner.pairId !== NO_IDENTITY) return partner.pairId;
    return coServer === 'A' ? freshPairId(identity, partner.identity) : freshPairId(partner.identity, identity);
  }

  /** Null: nothing is to be paired now. Does nothing when it is as wished already. */
  wish(wish: PairingWish | null): void {
    if (JSON.stringify(wish) === JSON.stringify(this.#wish)) return;
    this.close();
    this.#wish = wish;
    if (!wish) return;
    const kept = this.kept();
    const pairKey = kept?.pairId === wish.pairId ? kept.pairKey : null;
    if (pairKey === null && loadPending(this.#keyFile, wish.pairId) === null) rmSync(pendingFileOf(this.#keyFile), { force: true });
    this.#host = startPairing({ ...wish, keyFile: this.#keyFile, pairKey });
    this.#host.onChange(this.#onChange);
  }

  view(): PairingView | null {
    return this.#host?.view() ?? null;
  }

  confirm(code: string): void {
    this.#host?.confirm(code);
  }

  differ(): void {
    this.#host?.differ();
  }

  /** What this server says of its code under the secret; NO_PROOF: nothing. */
  proof(secret: string): string {
    const view = this.view();
    return secret === '' || !view?.code ? NO_PROOF : proofOf(secret, view.pairId, view.coServer, view.code);
  }

  /** The secret compares the codes: 'same' has confirmed. */
  compare(secret: string, proof: string): 'same' | 'another' | 'nothing' {
    const view = this.view();
    if (secret === '' || view?.phase !== 'code' || view.code === null || proof === NO_PROOF) return 'nothing';
    if (!isProof(proof, secret, view.pairId, view.coServer === 'A' ? 'B' : 'A', view.code)) return 'another';
    this.confirm(view.code);
    return 'same';
  }

  forget(): void {
    this.close();
    for (const file of [this.#keyFile, pendingFileOf(this.#keyFile)]) rmSync(file, { force: true });
  }

  close(): void {
    this.#host?.close();
    this.#host = null;
    this.#wish = null;
  }

  #read(file: string): string {
    try {
      return readFileSync(file, 'utf8');
    } catch {
      return '';
    }
  }
}
