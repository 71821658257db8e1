// Debian's fio for the guest, from this machine. It is linked with libraries for a dozen kinds of storage, 80 MB with all that they need;
// the guest has a disk. So it gets the libraries that fio uses there, and stand-ins for the others: the same names and symbols, and
// nothing in them (a call would abort).
import { execFile } from 'node:child_process';
import { access, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { CpioEntry } from './cpio.ts';

const run = promisify(execFile);

export const FIO = '/usr/bin/fio';
/** What fio uses in the guest; each needs only the C library. */
const REAL = ['libc.so.6', 'libm.so.6', 'libz.so.1', 'libaio.so.1', 'libnuma.so.1'];
const LOADER = '/lib64/ld-linux-x86-64.so.2';
const LIBRARIES = 'usr/lib/x86_64-linux-gnu';

/** A symbol with its version, as `nm -D --with-symbol-versions` prints it. */
interface Wanted {
  name: string;
  version: string;
}

/** Of `nm`'s lines those of kind `U`: what a program wants from others. */
export function wantedSymbols(nm: string): Wanted[] {
  return nm.split('\n').flatMap((line) => {
    const found = /^\s*U ([^@\s]+)(?:@+(\S+))?\s*$/.exec(line);
    return found?.[1] === undefined ? [] : [{ name: found[1], version: found[2] ?? '' }];
  });
}

/** Source and version script of a library that has these symbols. */
export function standIn(symbols: readonly Wanted[]): { source: string; versions: string } {
  const versions = [...new Set(symbols.map(({ version }) => version))].filter((version) => version !== '');
  return {
    source: `void abort(void);\n${symbols.map(({ name }) => `void ${name}(void) { abort(); }\n`).join('')}`,
    versions: versions
      .map((v) => `${v} { global: ${symbols.flatMap((s) => (s.version === v ? `${s.name};` : [])).join(' ')} };\n`)
      .join(''),
  };
}

/** Name and path of the libraries in what `ldd` prints. */
export function librariesOf(ldd: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const [, name, path] of ldd.matchAll(/^\s*(\S+) => (\S+) \(/gm)) if (name && path) found.set(name, path);
  return found;
}

/** Throws with the remedy where there is no fio. */
export async function requireFio(): Promise<void> {
  await access(FIO).catch(() => {
    throw new Error(`the guest's load needs Debian's fio, and ${FIO} is not there: apt-get install --no-install-recommends fio`);
  });
}

async function output(program: string, args: string[]): Promise<string> {
  return (await run(program, args, { maxBuffer: 64 * 1024 * 1024, env: { ...process.env, LC_ALL: 'C' } })).stdout;
}

/** fio and its libraries as entries of the initramfs; `work`: a folder for what is compiled. */
export async function fioFiles(work: string): Promise<CpioEntry[]> {
  const libraries = librariesOf(await output('ldd', [FIO]));
  const needed = [...(await output('objdump', ['-p', FIO])).matchAll(/^\s*NEEDED\s+(\S+)$/gm)].flatMap(([, name]) => name ?? []);
  const real = needed.filter((name) => REAL.includes(name));
  const provided = new Set<string>();
  for (const name of real)
    for (const [, symbol] of (await output('nm', ['-D', '--defined-only', pathOf(libraries, name)])).matchAll(/ ([^@\s]+)(?:@\S+)?$/gm))
      if (symbol) provided.add(symbol);
  const wanted = wantedSymbols(await output('nm', ['-D', '--undefined-only', '--with-symbol-versions', FIO]));
  const { source, versions } = standIn(wanted.filter(({ name }) => !provided.has(name)));
  const [c, map, library] = ['stand-in.c', 'stand-in.map', 'stand-in.so'].map((name) => join(work, name));
  if (!c || !map || !library) throw new Error('unreachable');
  await writeFile(c, source);
  await writeFile(map, versions);
  await run('gcc', ['-shared', '-fPIC', '-fno-builtin', '-s', '-Wl,--build-id=none', `-Wl,--version-script=${map}`, '-o', library, c]);
  const file = async (path: string, from: string): Promise<CpioEntry> => ({ kind: 'file', path, mode: 0o755, data: await readFile(from) });
  return [
    ...['usr', 'usr/bin', 'usr/lib', LIBRARIES, 'lib64', 'tmp'].map((path): CpioEntry => ({ kind: 'directory', path, mode: 0o755 })),
    await file('usr/bin/fio', FIO),
    await file(LOADER.slice(1), LOADER),
    ...(await Promise.all(needed.map((name) => file(`${LIBRARIES}/${name}`, real.includes(name) ? pathOf(libraries, name) : library)))),
  ];
}

function pathOf(libraries: ReadonlyMap<string, string>, name: string): string {
  const path = libraries.get(name);
  if (path === undefined) throw new Error(`fio's library ${name} is not on this machine: apt-get install --reinstall fio`);
  return path;
}
