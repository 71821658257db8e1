// What a watchdog is to its user: a clock outside of this process that resets the machine unless it is told to go on.

export interface Watchdog {
  /** The time-out in force, as the device says it; it may differ from what was asked. */
  readonly timeoutMs: number;
  /** False: the clock cannot be stopped any more (`nowayout`): it must be renewed until the machine goes off. */
  readonly canStop: boolean;
  /** The clock begins again. Never throws: what went wrong is told by `onLost`, and the clock runs on. */
  renew(): void;
  /** Stops the clock and lets go of the device. Rejects when it could not be stopped: then it runs on. */
  disarm(): Promise<void>;
  /** Lets go of the device as a process does that dies: the clock runs on. */
  close(): void;
}

export interface WatchdogOptions {
  /** `/dev/watchdog`, `/dev/watchdog0`..., or `unix:/path`: a stand-in where there is no hardware (README.md). */
  device: string;
  timeoutMs: number;
  /** The device is gone or refuses to be renewed. The clock runs on. */
  onLost: (error: Error) => void;
}

/** The calls to the kernel, so that tests can put a machine of their own below. */
export interface WatchdogKernel {
  open(path: string): number;
  /** Changes the buffer in place. Throws with `code`. */
  ioctl(descriptor: number, request: number, buffer: Buffer): number;
  write(descriptor: number, bytes: Buffer): void;
  close(descriptor: number): void;
  /** Text of a small file; throws when there is none. */
  read(path: string): string;
}
