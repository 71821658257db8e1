// One question of the audit, from its first asking to its end: what was asked when, who has answered, how long the other was waited for,
// and what the two answers prove. Pure; when questions are put is decided in probes.ts.
import { clockAdvance, type ProbeAnswer, type ProbeKind } from './probe-frames.ts';

/** Asked again within a question: the channel to the partner skips what it has no room for. */
const ASK_AGAIN_MS = 500;
/** Generous: an emulated replica is slow after each checkpoint. */
export const PROBE_LIMIT_MS = 2000;
/** Between the two questions about the clock: large against its unit of 1 ms, small against an interval. */
export const CLOCK_GAP_MS = 100;
/** A question whose intervals are all too short to be asked twice in one ends after this many. */
const CLOCK_ATTEMPTS = 20;

export type ProbeVerdict = { kind: 'answered'; replicaMs: number } | { kind: 'missing' | 'different' | 'silent'; detail: string };

/** What is due for a question by the passing of time. */
export type QuestionDue = 'ask' | 'ask second' | 'primary silent' | 'replica missing' | null;

export class ProbeQuestion {
  readonly kind: ProbeKind;
  readonly target: Buffer;
  /** In which the replica's answer was sent. */
  replicaInterval: number;
  #askedAt: number;
  /** Answers to asks before this one belong to something earlier. */
  #firstAsk: number;
  #lastAsk: number;
  #asks = 0;
  #primary: ProbeAnswer | null = null;
  #replica: ProbeAnswer | null = null;
  #replicaMs = 0;
  /** The primary has answered since the last commit: so both run. */
  #bothRun = false;
  #waitedForPrimaryMs = 0;
  #waitedForReplicaMs = 0;
  /** clock: what the first of the two said. */
  #first: { primaryMs: number; replicaMs: number; at: number } | null = null;
  #second: 'not yet' | 'waits' | 'asked' = 'not yet';
  #attempts = 1;
  readonly #limitMs: number;

  /** @param nextAsk The number of its first asking. */
  constructor(kind: ProbeKind, target: Buffer, interval: number, nextAsk: number, nowMs: number, limitMs = PROBE_LIMIT_MS) {
    this.#limitMs = limitMs;
    this.kind = kind;
    this.target = target;
    this.replicaInterval = interval;
    this.#askedAt = nowMs;
    this.#firstAsk = nextAsk;
    this.#lastAsk = nextAsk;
  }

  get hasReplica(): boolean {
    return this.#replica !== null;
  }

  get isAnswered(): boolean {
    return this.#replica !== null && this.#primary !== null;
  }

  /** "clock 10.0.0.7" */
  get name(): string {
    const address = this.target.length === 4 ? this.target.join('.') : this.target.toString('hex').replace(/(....)(?=.)/g, '$1:');
    return `${this.kind} ${address}`;
  }

  // --- asking ---

  asked(number: number, nowMs: number): void {
    this.#askedAt = nowMs;
    this.#asks++;
    this.#lastAsk = number;
  }

  /** What was answered to askings before the latest one no longer counts. */
  onlyLatestCounts(): void {
    this.#firstAsk = this.#lastAsk;
  }

  /** Time has passed while both could run: it counts for what was waited for. */
  pass(ms: number): void {
    if (this.#second === 'waits') return;
    if (this.#primary === null) this.#waitedForPrimaryMs += ms;
    else if (this.#replica === null && this.#bothRun) this.#waitedForReplicaMs += ms;
  }

  /** When `due` is to be looked at. @param countedUntil Up to when `pass` has counted. */
  dueAt(countedUntil: number): number {
    if (this.#first && this.#second === 'waits') return this.#first.at + CLOCK_GAP_MS;
    const waited = this.#primary === null ? this.#waitedForPrimaryMs : this.#waitedForReplicaMs;
    return Math.min(this.#askedAt + ASK_AGAIN_MS, countedUntil + this.#limitMs - waited);
  }

  due(nowMs: number): QuestionDue {
    if (this.#first && this.#second === 'waits' && nowMs >= this.#first.at + CLOCK_GAP_MS) return 'ask second';
    if (this.#primary === null && this.#waitedForPrimaryMs >= this.#limitMs) return 'primary silent';
    if (this.#replica === null && this.#waitedForReplicaMs >= this.#limitMs) return 'replica missing';
    return this.#second !== 'waits' && nowMs - this.#askedAt >= ASK_AGAIN_MS ? 'ask' : null;
  }

  /** clock: the second asking follows. */
  beginSecond(): void {
    this.#second = 'asked';
  }

  /** The replica was replaced: it is not known to run before the primary has answered again. */
  replaced(): void {
    this.#bothRun = false;
  }

  /** clock: both looks must be of one interval. False: tried often enough. */
  restart(): boolean {
    if (this.#attempts >= CLOCK_ATTEMPTS) return false;
    this.#attempts++;
    this.#first = null;
    this.#second = 'not yet';
    this.#primary = null;
    this.#replica = null;
    return true;
  }

  // --- answers ---

  /** It answers an earlier question, or was asked before the first look at the clock was over: a slow replica answers all of its askings at once. */
  isStale(answer: ProbeAnswer): boolean {
    if (this.#second === 'waits') return true;
    // ARP and neighbour discovery have no number, but say which address it is about.
    if (answer.ask === null) return !answer.content.endsWith(this.target.toString('hex'));
    return ((this.#lastAsk - answer.ask) & 0xffff) > this.#lastAsk - this.#firstAsk;
  }

  /** Whatever the primary answers: it runs. */
  primarySpoke(bothRun: boolean): void {
    this.#bothRun = bothRun;
  }

  primaryAnswered(answer: ProbeAnswer): void {
    this.#primary = answer;
  }

  replicaAnswered(answer: ProbeAnswer, interval: number, nowMs: number): void {
    this.#replica = answer;
    this.replicaInterval = interval;
    this.#replicaMs = nowMs - this.#askedAt;
  }

  /** Null: an answer is missing, or the clock must be looked at once more. */
  compare(nowMs: number): ProbeVerdict | null {
    const [primary, replica] = [this.#primary, this.#replica];
    if (!primary || !replica) return null;
    if (primary.content !== replica.content) {
      const detail = `${this.name}: the primary answers ${primary.content}, the replica ${replica.content}`;
      return { kind: 'different', detail };
    }
    if (this.kind === 'clock') return this.#compareClocks(primary, replica, nowMs);
    return { kind: 'answered', replicaMs: this.#replicaMs };
  }

  #compareClocks(primary: ProbeAnswer, replica: ProbeAnswer, nowMs: number): ProbeVerdict | null {
    if (primary.clockMs === null || replica.clockMs === null)
      return { kind: 'silent', detail: `${this.name}: the answer has no readable time` };
    if (this.#first === null) {
      this.#first = { primaryMs: primary.clockMs, replicaMs: replica.clockMs, at: nowMs };
      this.#second = 'waits';
      this.#primary = null;
      this.#replica = null;
      return null;
    }
    const primaryMs = clockAdvance(this.#first.primaryMs, primary.clockMs);
    const replicaMs = clockAdvance(this.#first.replicaMs, replica.clockMs);
    // A clock that is set back or forward by hand, between the two, says nothing.
    if (primaryMs >= CLOCK_GAP_MS / 2 && replicaMs >= 0 && replicaMs < CLOCK_GAP_MS / 10) {
      const detail = `${this.name}: the replica's clock went ${replicaMs} ms further while the primary's went ${primaryMs} ms`;
      return { kind: 'different', detail };
    }
    return { kind: 'answered', replicaMs: this.#replicaMs };
  }

  // --- ends without a comparison ---

  primarySilent(): ProbeVerdict {
    return { kind: 'silent', detail: `${this.name}: the primary does not answer` };
  }

  replicaMissing(): ProbeVerdict {
    const waited = `within ${this.#limitMs} ms of its running time, asked ${this.#asks} times`;
    return { kind: 'missing', detail: `${this.name}: the primary answers, the replica does not ${waited}` };
  }

  notHeard(): ProbeVerdict {
    return { kind: 'silent', detail: `${this.name}: the stream between the CoServers was full, the replica may not have been asked` };
  }

  intervalsTooShort(): ProbeVerdict {
    return { kind: 'silent', detail: `${this.name}: the intervals are too short to see it move` };
  }
}
