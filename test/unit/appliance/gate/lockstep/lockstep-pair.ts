// Both sides of lockstep joined without a wire: what a rule's test needs to play the guest, its replica and a client by hand.
import type { CheckpointCause, PrimaryMessage, ReleasedBy, SecondaryMessage } from '../../../../../appliance/gate/lockstep/api.ts';
import { LockstepPrimary } from '../../../../../appliance/gate/lockstep/primary.ts';
import { LockstepSecondary } from '../../../../../appliance/gate/lockstep/secondary.ts';
import { describe as describeSound } from './tcp-frames.ts';

function describe(frame: Buffer): string {
  try {
    return describeSound(frame);
  } catch {
    return 'malformed';
  }
}

export class LockstepPair {
  now = 0;
  /** The primary's counter. */
  interval = 0;
  /** What left since it was last asked for, in words. */
  #left: string[] = [];
  leftFrames: Buffer[] = [];
  #fedPrimary: string[] = [];
  #fedReplica: string[] = [];
  readonly by: Record<ReleasedBy, number> = { passed: 0, comparison: 0, commit: 0, grant: 0 };
  readonly wanted: CheckpointCause[] = [];
  readonly toSecondary: PrimaryMessage[] = [];
  readonly toPrimary: SecondaryMessage[] = [];
  /** Messages wait until `carry`. */
  slow = false;
  readonly primary: LockstepPrimary;
  readonly secondary: LockstepSecondary;

  constructor() {
    this.primary = new LockstepPrimary({
      release: (frame, by) => {
        this.#left.push(describe(frame));
        this.leftFrames.push(frame);
        this.by[by]++;
      },
      feed: (frame) => this.#fedPrimary.push(describe(frame)),
      // As a link does: the other side has bytes of its own.
      toPartner: (m) => {
        this.toSecondary.push('frame' in m ? { ...m, frame: Buffer.from(m.frame) } : m);
        if (!this.slow) this.carry();
      },
      wantCheckpoint: (cause) => this.wanted.push(cause),
    });
    this.secondary = new LockstepSecondary({
      feed: (frame) => this.#fedReplica.push(describe(frame)),
      toPartner: (m) => {
        this.toPrimary.push({ ...m, frame: Buffer.from(m.frame) });
        if (!this.slow) this.carry();
      },
    });
  }

  carry(): void {
    while (this.toSecondary.length + this.toPrimary.length > 0) {
      const down = this.toSecondary.shift();
      if (down) this.secondary.fromPartner(down);
      const up = this.toPrimary.shift();
      if (up) this.primary.fromPartner(up, this.now);
    }
  }

  /** Protected from here: interval 1. */
  protect(session = 7): this {
    this.primary.begin(session);
    this.primary.guestStopped();
    this.secondary.onLoaded(0);
    this.interval = 1;
    this.primary.observe(1);
    return this;
  }

  guest(...frames: Buffer[]): void {
    for (const f of frames) this.primary.fromGuest(f, this.interval, this.now);
  }
  replica(...frames: Buffer[]): void {
    for (const f of frames) this.secondary.fromReplica(f);
  }
  both(...frames: Buffer[]): void {
    for (const f of frames) {
      this.guest(Buffer.from(f));
      this.replica(f);
    }
  }
  client(...frames: Buffer[]): void {
    for (const f of frames) this.primary.fromLan(f, this.interval);
  }
  wait(ms: number): void {
    this.now += ms;
    this.primary.tick(this.now);
  }
  reply(): void {
    this.secondary.onStopped(this.interval);
    this.primary.onReply(this.interval);
  }
  checkpoint(): void {
    this.reply();
    this.interval++;
    this.primary.onCommit(this.interval - 1, this.now);
    this.secondary.onLoaded(this.interval - 1);
  }
  /** What left since the last time. */
  get left(): string[] {
    return this.#left.splice(0);
  }
  get fedReplica(): string[] {
    return this.#fedReplica.splice(0);
  }
  get fedPrimary(): string[] {
    return this.#fedPrimary.splice(0);
  }
}
