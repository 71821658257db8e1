// The gate's data path with lockstep: joins the pure core (lockstep/) to the engine, the LAN and the partner. Only wiring, and
// batching: frames go through the core one by one and come out as ranges of the batches they came in.
import { randomInt } from 'node:crypto';
import type { Channel } from '../../drivers/link/index.ts';
import { RpcError } from '../wire/rpc.ts';
import type { GateEvents, GateMode } from './api.ts';
import { FrameCollector, forEachFrame } from './frame-collector.ts';
import { InputRecorder } from './input-recorder.ts';
import { PASS_LIMIT_BYTES, RELEASE_LIMIT_BYTES } from './lan-output.ts';
import type { HoldLimits, PrimaryMessage, PrimaryPorts, PrimaryStatistics, ReleasedBy, SecondaryStatistics } from './lockstep/api.ts';
import { LockstepPrimary } from './lockstep/primary.ts';
import { isForProbe } from './lockstep/probe-frames.ts';
import { PROBE_LIMIT_MS } from './lockstep/probe-question.ts';
import { type ProbeStatistics, Probes } from './lockstep/probes.ts';
import { LockstepSecondary } from './lockstep/secondary.ts';
import { decodeLockstep, encodeLockstep, outputsHeader } from './partner-lockstep.ts';

/** While something is held, its age is looked at this often: small against DATA_HOLD_MS, large against a wake-up. */
const LOOK_EVERY_MS = 5;

/** The primary's gate says it before its guest is stopped; the guest's memory, on another stream, takes far longer. */
const BEGIN_WITHIN_MS = 2000;

/** A question's next step is looked for no closer than this, and no later than that: a question may come nearer meanwhile. */
const PROBE_STEP_MS = 5;
const PROBE_LOOK_MS = 50;

/** The channel is a queue of its own: this much more of the replica's output than it takes is not worth having. */
const OUTPUTS_AT_ONCE_BYTES = 64 * 1024;

export interface LockstepPathParts {
  channel: Channel;
  interval: { readonly current: number };
  holdLimits: HoldLimits | undefined;
  /** Of GateSetup. */
  slowness: number;
  nowMs(): number;
  /** The guest's own addresses; null: no MAC is known. */
  guest(): { mac: Buffer; ipv4: readonly Buffer[]; ipv6: readonly Buffer[] } | null;
  toLan(batch: Buffer, frames: number, limitBytes: number): void;
  toEngine(batch: Buffer, frames: number): void;
  emit<K extends keyof GateEvents & string>(name: K, data: GateEvents[K]): void;
  problem(message: string): void;
}

export class LockstepPath {
  readonly #parts: LockstepPathParts;
  readonly #recorder: InputRecorder;
  #primary: LockstepPrimary;
  #secondary: LockstepSecondary;
  readonly #probes: Probes;
  #probeTimer: NodeJS.Timeout | null = null;
  #inSession = false;
  /** The stream to the partner had a gap in this session: nothing is compared any more. */
  #comparisonLost = false;
  /** Secondary: the primary's `begin` has come since standby was entered. */
  #begun = Promise.withResolvers<void>();
  #timer: NodeJS.Timeout | null = null;
  readonly #lan: Record<'pass' | 'release', FrameCollector>;
  readonly #engine: FrameCollector;
  readonly #inputs: FrameCollector;
  readonly #outputs: FrameCollector;
  #inputRuns: Buffer[] = [];
  #inputFrames = 0;
  #inputBytes = 0;
  #outputRuns: Buffer[] = [];
  #outputBytes = 0;
  /** Of the outputs that wait to be sent. */
  #outputTag: { session: number; interval: number } = { session: 0, interval: 0 };
  #congested = false;
  /** The replica's frames that the channel had no room for. */
  skippedOutputs = 0;

  constructor(parts: LockstepPathParts) {
    this.#parts = parts;
    this.#recorder = new InputRecorder(parts.channel, 0);
    this.#lan = {
      pass: new FrameCollector((batch, frames) => parts.toLan(batch, frames, PASS_LIMIT_BYTES)),
      release: new FrameCollector((batch, frames) => parts.toLan(batch, frames, RELEASE_LIMIT_BYTES)),
    };
    this.#engine = new FrameCollector((batch, frames) => parts.toEngine(batch, frames));
    this.#inputs = new FrameCollector((batch, frames) => {
      this.#inputRuns.push(batch);
      this.#inputFrames += frames;
      this.#inputBytes += batch.length;
    });
    this.#outputs = new FrameCollector((batch) => {
      this.#outputRuns.push(batch);
      this.#outputBytes += batch.length;
    });
    this.#probes = new Probes({
      ask: (frame) => this.#primary.fromLan(frame, parts.interval.current),
      ended: (end) => parts.emit('probed', end),
      guest: () => parts.guest(),
      lost: () => this.unrecordedFrames,
      limitMs: PROBE_LIMIT_MS * parts.slowness,
    });
    this.#primary = this.#makePrimary();
    this.#secondary = this.#makeSecondary();
    const free = (): void => {
      this.#congested = false;
    };
    parts.channel.on('drain', free);
    parts.channel.on('reset', () => {
      free();
      if (!this.#inSession || this.#comparisonLost) return;
      // What the partner knows of new connections has a gap: it must not be built on.
      this.#comparisonLost = true;
      this.#primary.setComparing(false, parts.nowMs());
      const reason = 'the network stream to the partner was interrupted: nothing is compared until the next protection';
      parts.problem(reason);
      parts.emit('comparisonLost', { interval: parts.interval.current, reason });
    });
  }

  /** Answers to the gate's own questions: for nobody else. */
  isForProbe(bytes: Buffer, at: number = 0, length: number = bytes.length): boolean {
    const { session } = this.#probes;
    return session !== null && isForProbe(bytes, session, at, length);
  }

  get unrecordedFrames(): number {
    return this.#recorder.skippedFrames;
  }

  #makePrimary(): LockstepPrimary {
    const ports: PrimaryPorts = {
      release: (frame, by) => this.#release(frame, by),
      feed: (frame) => this.#engine.add(frame),
      toPartner: (message) => this.#tell(message),
      wantCheckpoint: (cause) => this.#parts.emit('checkpointWanted', { interval: this.#parts.interval.current, cause }),
    };
    return new LockstepPrimary(ports, this.#parts.holdLimits);
  }

  #makeSecondary(): LockstepSecondary {
    return new LockstepSecondary({
      feed: (frame) => this.#engine.add(frame),
      toPartner: ({ session, interval, frame }) => this.#tellOutput(session, interval, frame),
    });
  }

  // --- modes ---

  /** @param from Where the gate comes from; what may be held was looked at by the gate. */
  enter(mode: GateMode, from: GateMode): void {
    const now = this.#parts.nowMs();
    switch (mode) {
      case 'closed':
      case 'standby':
        // The guest here is gone, and its connections with it.
        this.#primary = this.#makePrimary();
        this.#probes.end();
        this.#inSession = false;
        // What an earlier primary began is over.
        this.#secondary = this.#makeSecondary();
        this.#begun = Promise.withResolvers<void>();
        break;
      case 'solo':
        this.#primary.freeze(false, now);
        this.#primary.end();
        this.#probes.end();
        this.#inSession = false;
        break;
      case 'frozen':
        this.#primary.freeze(true, now);
        this.#probes.freeze(true, now);
        break;
      case 'holding':
      case 'lockstep':
        if (!this.#inSession) {
          this.#inSession = true;
          this.#comparisonLost = false;
          const session = randomInt(1, 2 ** 32);
          this.#primary.begin(session);
          this.#probes.begin(session, now);
        }
        this.#primary.setComparing(mode === 'lockstep' && !this.#comparisonLost, now);
        if (from === 'frozen') {
          this.#primary.freeze(false, now);
          this.#probes.freeze(false, now);
        }
        break;
      default:
        mode satisfies never;
    }
    this.#flush();
  }

  /** Secondary: the primary's base is known here. Rejects when it does not come. */
  async begun(): Promise<void> {
    const limit = Promise.withResolvers<never>();
    const withinMs = BEGIN_WITHIN_MS * this.#parts.slowness;
    const timer = setTimeout(() => {
      const detail = `the partner's gate has not begun a session within ${withinMs} ms: is its mode lockstep, and does the network stream work?`;
      limit.reject(new RpcError(detail, 'NO_BEGIN'));
    }, withinMs);
    await Promise.race([this.#begun.promise, limit.promise]).finally(() => clearTimeout(timer));
  }

  guestStopped(): void {
    this.#primary.guestStopped();
  }

  // --- frames ---

  fromGuest(batch: Buffer): void {
    const interval = this.#parts.interval.current;
    const now = this.#parts.nowMs();
    this.#probes.observe(interval, now);
    forEachFrame(batch, (frame) => {
      if (this.isForProbe(frame)) this.#probes.primaryAnswered(frame, now);
      else {
        this.#probes.guestSent(frame, now);
        this.#primary.fromGuest(frame, interval, now);
      }
    });
    this.#flush();
  }

  fromReplica(batch: Buffer): void {
    forEachFrame(batch, (frame) => this.#secondary.fromReplica(frame));
    this.#flush();
  }

  /** Ranges of whole frames for the guest. */
  fromLan(runs: readonly Buffer[]): void {
    const interval = this.#parts.interval.current;
    this.#primary.observe(interval);
    for (const run of runs) forEachFrame(run, (frame) => this.#primary.fromLan(frame, interval));
    this.#flush();
  }

  inputsFromPartner(interval: number, batch: Buffer): void {
    forEachFrame(batch, (frame) => this.#secondary.fromPartner({ kind: 'input', interval, frame }));
    this.#flush();
  }

  /** Throws Error naming what is wrong with it. */
  fromPartner(bytes: Buffer): void {
    const message = decodeLockstep(bytes);
    if (message.kind === 'outputs') {
      const { session, interval } = message;
      const now = this.#parts.nowMs();
      forEachFrame(message.batch, (frame) => {
        if (this.isForProbe(frame)) {
          if (session === this.#probes.session) this.#probes.replicaAnswered(frame, interval, now);
        } else this.#primary.fromPartner({ kind: 'output', session, interval, frame }, now);
      });
    } else {
      this.#secondary.fromPartner(message);
      if (message.kind === 'begin') {
        this.#probes.followPartner(message.session);
        this.#begun.resolve();
      }
    }
    this.#flush();
  }

  #release(frame: Buffer, by: ReleasedBy): void {
    const [now, other] = by === 'passed' ? [this.#lan.pass, this.#lan.release] : [this.#lan.release, this.#lan.pass];
    other.flush();
    now.add(frame);
  }

  #tell(message: PrimaryMessage): void {
    if (message.kind === 'input') {
      this.#inputs.add(message.frame);
      return;
    }
    // In order with the inputs.
    this.#flushInputs();
    this.#recorder.flush();
    this.#parts.channel.send(encodeLockstep(message));
  }

  #tellOutput(session: number, interval: number, frame: Buffer): void {
    if (this.#congested || !this.#parts.channel.isUp) {
      this.skippedOutputs++;
      return;
    }
    if (interval !== this.#outputTag.interval || session !== this.#outputTag.session || this.#outputBytes > OUTPUTS_AT_ONCE_BYTES) {
      this.#flushOutputs();
      this.#outputTag = { session, interval };
    }
    this.#outputs.add(frame);
  }

  #flushInputs(): void {
    this.#inputs.flush();
    if (this.#inputFrames === 0) return;
    this.#recorder.record(this.#inputRuns, this.#inputFrames, this.#inputBytes, this.#parts.interval.current);
    this.#inputRuns = [];
    this.#inputFrames = 0;
    this.#inputBytes = 0;
  }

  #flushOutputs(): void {
    this.#outputs.flush();
    if (this.#outputRuns.length === 0) return;
    const { session, interval } = this.#outputTag;
    if (!this.#parts.channel.send(outputsHeader(session, interval), ...this.#outputRuns)) this.#congested = true;
    this.#outputRuns = [];
    this.#outputBytes = 0;
  }

  #flush(): void {
    this.#lan.pass.flush();
    this.#lan.release.flush();
    this.#engine.flush();
    this.#flushInputs();
    this.#flushOutputs();
    this.#armProbes();
    if (this.#timer || !this.#inSession || !this.#primary.isWaiting) return;
    this.#timer = setTimeout(() => this.#look(), LOOK_EVERY_MS);
  }

  #look(): void {
    this.#timer = null;
    this.#primary.tick(this.#parts.nowMs());
    this.#flush();
  }

  #armProbes(): void {
    const due = this.#probes.dueAt();
    if (this.#probeTimer || due === null) return;
    const wait = Math.min(Math.max(due - this.#parts.nowMs(), PROBE_STEP_MS), PROBE_LOOK_MS);
    this.#probeTimer = setTimeout(() => {
      this.#probeTimer = null;
      this.#probes.tick(this.#parts.nowMs());
      this.#flush();
    }, wait);
  }

  // --- checkpoints ---

  /** Primary: nothing leaves by comparison from here to the commit. */
  replied(interval: number): void {
    this.#primary.onReply(interval);
    this.#probes.pause(this.#parts.nowMs());
  }

  /** Secondary: everything that the replica sent in this interval was given to `fromReplica`. */
  replicaStopped(interval: number): void {
    this.#secondary.onStopped(interval);
    this.#flush();
  }

  /** 0: READY passes. */
  replicaLoaded(interval: number): void {
    this.#secondary.onLoaded(interval);
    this.#flush();
  }

  commit(interval: number): void {
    const now = this.#parts.nowMs();
    this.#primary.onCommit(interval, now);
    this.#probes.commit(interval, now);
    this.#flush();
  }

  observe(): void {
    this.#primary.observe(this.#parts.interval.current);
    this.#probes.observe(this.#parts.interval.current, this.#parts.nowMs());
    this.#flush();
  }

  // --- decisions ---

  releaseAll(): number {
    const frames = this.#primary.releaseAll();
    this.#flush();
    return frames;
  }

  dropAll(): number {
    return this.#primary.dropAll();
  }

  /** The gate's mode is solo already. Answers how many inputs were fed. */
  takeOver(): number {
    const { base, fedFrames, late, unseen } = this.#secondary.takeOver();
    this.#primary.importBase(base);
    const now = this.#parts.nowMs();
    for (const frame of unseen) this.#release(frame, 'grant');
    for (const frame of late) this.#primary.fromGuest(frame, 0, now);
    this.#flush();
    return fedFrames;
  }

  oldestMs(): number {
    return this.#primary.oldestMs(this.#parts.nowMs());
  }

  statistics(): { primary: PrimaryStatistics; secondary: SecondaryStatistics; probes: ProbeStatistics } {
    const probes = this.#probes.statistics(this.#parts.nowMs());
    return { primary: this.#primary.statistics(), secondary: this.#secondary.statistics(), probes };
  }
}
