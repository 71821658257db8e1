// What one client counts: operations, bytes, response times, stalls, and everything that must never happen.
import { Histogram } from './histogram.ts';
import { ProgressMeter } from './progress-meter.ts';
import type { ClientKind, Family, Incident } from './protocol.ts';

export class Tally {
  readonly kind: ClientKind;
  readonly family: Family;
  readonly meter = new ProgressMeter();
  readonly latency = new Histogram();
  operations = 0;
  bytes = 0;
  hung = 0;
  broken = 0;
  wrong = 0;
  resent = 0;
  /** Since the last sample. */
  sampleOperations = 0;
  sampleBytes = 0;
  readonly #incident: (incident: Incident) => void;

  constructor(kind: ClientKind, family: Family, incident: (incident: Incident) => void) {
    this.kind = kind;
    this.family = family;
    this.#incident = incident;
  }

  /** One request answered and verified. */
  operation(latencyMs: number): void {
    this.operations++;
    this.sampleOperations++;
    this.latency.add(latencyMs);
  }

  moved(bytes: number): void {
    this.bytes += bytes;
    this.sampleBytes += bytes;
  }

  /** A connection without progress for HUNG_MS. */
  countHung(text: string): void {
    this.hung++;
    this.#report('hung', text);
  }

  /** A connection reset, refused or ended too early; an answer that says error. */
  countBroken(text: string): void {
    this.broken++;
    this.#report('broken', text);
  }

  /** Bytes that are not the bytes that were sent. */
  countWrong(text: string): void {
    this.wrong++;
    this.#report('wrong', text);
  }

  startRound(): void {
    this.meter.startWindow('round');
    this.latency.clear();
    this.operations = this.bytes = this.hung = this.broken = this.wrong = this.resent = 0;
  }

  startSample(): void {
    this.meter.startWindow('sample');
    this.sampleOperations = this.sampleBytes = 0;
  }

  #report(what: Incident['what'], text: string): void {
    this.#incident({ at: Date.now(), kind: this.kind, family: this.family, what, text });
  }
}
