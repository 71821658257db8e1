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
import { type ProbeAnswer, type ProbeKind, readProbeAnswer } from './probe-frames.ts';
import { ProbeQuestion, type ProbeVerdict } from './probe-question.ts';
import { type ProbedGuest, ProbeTargets } from './probe-targets.ts';

/** Until the first answer of a session: nobody says "protected" before it. */
export const PROBE_FIRST_PACE_MS = 200;
/** Afterwards, for each kind of question: small against the time that a broken replica may stay unnoticed. */
export const PROBE_PACE_MS = 2000;

export type ProbeEnd = { probe: ProbeKind; interval: number } & ProbeVerdict;

export interface ProbePorts {
  /** To both guests, as any input. */
  ask(frame: Buffer): void;
  ended(end: ProbeEnd): void;
  /** Null: no MAC is known. */
  guest(): ProbedGuest | null;
  /** Inputs, questions among them, and the replica's words that did not fit into the stream so far: whoever was not asked is not to blame. */
  lost(): number;
  /** How long an answer is waited for, ms of running time. Default: PROBE_LIMIT_MS. */
  limitMs?: number;
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

interface Course {
  kind: ProbeKind;
  nextAt: number;
  /** Which of the guest's addresses is asked for: the next one after silence. */
  turn: number;
  question: ProbeQuestion | null;
  /** The last one was missed: the replica may have had to look for the peer first. Missed again, it counts. */
  doubted: boolean;
  /** ProbePorts.lost when the question was put. */
  lostBefore: number;
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
    this.#courses = KINDS.map((kind) => ({ kind, nextAt: nowMs, turn: 0, question: null, doubted: false, lostBefore: 0 }));
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
      q.replaced();
      if (course.kind === 'clock') this.#restartClock(course, q, nowMs);
      else if (!q.isAnswered) this.#ask(q, nowMs);
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
    for (const { nextAt, question } of this.#courses) due = Math.min(due, question ? question.dueAt(this.#lastAt) : nextAt);
    return Number.isFinite(due) ? due : null;
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

  #look(course: Course, q: ProbeQuestion, nowMs: number): void {
    const due = q.due(nowMs);
    switch (due) {
      case 'ask':
        this.#ask(q, nowMs);
        return;
      case 'ask second':
        q.beginSecond();
        this.#ask(q, nowMs);
        q.onlyLatestCounts();
        return;
      case 'primary silent':
        this.#end(course, q.primarySilent(), nowMs);
        return;
      case 'replica missing':
        this.#missed(course, q, nowMs);
        return;
      case null:
        return;
      default:
        due satisfies never;
    }
  }

  #missed(course: Course, q: ProbeQuestion, nowMs: number): void {
    if (this.#ports.lost() !== course.lostBefore) {
      this.#end(course, q.notHeard(), nowMs);
      return;
    }
    const mustFindPeer = course.kind === 'echo' || course.kind === 'clock';
    if (mustFindPeer && !course.doubted) {
      course.doubted = true;
      course.question = null;
      course.nextAt = nowMs;
      this.#targets.forgetPeer();
      return;
    }
    this.#end(course, q.replicaMissing(), nowMs);
  }

  #open(course: Course, nowMs: number): void {
    const target = this.#targetOf(course);
    if (!target) {
      course.nextAt = nowMs + this.#paceMs;
      return;
    }
    const q = new ProbeQuestion(course.kind, target, this.#interval, this.#asks + 1, nowMs, this.#ports.limitMs);
    course.question = q;
    course.lostBefore = this.#ports.lost();
    this.#totals.sent++;
    this.#ask(q, nowMs);
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

  #ask(q: ProbeQuestion, nowMs: number): void {
    const ask = ++this.#asks;
    q.asked(ask, nowMs);
    const mac = this.#ports.guest()?.mac;
    if (!mac || this.#session === null) return;
    const frame = this.#targets.question(q.kind, this.#session, ask, mac, q.target);
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
    q.primarySpoke(this.#running);
    if (q.isStale(answer)) return;
    if (answer.kind === 'arp' || answer.kind === 'neighbour') this.#targets.own(q.target);
    q.primaryAnswered(answer);
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
    if (q.isStale(answer) || (course.kind === 'clock' && interval !== this.#interval)) return;
    q.replicaAnswered(answer, interval, nowMs);
    this.#compare(course, q, nowMs);
  }

  #read(frame: Buffer): ProbeAnswer | null {
    return this.#active && this.#session !== null ? readProbeAnswer(frame, this.#session) : null;
  }

  #questionFor(answer: ProbeAnswer): { course: Course; q: ProbeQuestion } | null {
    const course = this.#courses.find((c) => c.kind === answer.kind);
    const q = course?.question;
    return course && q ? { course, q } : null;
  }

  #compare(course: Course, q: ProbeQuestion, nowMs: number): void {
    const verdict = q.compare(nowMs);
    if (verdict) this.#end(course, verdict, nowMs);
  }

  #restartClock(course: Course, q: ProbeQuestion, nowMs: number): void {
    if (!q.restart()) {
      this.#end(course, q.intervalsTooShort(), nowMs);
      return;
    }
    this.#ask(q, nowMs);
    q.onlyLatestCounts();
  }

  #end(course: Course, end: ProbeVerdict, nowMs: number): void {
    const interval = course.question?.hasReplica ? course.question.replicaInterval : this.#interval;
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
    for (const { question } of this.#courses) question?.pass(passed);
  }

  statistics(nowMs: number): ProbeStatistics {
    const { sent, answered, missing, different, silent } = this.#totals;
    return { sent, answered, missing, different, silent, lastAnsweredMsAgo: this.#answeredAt === null ? null : nowMs - this.#answeredAt };
  }
}
