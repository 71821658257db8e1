// What a slot holds: the root as a squashfs, and behind it the hash tree by which the kernel checks every block of it.
import { createHash } from 'node:crypto';
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun } from '../engine/run-program.ts';
import { hashTree } from './verity.ts';

/** Of every file in the image, and of the file system itself. */
export const IMAGE_TIME_S = 1_750_000_000;
const LIBRARIES = 'usr/lib/x86_64-linux-gnu';
/** What only installing and building need, or what the boot's other parts hold already. Licences (usr/share/doc) stay. */
const UNNEEDED = ['boot', 'usr/include', 'usr/lib/udev', 'usr/share/initramfs-tools', 'usr/share/tinyramfs', 'var/lib/dpkg', 'var/cache'];
/** Programs of busybox, for whom nothing else is in the root. */
const BUSYBOX_PROGRAMS = ['mount', 'umount'];
const MOUNT_POINTS = ['dev', 'proc', 'sys', 'run', 'tmp', 'var/lib/twinstep'];

export interface Slot {
  /** The squashfs and its hash tree. */
  bytes: Buffer;
  squashfsBytes: number;
  dataBlocks: number;
  rootHash: string;
  salt: string;
}

/** By these the appliance knows an update (appliance/update). */
const UPDATE_KEYS = 'usr/lib/twinstep/update-keys';

/** `root` is not changed: the tree shares its files. `bundle`: dist/; `node`: the Node binary; `updateKeys`: public, PEM. */
export async function makeSlot(parts: {
  root: string;
  tools: string;
  bundle: string;
  node: string;
  work: string;
  salt: string;
  updateKeys?: readonly string[];
  signal: AbortSignal;
}): Promise<Slot> {
  const { root, tools, bundle, node, work, salt, updateKeys = [], signal } = parts;
  const tree = join(work, 'tree');
  await mustRun('cp', ['--archive', '--link', root, tree], { signal });
  for (const path of UNNEEDED) rmSync(join(tree, path), { recursive: true, force: true });
  for (const path of MOUNT_POINTS) mkdirSync(join(tree, path), { recursive: true });
  const product = join(tree, 'opt/twinstep');
  // Maps name the folder they were made in, and are twice as large as the program.
  cpSync(bundle, product, { recursive: true, filter: (from) => !/\/\.inputs$|\.map$/.test(from) });
  cpSync(node, join(product, 'node'));
  // A link in `tree` is the file in `root`: what is ours must not be one, or writing it would write there.
  const overlay = join(import.meta.dirname, 'overlay');
  for (const path of filesBelow(overlay)) rmSync(join(tree, path), { force: true });
  cpSync(overlay, tree, { recursive: true });
  mkdirSync(join(tree, UPDATE_KEYS), { recursive: true });
  for (const key of updateKeys)
    writeFileSync(join(tree, UPDATE_KEYS, `${createHash('sha256').update(key).digest('hex').slice(0, 12)}.pem`), key);
  for (const name of BUSYBOX_PROGRAMS) symlinkSync('busybox', join(tree, 'usr/bin', name));
  for (const path of ['usr/lib/twinstep/init', 'usr/bin/twinstep', 'opt/twinstep/node']) chmodSync(join(tree, path), 0o755);
  const data = await squash({ tree, tools, file: join(work, 'root.squashfs'), signal });
  await mustRun('rm', ['--recursive', '--force', '--one-file-system', tree]);
  const { tree: hashes, rootHash, dataBlocks } = hashTree(data, salt);
  return { bytes: Buffer.concat([data, hashes]), squashfsBytes: data.length, dataBlocks, rootHash, salt };
}

/** The tree as a squashfs: written to `file`, and answered. The same tree gives the same bytes. */
export async function squash(parts: { tree: string; tools: string; file: string; signal: AbortSignal }): Promise<Buffer> {
  const { tree, tools, file, signal } = parts;
  const [command, ...words] = fromTools(tools, 'mksquashfs');
  await mustRun(
    command,
    [
      ...[...words, tree, file],
      ...['-noappend', '-quiet', '-no-progress', '-no-xattrs', '-no-exports', '-comp', 'zstd', '-Xcompression-level', '15', '-b', '256K'],
      ...['-mkfs-time', String(IMAGE_TIME_S), '-all-time', String(IMAGE_TIME_S)],
    ],
    { signal },
  );
  return readFileSync(file);
}

/** The other way: `file` may have a hash tree behind its squashfs. `tree` must not exist. Needs root. */
export async function unsquash(parts: { file: string; tools: string; tree: string; signal: AbortSignal }): Promise<void> {
  const { file, tools, tree, signal } = parts;
  const [command, ...words] = fromTools(tools, 'unsquashfs');
  await mustRun(command, [...words, '-quiet', '-no-progress', '-dest', tree, file], { signal });
}

/** A program of the tools, on the tools' own libraries. */
function fromTools(tools: string, program: string): [string, ...string[]] {
  return [join(tools, 'usr/lib64/ld-linux-x86-64.so.2'), '--library-path', join(tools, LIBRARIES), join(tools, 'usr/bin', program)];
}

function filesBelow(folder: string, prefix = ''): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? filesBelow(join(folder, entry.name), join(prefix, entry.name)) : [join(prefix, entry.name)],
  );
}
