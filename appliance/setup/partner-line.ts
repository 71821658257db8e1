// The line to the other server once there is a key: this server's document out, part by part and again and again, the other's in.
import { randomBytes } from 'node:crypto';
import type { DocumentPart } from './beacon.ts';
import { DocumentInbox, openDocument, partsOf, sealDocument } from './document.ts';
import type { HandOver } from './hand-over.ts';
import { partnerFacts } from './partner-document.ts';
import type { PartnerFacts } from './state.ts';

/** Of a tick and link: a document of 16 parts is whole within two seconds. */
const PARTS_PER_TICK = 2;

export class PartnerLine {
  readonly #identity: string;
  readonly #parse: (value: unknown) => HandOver | null;
  #inbox = new DocumentInbox();
  #key: Buffer | null = null;
  #side: 'A' | 'B' = 'A';
  #told = '';
  #parts: DocumentPart[] = [];
  #next = 0;
  /** As it was last heard; null: never under this key. */
  facts: PartnerFacts | null = null;

  /** @param parse See partnerFacts. */
  constructor(identity: string, parse: (value: unknown) => HandOver | null = () => null) {
    this.#identity = identity;
    this.#parse = parse;
  }

  /** @param pairKey Hex; null: there is none, or none any more. */
  use(side: 'A' | 'B', pairKey: string | null): void {
    if (side === this.#side && pairKey === (this.#key?.toString('hex') ?? null)) return;
    this.#side = side;
    this.#key = pairKey === null ? null : Buffer.from(pairKey, 'hex');
    this.#inbox = new DocumentInbox();
    this.#told = '';
    this.#parts = [];
    this.facts = null;
  }

  /** @param value JSON. */
  tell(value: object): void {
    if (!this.#key) return;
    const text = JSON.stringify(value);
    if (text === this.#told) return;
    this.#told = text;
    this.#parts = partsOf(sealDocument(value, this.#key, this.#side, randomBytes(12)), this.#identity);
    this.#next = 0;
  }

  nextParts(): DocumentPart[] {
    const found: DocumentPart[] = [];
    for (let i = 0; i < Math.min(PARTS_PER_TICK, this.#parts.length); i++) {
      const part = this.#parts[this.#next % this.#parts.length];
      this.#next++;
      if (part) found.push(part);
    }
    return found;
  }

  take(part: DocumentPart): void {
    if (!this.#key || part.identity === this.#identity) return;
    const sealed = this.#inbox.take(part);
    if (!sealed) return;
    const other = this.#side === 'A' ? 'B' : 'A';
    this.facts = partnerFacts(openDocument(sealed, this.#key, other), other, this.#parse) ?? this.facts;
  }
}
