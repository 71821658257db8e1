// Writes an installation to a disk and reads it back. The disk is had alone meanwhile; before it is read, it is closed: with its last user
// the kernel forgets what it has of it in memory, and what is read then comes from the disk.
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { BLOCK_BYTES, blockDigests, treeAbove } from '../disk/verity.ts';
import { type InstallPlan, lasting } from './install-plan.ts';
import type { Medium } from './medium-content.ts';
import { MIB } from './medium-layout.ts';

/** Between two flushes: what is shown as written is on the disk but for this. */
const FLUSH_BYTES = 16 * MIB;

export class InstallError extends Error {
  readonly remedy: string;
  constructor(message: string, remedy: string) {
    super(message);
    this.remedy = remedy;
  }
}

export interface WriterHooks {
  progress(phase: 'writing' | 'checking', done: number, total: number): void;
}

/** Throws InstallError, naming place and remedy. */
export async function writeDisk(device: string, plan: InstallPlan, verity: Medium['verity'], { progress }: WriterHooks): Promise<void> {
  await withDisk(device, constants.O_RDWR, async (file) => {
    let done = 0;
    let flushed = 0;
    for (const { offset, data } of plan.pieces) {
      for (let at = 0; at < data.length; at += MIB) {
        const part = data.subarray(at, at + MIB);
        await attempt(`writing ${device} at byte ${offset + at}`, () => writeAll(file, part, offset + at));
        done += part.length;
        if (done - flushed >= FLUSH_BYTES) {
          await attempt(`writing ${device}`, () => file.datasync());
          flushed = done;
        }
        progress('writing', done, plan.bytes);
      }
      // Each piece before the next one: the table is not on the disk before what it names.
      await attempt(`writing ${device}`, () => file.datasync());
      flushed = done;
    }
  });
  await withDisk(device, constants.O_RDONLY, (file) => readBack(device, file, plan, verity, progress));
}

async function readBack(
  device: string,
  file: FileHandle,
  plan: InstallPlan,
  verity: Medium['verity'],
  progress: WriterHooks['progress'],
): Promise<void> {
  const pieces = lasting(plan.pieces);
  const total = pieces.reduce((sum, { data }) => sum + data.length, 0);
  const dataBytes = verity.dataBlocks * BLOCK_BYTES;
  const digests: Buffer[] = [];
  const buffer = Buffer.alloc(MIB);
  let done = 0;
  for (const { offset, data } of pieces) {
    for (let at = 0; at < data.length; at += MIB) {
      const part = data.subarray(at, at + MIB);
      const read = buffer.subarray(0, part.length);
      await attempt(`reading ${device} at byte ${offset + at}`, () => readAll(file, read, offset + at));
      if (!read.equals(part))
        throw new InstallError(
          `what is read back from ${device} at byte ${offset + at} is not what was written there`,
          'The disk, its cable or its controller is bad: do not use it. Take another one.',
        );
      if (offset === plan.slotOffset && at < dataBytes)
        digests.push(blockDigests(read.subarray(0, Math.min(read.length, dataBytes - at)), verity.salt));
      done += part.length;
      progress('checking', done, total);
    }
  }
  // What was written was in memory all the time: that too may be bad. The root hash was in the program that the firmware started.
  if (treeAbove(Buffer.concat(digests), verity.salt).rootHash !== verity.rootHash)
    throw new InstallError(
      `the slot on ${device} does not have the root hash of this version`,
      'It was right when this server started: its memory may be bad. Test the memory, then install again.',
    );
}

async function withDisk(device: string, flags: number, use: (file: FileHandle) => Promise<void>): Promise<void> {
  const file = await attempt(`opening ${device}`, () => open(device, flags | constants.O_EXCL));
  try {
    await use(file);
  } finally {
    await file.close();
  }
}

async function writeAll(file: FileHandle, data: Buffer, position: number): Promise<void> {
  for (let done = 0; done < data.length; ) done += (await file.write(data, done, data.length - done, position + done)).bytesWritten;
}

async function readAll(file: FileHandle, into: Buffer, position: number): Promise<void> {
  for (let done = 0; done < into.length; ) {
    const { bytesRead } = await file.read(into, done, into.length - done, position + done);
    if (bytesRead === 0) throw new Error('the disk ends there');
    done += bytesRead;
  }
}

async function attempt<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const remedy =
      code === 'EBUSY'
        ? 'Something has taken the disk since it was looked at: start this server again from the medium.'
        : 'Nothing more is written to this disk. Take another one, or look at its cable and its controller.';
    throw new InstallError(`${what} failed: ${message}`, remedy);
  }
}
