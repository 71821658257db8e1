// What the disk below one file of a CoServer, or that below the files beside it, does: written into the file that native/disk-faults.c maps, which has the layout.
//
// The file lies outside of what the CoServer can see fail, beside its undo logs: a broken disk stays broken over a loss of power.
// It tells the disk by device and inode: a new file in the broken one's place is a new disk.
import { closeSync, existsSync, openSync, readFileSync, readSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { LabError } from './lab-error.ts';

export const DISK_FAULTS_FILE = 'disk.faults';
const CONTROL_BYTES = 4096;
const MAGIC = 0x31544c5541465754n;
const MAX_RANGES = 64;
const MAX_FILES = 8;
const AT = { device: 8, inode: 16, flags: 24, slowMs: 28, ranges: 32, fileFlags: 1056, fileDevice: 1064, files: 1072 };
/** A medium loses whole blocks, and gets them back when they are written. */
const BLOCK_BYTES = 4096;
/** One bit in each sector is what a checksum has to find. */
const ROT_EVERY_BYTES = 512;
const MAX_SLOW_MS = 60_000;

/** A disk with no fault. */
export const WELL = 'does what it should';

const FLAGS = { 'read-error': 1, 'write-error': 2, 'flush-error': 4, hang: 8, slow: 16, full: 32 } as const;

/** files: not the disk does so, but the one below the files beside it. */
export type DiskAction = DiskDoes & { files?: boolean };

type DiskDoes =
  | { kind: 'read-error'; offset: number; length: number }
  | { kind: 'slow'; ms: number }
  | { kind: 'rot'; offset: number; length: number }
  | { kind: 'write-error' | 'flush-error' | 'hang' | 'full' | 'ok' };

export const DISK_ACTIONS = ['read-error', 'write-error', 'flush-error', 'hang', 'slow', 'rot', 'full', 'ok'] as const;

/** Behind an action without numbers: it is meant for the files beside the disk. */
const FILES = 'files';

/** The words behind `disk A`: an action and its numbers. Throws what is wrong with them. */
export function parseDiskAction(words: readonly string[]): DiskAction {
  const [name = '', ...rest] = words;
  const kind = DISK_ACTIONS.find((a) => a === name);
  if (kind === undefined) throw new LabError(`"${name}" is nothing that a disk can do`, `give one of ${DISK_ACTIONS.join(', ')}`);
  const number = (at: number, what: string, least: number, most: number, otherwise?: number): number => {
    const text = rest[at];
    if (text === undefined && otherwise !== undefined) return otherwise;
    const value = Number(text);
    if (text === undefined || !Number.isSafeInteger(value) || value < least || value > most)
      throw new LabError(
        `disk ${kind}: ${text === undefined ? 'no' : `"${text}" is no`} ${what}`,
        `give a whole number from ${least} to ${most}`,
      );
    return value;
  };
  const most = Number.MAX_SAFE_INTEGER;
  const needed = kind === 'read-error' || kind === 'rot' ? 2 : kind === 'slow' ? 1 : 0;
  const isForFiles = needed === 0 && kind !== 'ok' && rest[0] === FILES;
  if (rest.length > needed + (isForFiles ? 1 : 0)) throw new LabError(`disk ${kind}: "${rest.slice(needed).join(' ')}" is too much`);
  if (kind === 'read-error' || kind === 'rot')
    return { kind, offset: number(0, 'offset in bytes', 0, most), length: number(1, 'length in bytes', 1, most, BLOCK_BYTES) };
  if (kind === 'slow') return { kind, ms: number(0, 'number of milliseconds', 1, MAX_SLOW_MS) };
  return isForFiles ? { kind, files: true } : { kind };
}

/** Before the CoServer starts: its process maps the file. One that is there already stays: the disk is as broken as before. */
export function makeFaultFile(path: string): void {
  if (existsSync(path)) return;
  const control = Buffer.alloc(CONTROL_BYTES);
  control.writeBigUInt64LE(MAGIC);
  writeFileSync(path, control, { mode: 0o600 });
}

/**
 * Does it to the disk of `diskPath`, beside what was done before; `ok` ends all of that (what has rotted stays). `controlPath`: made by
 * makeFaultFile. files: those beside it that are there; all on one file system. Answers what was done, in words.
 */
export function breakDisk(controlPath: string, diskPath: string, action: DiskAction, files: readonly string[] = []): string {
  const fd = openSync(controlPath, 'r+');
  try {
    const control = Buffer.alloc(CONTROL_BYTES);
    readSync(fd, control, 0, CONTROL_BYTES, 0);
    const { dev, ino, size } = statSync(diskPath, { bigint: true });
    if (control.readBigUInt64LE(AT.device) !== dev || control.readBigUInt64LE(AT.inode) !== ino) control.fill(0, AT.flags);
    control.writeBigUInt64LE(dev, AT.device);
    control.writeBigUInt64LE(ino, AT.inode);
    const said = action.files ? breakFiles(control, action.kind, files) : change(control, diskPath, Number(size), action);
    // What it does last, when all it needs is there.
    writeSync(fd, control, AT.slowMs, CONTROL_BYTES - AT.slowMs, AT.slowMs);
    writeSync(fd, control, AT.device, AT.slowMs - AT.device, AT.device);
    return said;
  } finally {
    closeSync(fd);
  }
}

function change(control: Buffer, diskPath: string, sizeBytes: number, action: DiskAction): string {
  switch (action.kind) {
    case 'ok':
      control.fill(0, AT.flags);
      return WELL;
    case 'rot':
      return rot(diskPath, sizeBytes, action.offset, action.length);
    case 'read-error': {
      const start = Math.floor(action.offset / BLOCK_BYTES) * BLOCK_BYTES;
      const end = Math.ceil((action.offset + action.length) / BLOCK_BYTES) * BLOCK_BYTES;
      if (end > sizeBytes) throw new LabError(`the disk has ${sizeBytes} bytes: none at ${end - 1}`);
      const free = Array.from({ length: MAX_RANGES }, (_, i) => AT.ranges + 16 * i).find((at) => control.readBigUInt64LE(at + 8) === 0n);
      if (free === undefined) throw new LabError(`the disk has ${MAX_RANGES} unreadable ranges already`, 'mend it first: disk A|B ok');
      control.writeBigUInt64LE(BigInt(start), free);
      control.writeBigUInt64LE(BigInt(end), free + 8);
      break;
    }
    case 'slow':
      control.writeUInt32LE(action.ms, AT.slowMs);
      break;
    case 'write-error':
    case 'flush-error':
    case 'hang':
    case 'full':
      break;
    default:
      throw new Error(`unknown ${JSON.stringify(action satisfies never)}`);
  }
  control.writeUInt32LE(control.readUInt32LE(AT.flags) | FLAGS[action.kind], AT.flags);
  return describeFaults(control);
}

function breakFiles(control: Buffer, kind: keyof typeof FLAGS | 'rot' | 'ok', files: readonly string[]): string {
  if (kind === 'rot' || kind === 'ok') throw new LabError(`disk ${kind}: not for the files beside the disk`);
  if (files.length === 0 || files.length > MAX_FILES)
    throw new LabError(`there are ${files.length} files beside the disk, 1 to ${MAX_FILES} are meant`);
  for (const [i, path] of files.entries()) {
    const { dev, ino } = statSync(path, { bigint: true });
    control.writeBigUInt64LE(dev, AT.fileDevice);
    control.writeBigUInt64LE(ino, AT.files + 8 * i);
  }
  control.writeUInt32LE(control.readUInt32LE(AT.fileFlags) | FLAGS[kind], AT.fileFlags);
  return describeFaults(control);
}

/** Flips one bit in each 512 bytes, as a medium does that answers well and wrong. */
function rot(diskPath: string, sizeBytes: number, offset: number, length: number): string {
  if (offset + length > sizeBytes) throw new LabError(`the disk has ${sizeBytes} bytes: none at ${offset + length - 1}`);
  const fd = openSync(diskPath, 'r+');
  const one = Buffer.alloc(1);
  let bits = 0;
  try {
    for (let at = offset; at < offset + length; at += ROT_EVERY_BYTES) {
      readSync(fd, one, 0, 1, at);
      one[0] = (one[0] ?? 0) ^ 0x10;
      writeSync(fd, one, 0, 1, at);
      bits++;
    }
  } finally {
    closeSync(fd);
  }
  return `${bits} bits have flipped from byte ${offset} on`;
}

/** What the disk does now, in words; WELL when nothing is wrong. The file may not be there yet. */
export function diskFaults(controlPath: string): string {
  return existsSync(controlPath) ? describeFaults(readFileSync(controlPath)) : WELL;
}

function describeFaults(control: Buffer): string {
  const words: Record<keyof typeof FLAGS, string> = {
    'read-error': 'has blocks that cannot be read',
    'write-error': 'fails every write',
    'flush-error': 'fails every flush',
    hang: 'does not answer',
    slow: `takes ${control.readUInt32LE(AT.slowMs)} ms longer`,
    full: 'has no space left',
  };
  const found = (at: number, whose: string): string[] => {
    const flags = control.readUInt32LE(at);
    return (Object.keys(FLAGS) as (keyof typeof FLAGS)[]).filter((name) => flags & FLAGS[name]).map((name) => `${whose}${words[name]}`);
  };
  const all = [...found(AT.flags, ''), ...found(AT.fileFlags, 'below the files beside it: ')];
  return all.length === 0 ? WELL : all.join(', ');
}
