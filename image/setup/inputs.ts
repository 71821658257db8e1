// Which files a build depends on, and one hash over them: the set-up rebuilds when it changes.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

const NOT_SOURCE = new Set(['node_modules', 'build', 'testdata', 'dist']);

/** Files below `folder` whose name matches, sorted; build results and captured data are passed over. */
export function sourceFiles(folder: string, name: RegExp): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return NOT_SOURCE.has(entry.name) ? [] : sourceFiles(path, name);
      return name.test(entry.name) ? [path] : [];
    })
    .sort();
}

/** SHA-256 over names (relative to `base`) and contents, in hex. */
export function hashOfFiles(files: readonly string[], base: string): string {
  const hash = createHash('sha256');
  for (const file of files) {
    const content = readFileSync(file);
    hash.update(`${relative(base, file)}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}
