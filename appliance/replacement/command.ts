// `twinstep pair replace [--typed off] [--socket PATH]`: lets a new server take the lost partner's place, asked of the process on this CoServer. It
// shows what the consoles show, asks whether the codes are the same, and ends when the new server is heard or nobody is accepted any more.
import { createInterface } from 'node:readline';
import { Command } from 'commander';
import { askSocket, type CommandIo, DEFAULT_SOCKET, oneSnapshot } from '../console/cli/local-socket.ts';
import { parseArguments } from '../console/cli/parse-arguments.ts';
import type { Snapshot } from '../core/snapshot.ts';
import { ACCEPT, CONFIRM, DIFFER, END, GIVEN_UP, OFF_WORD, TAKEN_IN } from './window.ts';

/** Its BMC may be asked first. */
const ANSWER_TIMEOUT_MS = 20_000;
const LOOK_EVERY_MS = 1_000;
/** The process starts again with the new key. */
const AWAY_MS = 120_000;
const ENDS = new RegExp(`^${GIVEN_UP}|${TAKEN_IN}$`);

export interface ReplaceIo extends CommandIo {
  stdin: NodeJS.ReadableStream;
  /** Ends the command: the window is closed. */
  signal: AbortSignal;
}

/** Taken in; refused, or given up; wrong arguments; the process does not answer. */
export const REPLACE_EXIT = { done: 0, refused: 1, usage: 2, nothingThere: 3 } as const;

/** `argv`: what follows `pair replace`. Answers the exit code. */
export async function runReplace(argv: readonly string[], io: ReplaceIo): Promise<number> {
  const command = new Command('twinstep pair replace')
    .description('Lets a new server, fresh from its box, take the place of a partner that is gone for good.')
    .option('--typed <word>', `'${OFF_WORD}': the old server is off, and stays away`)
    .option('--socket <path>', "the process's socket", DEFAULT_SOCKET)
    .allowExcessArguments(false);
  const code = parseArguments(command, argv, io);
  if (code !== null) return code;
  const { socket, typed } = command.opts<{ socket: string; typed?: string }>();
  try {
    if (!replacementOf(await oneSnapshot(socket))) {
      const refusal = await ask(socket, ACCEPT, typed);
      if (refusal !== null) {
        io.stderr.write(`twinstep pair replace: ${refusal}\n`);
        return REPLACE_EXIT.refused;
      }
    }
    return await follow(socket, io);
  } catch (error) {
    io.stderr.write(`twinstep pair replace: ${error instanceof Error ? error.message : String(error)}\n`);
    return REPLACE_EXIT.nothingThere;
  }
}

const replacementOf = ({ attention }: Snapshot) => attention.find((a) => a.kind === 'replacement');

async function follow(socket: string, io: ReplaceIo): Promise<number> {
  const lines = createInterface({ input: io.stdin });
  let code: string | null = null;
  let said = '';
  let refusal: string | null = null;
  let silentSince: number | null = null;
  const say = (line: string): void => {
    if (line !== said) io.stdout.write(`${line}\n`);
    said = line;
  };
  lines.on('line', (line) => {
    const word = line.trim().toLowerCase();
    if (code === null) return;
    const action = word === 'yes' || word === 'y' ? `${CONFIRM}${code}` : word === 'no' || word === 'n' ? DIFFER : null;
    if (action === null) io.stdout.write("Answer 'yes' or 'no'.\n");
    else
      void ask(socket, action, undefined).then(
        (answer) => {
          refusal = answer;
        },
        () => undefined,
      );
  });
  try {
    for (;;) {
      if (io.signal.aborted) {
        await ask(socket, END, undefined).catch(() => null);
        io.stderr.write('twinstep pair replace: stopped; no replacement is accepted any more.\n');
        return REPLACE_EXIT.refused;
      }
      const snapshot = await oneSnapshot(socket).catch((error: Error) => error);
      if (snapshot instanceof Error) {
        silentSince ??= performance.now();
        if (performance.now() - silentSince > AWAY_MS) throw snapshot;
      } else {
        silentSince = null;
        const shown = replacementOf(snapshot);
        if (refusal !== null) io.stderr.write(`twinstep pair replace: ${refusal}\n`);
        refusal = null;
        if (!shown) return ended(snapshot, io);
        say(`${shown.title}. ${shown.sentence}`);
        const action = shown.ways.find((w) => w.action?.startsWith(CONFIRM))?.action ?? null;
        const next = action === null ? null : action.slice(CONFIRM.length);
        if (next !== null && next !== code) io.stdout.write(`The same code on the new server's screen? ${next} yes/no\n`);
        code = next;
      }
      await pause(LOOK_EVERY_MS, io.signal);
    }
  } finally {
    lines.close();
  }
}

/** The latest word of the history says how it ended: a partner that is heard may be the old one. */
function ended({ timeline }: Snapshot, io: ReplaceIo): number {
  const last = timeline.findLast((e) => ENDS.test(e.text))?.text ?? 'No replacement is accepted any more.';
  const isThere = last.endsWith(TAKEN_IN);
  (isThere ? io.stdout : io.stderr).write(`${last}\n`);
  return isThere ? REPLACE_EXIT.done : REPLACE_EXIT.refused;
}

/** Null: accepted. */
async function ask(socketPath: string, name: string, typed: string | undefined): Promise<string | null> {
  let text = '';
  const body = JSON.stringify(typed === undefined ? {} : { typed });
  const status = await askSocket({ socketPath, path: `/api/actions/${name}`, body, silenceMs: ANSWER_TIMEOUT_MS }, (chunk) => {
    text += chunk;
  });
  if (status === 200) return null;
  const { reason } = JSON.parse(text) as { reason?: unknown };
  return typeof reason === 'string' ? reason : `the process answered with HTTP status ${status}`;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
    if (signal.aborted) done();
  });
}
