// Runs a program to its end and keeps what it said, so that a failure can be explained.
import { spawn } from 'node:child_process';

export interface ProgramResult {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** Enough for the longest listing we read (apt's of a whole root), little enough to keep in memory. */
const OUTPUT_LIMIT_BYTES = 16 * 1024 * 1024;

/** Resolves however the program ended; rejects only when it could not be started. `signal` ends it with SIGTERM. */
export function runProgram(
  command: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; cwd?: string; signal?: AbortSignal } = {},
): Promise<ProgramResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    let bytes = 0;
    const keep = (list: Buffer[]) => (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= OUTPUT_LIMIT_BYTES) list.push(chunk);
    };
    child.stdout.on('data', keep(stdout));
    child.stderr.on('data', keep(stderr));
    let startError: Error | undefined;
    child.on('error', (error) => {
      startError = error;
    });
    child.on('close', (code, signal) => {
      if (startError && startError.name !== 'AbortError') reject(new Error(`cannot run ${command}: ${startError.message}`));
      else resolve({ code, signal, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() });
    });
  });
}

/** As `runProgram`, but anything other than exit code 0 is an error that carries the end of what the program said. */
export async function mustRun(command: string, args: readonly string[], options: Parameters<typeof runProgram>[2] = {}): Promise<string> {
  const result = await runProgram(command, args, options);
  if (result.code === 0) return result.stdout;
  const said = `${result.stderr}\n${result.stdout}`.trim().split('\n').slice(-40).join('\n');
  throw new Error(`${command} ended with ${result.signal ?? `code ${result.code}`}:\n${said}`);
}
