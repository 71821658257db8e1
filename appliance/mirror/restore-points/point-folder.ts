// Where the files of the restore points are: a folder of its own, beside the disk unless the configuration names another.
import { mkdir, readdir, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { BlockStore, FileStoreOptions } from '../../../drivers/block/index.ts';
import { POINT_ID } from './catalogue-codec.ts';
import { within } from './within.ts';

const SUFFIX = '.point';
/** At the start: the guest waits for it. */
const ANSWER_WITHIN_MS = 5_000;

export interface PointFolder {
  /** Why no point can be kept here; empty: they can. */
  refusal: string;
  /** Null: there is no such file. */
  open(id: string, sizeBytes: number): Promise<BlockStore | null>;
  /** Sparse, durably there. */
  create(id: string, sizeBytes: number): Promise<BlockStore>;
  remove(id: string): Promise<void>;
  /** The points whose files are there. */
  list(): Promise<string[]>;
  /** Of the file system below. */
  freeBytes(): Promise<number>;
}

export interface PointFolderOptions {
  /** Empty: beside the disk, which must be a file then. */
  directory: string;
  diskPath: string;
  openStore(options: FileStoreOptions): Promise<BlockStore>;
}

export async function openPointFolder({ directory, diskPath, openStore }: PointFolderOptions): Promise<PointFolder> {
  let folder = directory;
  let refusal = '';
  if (folder === '') {
    folder = `${diskPath}.points`;
    if ((await stat(diskPath).catch(() => null))?.isBlockDevice())
      refusal = `${diskPath} is a block device, so restore points need a folder with room for them: set restorePoints.directory`;
  }
  if (refusal === '')
    await within(ANSWER_WITHIN_MS, mkdir(folder, { recursive: true, mode: 0o700 }), `${folder} did not answer`).catch((e: Error) => {
      refusal = `the folder of the restore points cannot be made: ${e.message}`;
    });
  const path = (id: string): string => join(folder, `${id}${SUFFIX}`);
  return {
    refusal,
    open: async (id, sizeBytes) => {
      const isThere = await stat(path(id)).then(
        () => true,
        (e: NodeJS.ErrnoException) => {
          if (e.code === 'ENOENT' || e.code === 'ENOTDIR') return false;
          throw e;
        },
      );
      return isThere ? await openStore({ path: path(id), sizeBytes }) : null;
    },
    create: (id, sizeBytes) => openStore({ path: path(id), sizeBytes }),
    remove: (id) => rm(path(id), { force: true }),
    list: async () => {
      const names = await within(ANSWER_WITHIN_MS, readdir(folder), folder).catch(() => []);
      return names.flatMap((name) => {
        const id = name.endsWith(SUFFIX) ? name.slice(0, -SUFFIX.length) : '';
        return POINT_ID.test(id) ? [id] : [];
      });
    },
    freeBytes: async () => {
      const { bavail, bsize } = await statfs(folder);
      return bavail * bsize;
    },
  };
}
