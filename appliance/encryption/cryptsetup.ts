// Runs cryptsetup. Keys go in files of a folder in memory, which nobody else may enter, and which is gone when the work is done.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Of what it says, the end is told. */
const SAID_MAX_CHARS = 32_768;

export interface Ended {
  code: number;
  /** On standard output. */
  said: string;
  /** On standard error: its complaint. */
  complaint: string;
}

/** `input`: for standard input. Rejects when it cannot be started. */
export type Cryptsetup = (args: readonly string[], input?: string) => Promise<Ended>;

export const cryptsetup: Cryptsetup = (args, input = '') =>
  new Promise((resolve, reject) => {
    // Nobody else makes the nodes of the devices here: no udev runs.
    const child = spawn('cryptsetup', args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, DM_DISABLE_UDEV: '1', LC_ALL: 'C' },
    });
    let [said, complaint] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-SAID_MAX_CHARS);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(-SAID_MAX_CHARS);
    });
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    child.on('error', (error) => reject(new Error(`cryptsetup cannot be started (${error.message})`)));
    child.on('close', (code) => resolve({ code: code ?? 1, said, complaint: complaint.trim() }));
  });

/** @param folder In memory. @param keys By name; the same names lead to their files. */
export async function withKeyFiles<K extends string, T>(
  folder: string,
  keys: Readonly<Record<K, Buffer>>,
  use: (files: Readonly<Record<K, string>>) => Promise<T>,
): Promise<T> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const own = mkdtempSync(join(folder, 'keys-'));
  try {
    const names = Object.keys(keys) as K[];
    for (const name of names) writeFileSync(join(own, name), keys[name], { mode: 0o600 });
    return await use(Object.fromEntries(names.map((name) => [name, join(own, name)])) as Record<K, string>);
  } finally {
    rmSync(own, { recursive: true, force: true });
  }
}
