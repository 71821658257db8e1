// The audit by questions: the same question is put to both guests, in order with all other inputs, and their answers are compared. Pure.
//
//   idle --pace--> asked --both answered--> answered | different
//                    |    primary only, LIMIT of the replica's running time --> missing
//                    |    nobody, LIMIT --> silent: what the primary does not answer is not demanded of the replica
//                    `-- a commit meanwhile: the replica was replaced by a state in which the question may be answered; asked again
//
// The replica's time counts from the primary's answer in the same interval (then both run) to the next REPLY. So a checkpoint's pause
// and its loading never count, and a replica that is broken only between two checkpoints must miss the question in many of them.
//
// A clock that stands still: asked twice within one interval, the second time when both have answered the first. Whatever the
// delays, a running clock must have moved by what passed between the two. Where intervals are too short for that, it cannot be told.
import { clockAdvance, type ProbeAnswer, type ProbeKind, readProbeAnswer } from './probe-frames.ts';
import { type ProbedGuest, ProbeTargets } from './probe-targets.ts';

/** Until the first answer of a session: nobody says "protected" before it. */
export const PROBE_FIRST_PACE_MS = 200;
/** Afterwards, for each kind of question: small against the time that a broken replica may stay unnoticed. */
export const PROBE_PACE_MS = 2000;
/** Generous: an emulated replica is slow after each checkpoint. */
export const PROBE_LIMIT_MS = 2000;
/** Asked again within a question: the channel to the partner skips what it has no room for. */
const ASK_AGAIN_MS = 500;
/** Between the two questions about the clock: large against its unit of 1 ms, small against an interval. */
export const CLOCK_GAP_MS = 100;
/** A question whose intervals are all too short to be asked twice in one ends after this many. */
const CLOCK_ATTEMPTS = 20;
export type ProbeEnd = { probe: ProbeKind; interval: number } & (
  | { kind: 'answered'; replicaMs: number }
  | { kind: 'missing' | 'different' | 'silent'; detail: string }
);

export interface ProbePorts {
  /** To both guests, as any input. */
  ask(frame: Buffer): void;
  ended(end: ProbeEnd): void;
  /** Null: no MAC is known. */
  guest(): ProbedGuest | null;
}

export interface ProbeStatistics {
  sent: number;
  answered: number;
  missing: number;
  different: number;
  silent: number;
  /** Since the last `answered`; null: none in this session. */
  lastAnsweredMsAgo: number | null;
}

interface Question {
  target: Buffer;
  askedAt: number;
  /** Answers to asks before this one belong to something earlier. */
  firstAsk: number;
  asks: number;
  lastAsk: number;
  primary: ProbeAnswer | null;
  replica: ProbeAnswer | null;
  replicaInterval: number;
  replicaMs: number;
  /** The primary has answered since the last commit: so both run. */
  bothRun: boolean;
  waitedForPrimaryMs: number;
  waitedForReplicaMs: number;
  /** clock: what the first of the two said. */
  first: { primaryMs: number; replicaMs: number; at: number } | null;
  second: 'not yet' | 'waits' | 'asked';
  attempts: number;
}

interface Course {
  kind: ProbeKind;
  nextAt: number;
  /** Which of the guest's addresses is asked for: the next one after silence. */
  turn: number;
  question: Question | null;
  /** The last one was missed: the replica may have had to look for the peer first. Missed again, it counts. */
  doubted: boolean;
}

const KINDS: readonly ProbeKind[] = ['arp', 'neighbour', 'echo', 'clock'];

export class Probes {
  readonly #ports: ProbePorts;
  /** Of the latest session; its answers are not for the LAN, also when it is over. */
  #session: number | null = null;
  #active = false;
  /** Both may run: not between REPLY and commit, not while nobody has decided. */
  #running = false;
  #frozen = false;
  #interval = 0;
  #asks = 0;
  #courses: Course[] = [];
  readonly #targets = new ProbeTargets();
  #lastAt = 0;
  #answeredAt: number | null = null;
  readonly #totals = { sent: 0, answered: 0, missing: 0, different: 0, silent: 0 };

  constructor(ports: ProbePorts) {
    this.#ports = ports;
  }

  get session(): number | null {
    return this.#session;
  }

  /** This side's guest will be asked. */
  begin(session: number, nowMs: number): void {
    this.#session = session;
    this.#active = true;
    this.#running = false;
    this.#frozen = false;
    this.#interval = 0;
    this.#targets.begin();
    this.#answeredAt = null;
    this.#lastAt = nowMs;
    this.#courses = KINDS.map((kind) => ({ kind, nextAt: nowMs, turn: 0, question: null, doubted: false }));
  }

  /** The partner asks: what answers it is not for the LAN, also after a takeover. */
  followPartner(session: number): void {
    this.#session = session;
    this.#active = false;
  }

  end(): void {
    this.#active = false;
    this.#courses = [];
  }

  /** The primary's counter, as it was read: questions are asked from interval 1 on. */
  observe(interval: number, nowMs: number): void {
    if (!this.#active || interval < 1 || this.#interval > 0) return;
    this.#interval = interval;
    this.#resume(nowMs);
  }

  /** Nobody has decided: the partner may be gone. */
  freeze(on: boolean, nowMs: number): void {
    this.#frozen = on;
    if (on) this.pause(nowMs);
    else if (this.#active && this.#interval > 0) this.#resume(nowMs);
  }

  /** REPLY passes: the replica stands still, and will be replaced. */
  pause(nowMs: number): void {
    if (!this.#active) return;
    this.#pass(nowMs);
    this.#running = false;
  }

  /** The partner owns this interval. */
  commit(interval: number, nowMs: number): void {
    if (!this.#active) return;
    this.#interval = interval + 1;
    if (!this.#frozen) this.#resume(nowMs);
  }

  #resume(nowMs: number): void {
    this.#pass(nowMs);
    this.#running = true;
    for (const course of this.#courses) {
      const q = course.question;
      if (!q) continue;
      q.bothRun = false;
      if (course.kind === 'clock') this.#restartClock(course, q, nowMs);
      else if (q.replica === null || q.primary === null) this.#ask(course, q, nowMs);
    }
    this.tick(nowMs);
  }

  // --- asking ---

  /** A frame of the guest that is asked: whom it can reach. */
  guestSent(frame: Buffer, nowMs: number): void {
    if (this.#active) this.#targets.guestSent(frame, nowMs);
  }

  /** When `tick` is due; null: not before something else happens. */
  dueAt(): number | null {
    if (!this.#active || !this.#running) return null;
    let due = Number.POSITIVE_INFINITY;
    for (const { nextAt, question } of this.#courses) due = Math.min(due, question ? this.#questionDueAt(question) : nextAt);
    return Number.isFinite(due) ? due : null;
  }

  #questionDueAt(q: Question): number {
    if (q.first && q.second === 'waits') return q.first.at + CLOCK_GAP_MS;
    const waited = q.primary === null ? q.waitedForPrimaryMs : q.waitedForReplicaMs;
    return Math.min(q.askedAt + ASK_AGAIN_MS, this.#lastAt + PROBE_LIMIT_MS - waited);
  }

  tick(nowMs: number): void {
    if (!this.#active || this.#session === null) return;
    this.#pass(nowMs);
    if (!this.#running) return;
    for (const course of this.#courses) {
      const q = course.question;
      if (q) this.#look(course, q, nowMs);
      else if (nowMs >= course.nextAt) this.#open(course, nowMs);
    }
  }

  #look(course: Course, q: Question, nowMs: number): void {
    if (q.first && q.second === 'waits' && nowMs >= q.first.at + CLOCK_GAP_MS) {
      q.second = 'asked';
      this.#ask(course, q, nowMs);
      q.firstAsk = q.lastAsk;
    } else if (q.primary === null && q.waitedForPrimaryMs >= PROBE_LIMIT_MS)
      this.#end(course, { kind: 'silent', detail: `${describe(course.kind, q.target)}: the primary does not answer` }, nowMs);
    else if (q.replica === null && q.waitedForReplicaMs >= PROBE_LIMIT_MS) this.#missed(course, q, nowMs);
    else if (q.second !== 'waits' && nowMs - q.askedAt >= ASK_AGAIN_MS) this.#ask(course, q, nowMs);
  }

  #missed(course: Course, q: Question, nowMs: number): void {
    const mustFindPeer = course.kind === 'echo' || course.kind === 'clock';
    if (mustFindPeer && !course.doubted) {
      course.doubted = true;
      course.question = null;
      course.nextAt = nowMs;
      this.#targets.forgetPeer();
      return;
    }
    const waited = `within ${PROBE_LIMIT_MS} ms of its running time, asked ${q.asks} times`;
    this.#end(
      course,
      { kind: 'missing', detail: `${describe(course.kind, q.target)}: the primary answers, the replica does not ${waited}` },
      nowMs,
    );
  }

  #open(course: Course, nowMs: number): void {
    const target = this.#targetOf(course);
    if (!target) {
      course.nextAt = nowMs + this.#paceMs;
      return;
    }
    const q: Question = {
      target,
      askedAt: nowMs,
      firstAsk: this.#asks + 1,
      lastAsk: this.#asks + 1,
      asks: 0,
      primary: null,
      replica: null,
      replicaInterval: this.#interval,
      replicaMs: 0,
      bothRun: false,
      waitedForPrimaryMs: 0,
      waitedForReplicaMs: 0,
      first: null,
      second: 'not yet',
      attempts: 1,
    };
    course.question = q;
    this.#totals.sent++;
    this.#ask(course, q, nowMs);
  }

  get #paceMs(): number {
    return this.#answeredAt === null ? PROBE_FIRST_PACE_MS : PROBE_PACE_MS;
  }

  #targetOf(course: Course): Buffer | null {
    const guest = this.#ports.guest();
    if (!guest) return null;
    const list = this.#targets.candidates(course.kind, guest);
    return list[course.turn % list.length] ?? null;
  }

  #ask(course: Course, q: Question, nowMs: number): void {
    q.askedAt = nowMs;
    q.asks++;
    q.lastAsk = ++this.#asks;
    const mac = this.#ports.guest()?.mac;
    if (!mac || this.#session === null) return;
    const frame = this.#targets.question(course.kind, this.#session, q.lastAsk, mac, q.target);
    if (frame) this.#ports.ask(frame);
  }

  // --- answers ---

  /** A frame of the guest that is asked. */
  primaryAnswered(frame: Buffer, nowMs: number): void {
    const answer = this.#read(frame);
    const found = answer && this.#questionFor(answer);
    if (!answer || !found) return;
    this.#pass(nowMs);
    const { course, q } = found;
    q.bothRun = this.#running;
    if (this.#isStale(q, answer)) return;
    if (answer.kind === 'arp' || answer.kind === 'neighbour') this.#targets.own(q.target);
    q.primary = answer;
    this.#compare(course, q, nowMs);
  }

  /** A frame of the replica, sent in this interval. */
  replicaAnswered(frame: Buffer, interval: number, nowMs: number): void {
    const answer = this.#read(frame);
    const found = answer && this.#questionFor(answer);
    if (!answer || !found) return;
    this.#pass(nowMs);
    const { course, q } = found;
    // Its state was replaced meanwhile: two looks at the clock must be of one interval.
    if (this.#isStale(q, answer) || (course.kind === 'clock' && interval !== this.#interval)) return;
    q.replica = answer;
    q.replicaInterval = interval;
    q.replicaMs = nowMs - q.askedAt;
    this.#compare(course, q, nowMs);
  }

  #read(frame: Buffer): ProbeAnswer | null {
    return this.#active && this.#session !== null ? readProbeAnswer(frame, this.#session) : null;
  }

  #questionFor(answer: ProbeAnswer): { course: Course; q: Question } | null {
    const course = this.#courses.find((c) => c.kind === answer.kind);
    const q = course?.question;
    return course && q ? { course, q } : null;
  }

  /** It answers an earlier question, or was asked before the first look at the clock was over. */
  #isStale(q: Question, answer: ProbeAnswer): boolean {
    // ARP and neighbour discovery have no number, but say which address it is about.
    if (answer.ask === null) return !answer.content.endsWith(q.target.toString('hex'));
    return ((q.lastAsk - answer.ask) & 0xffff) > q.lastAsk - q.firstAsk;
  }

  #compare(course: Course, q: Question, nowMs: number): void {
    const { primary, replica } = q;
    if (!primary || !replica) return;
    if (primary.content !== replica.content) {
      const detail = `${describe(course.kind, q.target)}: the primary answers ${primary.content}, the replica ${replica.content}`;
      this.#end(course, { kind: 'different', detail }, nowMs);
    } else if (course.kind === 'clock') this.#compareClocks(course, q, primary, replica, nowMs);
    else this.#end(course, { kind: 'answered', replicaMs: q.replicaMs }, nowMs);
  }

  #compareClocks(course: Course, q: Question, primary: ProbeAnswer, replica: ProbeAnswer, nowMs: number): void {
    if (primary.clockMs === null || replica.clockMs === null) {
      this.#end(course, { kind: 'silent', detail: `${describe('clock', q.target)}: the answer has no readable time` }, nowMs);
      return;
    }
    if (q.first === null) {
      q.first = { primaryMs: primary.clockMs, replicaMs: replica.clockMs, at: nowMs };
      q.second = 'waits';
      q.primary = null;
      q.replica = null;
      return;
    }
    const primaryMs = clockAdvance(q.first.primaryMs, primary.clockMs);
    const replicaMs = clockAdvance(q.first.replicaMs, replica.clockMs);
    // A clock that is set back or forward by hand, between the two, says nothing.
    if (primaryMs >= CLOCK_GAP_MS / 2 && replicaMs >= 0 && replicaMs < CLOCK_GAP_MS / 10) {
      const detail = `${describe('clock', q.target)}: the replica's clock went ${replicaMs} ms further while the primary's went ${primaryMs} ms`;
      this.#end(course, { kind: 'different', detail }, nowMs);
    } else this.#end(course, { kind: 'answered', replicaMs: q.replicaMs }, nowMs);
  }

  #restartClock(course: Course, q: Question, nowMs: number): void {
    if (q.attempts >= CLOCK_ATTEMPTS) {
      this.#end(course, { kind: 'silent', detail: `${describe('clock', q.target)}: the intervals are too short to see it move` }, nowMs);
      return;
    }
    q.attempts++;
    q.first = null;
    q.second = 'not yet';
    q.primary = null;
    q.replica = null;
    this.#ask(course, q, nowMs);
    q.firstAsk = q.lastAsk;
  }

  #end(
    course: Course,
    end: { kind: 'answered'; replicaMs: number } | { kind: 'missing' | 'different' | 'silent'; detail: string },
    nowMs: number,
  ): void {
    const interval = course.question?.replica ? course.question.replicaInterval : this.#interval;
    course.question = null;
    course.doubted = false;
    this.#totals[end.kind]++;
    if (end.kind === 'answered') this.#answeredAt = nowMs;
    if (end.kind === 'silent') {
      course.turn++;
      if (course.kind === 'echo' || course.kind === 'clock') this.#targets.forgetPeer();
    }
    course.nextAt = nowMs + this.#paceMs;
    this.#ports.ended({ probe: course.kind, interval, ...end });
  }

  /** Time has passed: it counts for what was waited for. */
  #pass(nowMs: number): void {
    const passed = nowMs - this.#lastAt;
    this.#lastAt = nowMs;
    if (!this.#running) return;
    for (const { question: q } of this.#courses) {
      if (!q || q.second === 'waits') continue;
      if (q.primary === null) q.waitedForPrimaryMs += passed;
      else if (q.replica === null && q.bothRun) q.waitedForReplicaMs += passed;
    }
  }

  statistics(nowMs: number): ProbeStatistics {
    const { sent, answered, missing, different, silent } = this.#totals;
    return { sent, answered, missing, different, silent, lastAnsweredMsAgo: this.#answeredAt === null ? null : nowMs - this.#answeredAt };
  }
}

function describe(kind: ProbeKind, target: Buffer): string {
  const address = target.length === 4 ? target.join('.') : target.toString('hex').replace(/(....)(?=.)/g, '$1:');
  return `${kind} ${address}`;
}
