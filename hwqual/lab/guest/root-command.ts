// Runs a program of the engine's root file system on files of this machine, without writing into that root: in a mount
// namespace of its own, with the files' folder bound over /mnt.
import { execFile } from 'node:child_process';
import { basename, dirname, resolve } from 'node:path';

/** Longest answer of a program: the list of records of a long campaign is some megabytes. */
const MAX_OUTPUT_BYTES = 256 * 1024 * 1024;

export interface RootCommandResult {
  status: number;
  stdout: string;
  stderr: string;
}

/** `program` and its arguments run in `root`; every argument equal to `file` names that file there. Any exit status is an answer. */
export function runInRoot(root: string, file: string, program: string, args: readonly string[]): Promise<RootCommandResult> {
  const inside = `/mnt/${basename(file)}`;
  const script = 'mount --bind "$1" "$2/mnt" && root=$2 && shift 2 && exec chroot "$root" "$@"';
  const command = [program, ...args.map((argument) => (argument === file ? inside : argument))];
  const all = ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', dirname(resolve(file)), root, ...command];
  return new Promise((answer, fail) => {
    execFile('unshare', all, { maxBuffer: MAX_OUTPUT_BYTES, env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' } }, (error, stdout, stderr) => {
      if (error !== null && typeof error.code !== 'number') fail(new Error(`${program} could not be run in ${root}: ${error.message}`));
      else answer({ status: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}
