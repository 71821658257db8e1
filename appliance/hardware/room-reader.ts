// How much room is left where this CoServer keeps its state: nothing else on the server tells that it is running out.
import { statfs } from 'node:fs/promises';
import { Absent, type Reader } from './reader.ts';

const ROOM_EVERY_MS = 10_000;
const MIB = 2 ** 20;

/** @param folder Of the state; '': nobody keeps any. */
export function roomReader(folder: string): Reader {
  return {
    source: 'room',
    everyMs: ROOM_EVERY_MS,
    read: async () => {
      if (folder === '') throw new Absent('no state is kept');
      const { bavail, blocks, bsize } = await statfs(folder);
      return { source: 'room', room: { folder, freeMiB: (bavail * bsize) / MIB, totalMiB: (blocks * bsize) / MIB } };
    },
  };
}
