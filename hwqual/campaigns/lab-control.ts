// What a campaign asks of the pair it torments: a lab on one machine, or real servers. Every call either did what it says or
// throws with a sentence that says what is wrong.
import type { ChildProcess } from 'node:child_process';
import type { CoServerName, Snapshot } from '../../appliance/core/snapshot.ts';

export type LinkNumber = 1 | 2;

/** The pictures that the CoServers give of themselves; null: none answered within a second (powered off, frozen, starting). */
export type PairStatus = Record<CoServerName, Snapshot | null>;

/**
 * Where in a checkpoint a power failure can be asked for, in the order of the memory stream (appliance/memory/README.md). `pages` and
 * `deviceState` are cut at a byte, `commit` lies between the commit and LOADED, `loaded` just behind it.
 */
export const CHECKPOINT_PHASES = ['request', 'reply', 'pages', 'deviceState', 'received', 'commit', 'loaded'] as const;
export type CheckpointPhase = (typeof CHECKPOINT_PHASES)[number];

/** Ways in which a replica can be broken while its engine lives. */
export const BREAKS = ['garbage', 'byte', 'stuck'] as const;
export type Break = (typeof BREAKS)[number];

/**
 * Other disks that a CoServer may find in the place of its own: another one with something on it, one with another pair's record, its own
 * one half as long, and that one in full length again, with nothing in the half that was lost.
 */
export const DISK_SWAPS = ['otherDisk', 'otherPair', 'shrunk', 'grown'] as const;
export type DiskSwap = (typeof DISK_SWAPS)[number];

export interface CommandResult {
  status: number;
  stdout: string;
  stderr: string;
}

export interface CopiesComparison {
  identical: boolean;
  /** "524288000 bytes equal", or where the first difference is. */
  detail: string;
}

export interface ColdRecords {
  /** The file system of this copy has nothing to mend. */
  clean: boolean;
  detail: string;
  records: number[];
}

export interface LabControl {
  /** A power failure: all its processes and its cables dead in the same moment. Resolves when that has happened. `seed` decides what the
   *  disks lose of what was not flushed. */
  powerOff(server: CoServerName, seed?: number): Promise<void>;
  powerOn(server: CoServerName): Promise<void>;
  /** Whether it has power: its partner may have switched it off. */
  isPowered?(server: CoServerName): Promise<boolean>;
  link(link: LinkNumber, state: 'up' | 'down'): Promise<void>;
  /** All processes of a CoServer stopped as by SIGSTOP, its cables alive; or only the product's own. */
  freeze(server: CoServerName, what?: 'all' | 'process'): Promise<void>;
  thaw(server: CoServerName): Promise<void>;
  status(): Promise<PairStatus>;
  /** Resolves when both CoServers say duplex; throws with what they said last after `timeoutS`. */
  waitDuplex(timeoutS: number): Promise<void>;
  /** Runs a command in the LAN to its end. */
  execLan(command: string[]): Promise<CommandResult>;
  /** Starts a process in the LAN, with pipes for stdin, stdout and stderr. */
  spawnLan(command: string[]): ChildProcess;
  /** Asks the guest to shut down and resolves when it is off on both CoServers and both disk copies are at rest. */
  shutdownGuest(): Promise<void>;
  /** Byte for byte, after shutdownGuest, or while the guest has frozen its disk. */
  compareCopies(): Promise<CopiesComparison>;
  /** The records of one copy read without the guest, after shutdownGuest (../lab/guest/data-disk.ts reads them). */
  coldRecords?(server: CoServerName): Promise<ColdRecords>;
  /**
   * A power failure in this phase of the next checkpoint: at the byte that `share` (0..1) says of the pages or the device state, and
   * `delayMs` after the checkpoint's thread has stopped. Throws if the phase does not come within 10 s. Answers the byte, and when
   * the server stood still (wall clock, ms).
   */
  killAtPhase?(server: CoServerName, phase: CheckpointPhase, share: number, delayMs: number): Promise<{ byte: number | null; at: number }>;
  /** Ends our process alone, asked to (as an update does) or killed; it is started again. Does not wait for it. */
  restartProcess?(server: CoServerName, how: 'asked' | 'killed'): Promise<void>;
  /** Breaks the guest of a CoServer, not its engine (../lab/break-secondary.ts). Answers what was done. */
  breakGuest?(server: CoServerName, how: Break): Promise<string>;
  /** What the disk below a CoServer's copy does from now on (../lab/disk-faults.ts): words as behind `lab disk A`. Answers what that is. */
  disk?(server: CoServerName, ...words: string[]): Promise<string>;
  /** SIGKILL for the product's process or the engine of a CoServer, and nothing else. */
  kill?(server: CoServerName, what: 'product' | 'engine'): Promise<void>;
  /** What an operator may ask a CoServer for at its console, with the word that some want typed. Throws when it is refused. */
  act?(server: CoServerName, action: string, typed?: string): Promise<void>;
  /** Runs a command where a CoServer's own programs run. */
  execOn?(server: CoServerName, command: string[]): Promise<CommandResult>;
  /** Another disk in the place of a CoServer's, which has no power (../lab/swap-disk.ts). Answers what was done. */
  swapDisk?(server: CoServerName, how: DiskSwap): Promise<string>;
  /** The cable of the witness. */
  witness?(state: 'up' | 'down'): Promise<void>;
  /** Breaks a BMC (../lab/lab-bmc.ts), or mends it: ok. */
  bmc?(server: CoServerName, fault: string): Promise<void>;
  /** Looks through the file systems of a copy to which nothing is written now. */
  checkDisk?(server: CoServerName): Promise<{ clean: boolean; detail: string }>;
  /** The log of what the guest says on its serial port there. */
  guestConsole?(server: CoServerName): string;
  /** The file of a copy. */
  copyPath?(server: CoServerName): string;
  /** Files and folders that explain a failure: guest serial logs, engine logs, journals, state. */
  evidencePaths(): string[];
  log(text: string): void;
}
