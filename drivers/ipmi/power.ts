// A server is switched off through its BMC, and that it is off is verified; and the harmless question whether that would work.
//
//   session 1: off now -> read ... until "off"            gap            session 2: read "off" again -> verified
//
// It answers with success in exactly one case: two reads said "off", at least `readGapMs` apart, the second in a session of its own. A BMC
// that acknowledges and does nothing, one that hangs, one that says "off" once and then "on" never get there. One that says "off" twice of a
// running server cannot be found out from here: carrier gone on the direct links is the other half, which the caller asks for.
import { setTimeout as sleep } from 'node:timers/promises';
import { DEFAULT_TIMEOUT_MS, type IpmiSession, openIpmi } from './client.ts';
import type { ChassisStatus, DeviceId } from './messages.ts';
import { type CipherSuite, IpmiError, type IpmiOptions } from './types.ts';

/** Servers are off within some seconds of the command; some BMCs lose their network meanwhile. */
const DEADLINE_MS = 30_000;
/** Longer than a BMC keeps an old reading. */
const READ_GAP_MS = 500;
/** While it still reads "on". */
const POLL_MS = 200;
/** A command that was acknowledged and not carried out is given again. */
const REPEAT_OFF_MS = 5000;
/** Between attempts to open a session with a BMC that has answered before. */
const REOPEN_PAUSE_MS = 200;

export type PowerStepKind =
  | 'opening'
  | 'opened'
  | 'offSent'
  | 'offAcknowledged'
  | 'offRejected'
  | 'readOn'
  | 'readOff'
  /** No answer, or none that says on or off. */
  | 'lost'
  | 'verified'
  | 'failed';

export interface PowerOffStep {
  /** Since the start. */
  atMs: number;
  step: PowerStepKind;
  /** A sentence, where there is more to say. */
  detail?: string;
}

export interface PowerOffEvidence {
  /** The session's GUID of the BMC; its device id, if it told. */
  guid: string;
  device: DeviceId | undefined;
  cipherSuite: CipherSuite;
  /** The two reads that count, since the start. */
  firstOffMs: number;
  secondOffMs: number;
  steps: PowerOffStep[];
}

export type PowerOffReason =
  /** The BMC did not answer at all; nothing was asked of it. */
  | 'unreachable'
  /** The BMC does not accept the credentials, the privilege or the cipher suite; nothing was carried out. */
  | 'refused'
  /** To the end the BMC said "on", or never twice "off". */
  | 'stillOn'
  /** It answered first and then no more, or does not tell its power state: whether the server is off is not known. */
  | 'lost'
  /** The caller's signal. */
  | 'aborted';

export class PowerOffError extends Error {
  readonly reason: PowerOffReason;
  readonly steps: readonly PowerOffStep[];
  constructor(reason: PowerOffReason, message: string, steps: readonly PowerOffStep[]) {
    super(message);
    this.name = 'PowerOffError';
    this.reason = reason;
    this.steps = steps;
  }
}

export interface PowerOffOptions {
  signal?: AbortSignal;
  onStep?: (step: PowerOffStep) => void;
  /** For all of it; 30,000 when left out. */
  deadlineMs?: number;
  /** At least this long between the two reads that count; 500 when left out. */
  readGapMs?: number;
}

export interface PowerReading {
  on: boolean;
  guid: string;
  cipherSuite: CipherSuite;
  chassis: ChassisStatus;
  /** From the first packet to the answer. */
  tookMs: number;
}

/** Is the server on? Changes nothing, and proves all that a power-off needs but the command itself: way, credentials, privilege. Throws an IpmiError. */
export async function readPower(target: IpmiOptions, options: { signal?: AbortSignal } = {}): Promise<PowerReading> {
  const startedMs = performance.now();
  const session = await openIpmi({ ...target, ...(options.signal === undefined ? {} : { signal: options.signal }) });
  try {
    const chassis = await session.chassisStatus();
    const { guid, cipherSuite } = session;
    return { on: chassis.on, guid, cipherSuite, chassis, tookMs: performance.now() - startedMs };
  } finally {
    await session.close();
  }
}

/** Resolves when the server is verified off (see the head of this file). Throws a PowerOffError and nothing else. */
export async function powerOffVerified(target: IpmiOptions, options: PowerOffOptions = {}): Promise<PowerOffEvidence> {
  const startedMs = performance.now();
  const deadline = AbortSignal.timeout(options.deadlineMs ?? DEADLINE_MS);
  const outer = [options.signal, target.signal].filter((s) => s !== undefined);
  const run: Run = {
    target: { ...target, signal: AbortSignal.any([deadline, ...outer]) },
    readGapMs: options.readGapMs ?? READ_GAP_MS,
    steps: [],
    answered: false,
    askedMs: undefined,
    untold: false,
    say: (step, detail) => {
      const entry = { atMs: Math.round(performance.now() - startedMs), step, ...(detail === undefined ? {} : { detail }) };
      run.steps.push(entry);
      options.onStep?.(entry);
    },
  };
  try {
    return await untilOff(run);
  } catch (error) {
    const reason = reasonOf(
      error,
      run,
      outer.some((s) => s.aborted),
    );
    const message = sentence(reason, error, options.deadlineMs ?? DEADLINE_MS);
    run.say('failed', message);
    throw new PowerOffError(reason, message, run.steps);
  }
}

interface Run {
  target: IpmiOptions & { signal: AbortSignal };
  readGapMs: number;
  steps: PowerOffStep[];
  /** A session was open once. */
  answered: boolean;
  /** `performance.now()` of the first question since the last answer; undefined: all is answered. */
  askedMs: number | undefined;
  /** The last question in a session had no answer, or none that says on or off. */
  untold: boolean;
  say: (step: PowerStepKind, detail?: string) => void;
}

async function untilOff(run: Run): Promise<PowerOffEvidence> {
  let session = await open(run);
  let device: DeviceId | undefined;
  let lastOffSentMs = Number.NEGATIVE_INFINITY;
  let firstOffMs: number | undefined;
  try {
    for (;;) {
      try {
        if (firstOffMs === undefined && performance.now() - lastOffSentMs >= REPEAT_OFF_MS) {
          await sendOff(run, session);
          // Only now: one that was lost is given again at once.
          lastOffSentMs = performance.now();
        }
        const { on } = await answer(run, session.chassisStatus());
        run.untold = false;
        run.say(on ? 'readOn' : 'readOff');
        const atMs = lastStepMs(run);
        device ??= await deviceOrNone(run, session);
        if (on) {
          // Also after a first "off": two in a row are needed.
          firstOffMs = undefined;
          await sleep(POLL_MS, undefined, { signal: run.target.signal });
          continue;
        }
        if (firstOffMs !== undefined && atMs - firstOffMs >= run.readGapMs) {
          run.say('verified');
          return { guid: session.guid, device, cipherSuite: session.cipherSuite, firstOffMs, secondOffMs: atMs, steps: run.steps };
        }
        firstOffMs ??= atMs;
        // Steps are in whole milliseconds: one more, so that the gap is there.
        await sleep(run.readGapMs + 1, undefined, { signal: run.target.signal });
        await session.close();
        session = await open(run);
      } catch (error) {
        if (!(error instanceof IpmiError) || !['lost', 'garbled', 'rejected'].includes(error.reason)) throw error;
        run.untold = true;
        run.say('lost', error.message);
        // Without waiting for a BMC that does not answer: to the end it may come back.
        void session.close();
        session = await reopen(run);
      }
    }
  } finally {
    await session.close();
  }
}

function lastStepMs(run: Run): number {
  return run.steps.findLast((s) => s.step === 'readOff' || s.step === 'readOn')?.atMs ?? 0;
}

/** For the record only. */
async function deviceOrNone(run: Run, session: IpmiSession): Promise<DeviceId | undefined> {
  try {
    return await answer(run, session.deviceId());
  } catch (error) {
    if (error instanceof IpmiError && error.reason === 'rejected') return undefined;
    throw error;
  }
}

async function open(run: Run): Promise<IpmiSession> {
  run.say('opening');
  const session = await answer(run, openIpmi(run.target));
  run.answered = true;
  run.say('opened', `${session.name}, cipher suite ${session.cipherSuite}`);
  return session;
}

/** A BMC that has answered before may be on its way back: to the deadline. Wrong credentials do not get better. */
async function reopen(run: Run): Promise<IpmiSession> {
  for (;;) {
    await sleep(REOPEN_PAUSE_MS, undefined, { signal: run.target.signal });
    try {
      return await open(run);
    } catch (error) {
      const comesBack = error instanceof IpmiError && ['unreachable', 'busy', 'lost', 'garbled'].includes(error.reason);
      if (!comesBack) throw error;
      run.say('lost', error.message);
    }
  }
}

async function sendOff(run: Run, session: IpmiSession): Promise<void> {
  run.say('offSent');
  try {
    await answer(run, session.chassisControl('off'));
    run.say('offAcknowledged');
  } catch (error) {
    // Some BMCs reject it of a server that is off already: the reads decide.
    if (!(error instanceof IpmiError) || error.reason !== 'rejected') throw error;
    run.askedMs = undefined;
    run.say('offRejected', error.message);
  }
}

async function answer<T>(run: Run, asked: Promise<T>): Promise<T> {
  run.askedMs ??= performance.now();
  const result = await asked;
  run.askedMs = undefined;
  return result;
}

function reasonOf(error: unknown, run: Run, aborted: boolean): PowerOffReason {
  if (aborted) return 'aborted';
  if (run.target.signal.aborted) {
    if (!run.answered) return 'unreachable';
    if (run.untold) return 'lost';
    // A question that was just asked is no silence yet.
    const silentMs = run.askedMs === undefined ? 0 : performance.now() - run.askedMs;
    return silentMs > (run.target.timeoutMs ?? DEFAULT_TIMEOUT_MS) ? 'lost' : 'stillOn';
  }
  if (!(error instanceof IpmiError)) throw error;
  switch (error.reason) {
    case 'refused':
    case 'cipherSuite':
      return 'refused';
    case 'unreachable':
    case 'busy':
    case 'lost':
    case 'rejected':
    case 'garbled':
    case 'aborted':
      return run.answered ? 'lost' : 'unreachable';
    default: {
      const never: never = error.reason;
      throw new Error(`unknown reason ${String(never)}`);
    }
  }
}

function sentence(reason: PowerOffReason, error: unknown, deadlineMs: number): string {
  switch (reason) {
    case 'stillOn':
      return `the server was not read as off twice within ${deadlineMs} ms`;
    case 'aborted':
      return 'the power-off was given up';
    case 'unreachable':
    case 'refused':
    case 'lost':
      return error instanceof IpmiError && error.reason !== 'aborted' ? error.message : `the BMC did not answer within ${deadlineMs} ms`;
  }
}
