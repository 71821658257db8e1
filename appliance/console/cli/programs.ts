// Programs of this machine that a command of the command line needs.
import { spawn } from 'node:child_process';

/** A program may say so much before it is cut off; only its last words are told. */
const OUTPUT_MAX_CHARS = 256 * 1024;

/** Answers what it said. Rejects with its name, how it ended and what it said, or with the package that is missing. */
export function runProgram(program: string, args: readonly string[], from: string, onText?: (text: string) => void): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (out.length < OUTPUT_MAX_CHARS) out += text;
      onText?.(text);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (err.length < OUTPUT_MAX_CHARS) err += text;
    });
    child.on('error', (e: NodeJS.ErrnoException) =>
      reject(new Error(e.code === 'ENOENT' ? `${program} is missing here: install the package ${from}` : `${program}: ${e.message}`)),
    );
    child.on('close', (code, signal) => {
      if (code === 0) resolve(out);
      else reject(new Error(`${program} ${code === null ? `was ended by ${signal}` : `failed`}: ${(err || out).trim().slice(-1000)}`));
    });
  });
}
