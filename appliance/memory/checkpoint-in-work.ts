// What the primary's side knows of the checkpoint under way, and the report made of it. Times in ms, monotonic.
import type { CheckpointReport } from './api.ts';

export class CheckpointInWork {
  readonly interval: number;
  readonly requestedMs: number;
  /** VMSTATE_SEND was read: the guest is stopped. */
  stoppedMs = 0;
  /** The engine was told that it may go on. */
  resumedMs = 0;
  committedMs = 0;
  pages = 0;
  bytes = 0;
  /** On the links; of the whole row before it begins, then its own. */
  sentBytes = 0;
  deviceStateBytes = 0;
  /** The engine was told that the secondary has stopped. */
  replied = false;
  /** The gate has cut and the interval counter was raised. */
  cutDone = false;
  /** The partner owns the interval. */
  committed = false;
  /** The secondary's engine has loaded it. */
  loaded = false;

  constructor(interval: number, requestedMs: number) {
    this.interval = interval;
    this.requestedMs = requestedMs;
  }

  report(loadedMs: number): CheckpointReport {
    return {
      interval: this.interval,
      totalMs: loadedMs - this.requestedMs,
      pauseMs: this.resumedMs - this.stoppedMs,
      commitMs: this.committedMs - this.requestedMs,
      bytes: this.bytes,
      sentBytes: this.sentBytes,
      pages: this.pages,
      deviceStateBytes: this.deviceStateBytes,
    };
  }
}
