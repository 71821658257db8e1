// Where the guest's RAM can be read from outside the engine: its anonymous shared file, found among the engine's open files.
//
// A read sees what the guest and its devices see at that moment. It means something only while the guest is certainly stopped.
import { readdir, readlink, stat } from 'node:fs/promises';
import { EngineError } from './process.ts';

/** The guest's RAM: byte n of the file is byte n of the block GUEST_RAM_BLOCK in the checkpoint stream. */
export interface GuestMemory {
  /** `/proc/PID/fd/N`: to be opened while the engine runs; what was opened stays readable after its end. */
  path: string;
  sizeBytes: number;
}

/** How the kernel names an open `memory-backend-memfd`; QEMU gives every one of them this name, and an engine of ours has one. */
const LINK_NAME = '/memfd:memory-backend-memfd (deleted)';

/**
 * The RAM file of the engine with process id `pid`; undefined when its RAM is not such a file (an engine that an older release started).
 * Throws EngineError when the process is gone or may not be looked into, or has more than one such file.
 */
export async function findGuestMemory(pid: number): Promise<GuestMemory | undefined> {
  const directory = `/proc/${pid}/fd`;
  let names: string[];
  try {
    names = await readdir(directory);
  } catch (error) {
    throw new EngineError(`engine: cannot look for the guest's RAM in ${directory}: ${(error as Error).message}`);
  }
  const links = await Promise.all(names.map(async (name) => [name, await readlink(`${directory}/${name}`).catch(() => '')] as const));
  const found = links.filter(([, target]) => target === LINK_NAME).map(([name]) => `${directory}/${name}`);
  if (found.length > 1) throw new EngineError(`engine: ${found.length} RAM files in ${directory}: one was expected`);
  const path = found[0];
  if (path === undefined) return undefined;
  const { size } = await stat(path);
  return { path, sizeBytes: size };
}
