// A version of the appliance with another engine, for the lab. No second QEMU that the product could run (11.1 or newer) is packaged for the image's
// Debian, so what stands for it is the image's own QEMU with its version changed, in the program's words and in the number that its monitor
// gives: a real engine, which says that it is another one. What it does not show is a checkpoint or a guest's memory in another format.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { squash, unsquash } from '../../../image/disk/slot.ts';
import { mustRun } from '../../../image/engine/run-program.ts';
import { engineVersion } from '../../../image/sign/sign.ts';
import { LabError } from '../lab-error.ts';
import { otherVersion, type Version } from './versions.ts';

const ENGINE = 'usr/bin/qemu-system-x86_64';
const LIBRARIES = 'usr/lib/x86_64-linux-gnu';
/** x86: movq $MICRO, 16(%rax), by which the answer to the monitor's `query-version` gets its third number; the number follows, 32 bits. */
const STORES_MICRO = Buffer.from('48c74010', 'hex');

/** The next one, with as many digits. */
export function nextEngine(version: string = engineVersion()): string {
  const [major = '', minor = '', micro = ''] = version.split('.');
  const other = /[0-8]$/.test(micro) ? Number(micro) + 1 : Number(micro) - 1;
  return `${major}.${minor}.${other}`;
}

/** Pure. Throws unless it is that version's program, and all places in which it says so are known. */
export function renamedEngine(program: Buffer, from: string, to: string): Buffer {
  if (from.length !== to.length) throw new LabError(`${from} and ${to} are not of one length`);
  const copy = Buffer.from(program);
  const words = replace(copy, Buffer.from(from, 'latin1'), Buffer.from(to, 'latin1'));
  if (words === 0) throw new LabError(`the engine does not say that it is ${from}`);
  const micro = (version: string) => {
    const number = Buffer.alloc(4);
    number.writeUInt32LE(Number(version.split('.').at(-1)));
    return Buffer.concat([STORES_MICRO, number]);
  };
  const numbers = replace(copy, micro(from), micro(to));
  if (numbers !== 1)
    throw new LabError(`the engine's number for its monitor is at ${numbers} places: it is compiled otherwise than it was`);
  return copy;
}

/** Answers at how many places. */
function replace(data: Buffer, from: Buffer, to: Buffer): number {
  let places = 0;
  for (let at = data.indexOf(from); at >= 0; at = data.indexOf(from, at + to.length)) {
    to.copy(data, at);
    places += 1;
  }
  return places;
}

/** The built image as `version`, its engine as `engine`. `work`: an empty folder, emptied again. Needs root. */
export async function versionWithEngine(
  built: Version,
  { version, engine, tools, work }: { version: string; engine: string; tools: string; work: string },
): Promise<Version> {
  const { signal } = new AbortController();
  const [tree, file] = [join(work, 'engine-tree'), join(work, 'engine.squashfs')];
  writeFileSync(file, built.slot);
  await unsquash({ file, tools, tree, signal });
  const path = join(tree, ENGINE);
  if (!existsSync(path)) throw new LabError(`the image has no ${ENGINE}`);
  writeFileSync(path, renamedEngine(readFileSync(path), engineVersion(), engine));
  const said = await mustRun(join(tree, 'usr/lib64/ld-linux-x86-64.so.2'), ['--library-path', join(tree, LIBRARIES), path, '--version'], {
    signal,
  });
  if (!said.includes(`version ${engine} `)) throw new LabError(`the renamed engine says: ${said.split('\n')[0] ?? ''}`);
  const data = await squash({ tree, tools, file, signal });
  await mustRun('rm', ['--recursive', '--force', '--one-file-system', tree, file]);
  return { ...otherVersion(built, version, tools, data), engine };
}
