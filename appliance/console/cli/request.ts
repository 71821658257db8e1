// `twinstep request [NAME] [--typed WORD]`: asks the local process for an operator's action; without a name, says which there are.
import { Command } from 'commander';
import { shownOf } from '../action-views.ts';
import { actionGroups, consoleModel } from '../model.ts';
import { hanging } from '../serial/layout.ts';
import { pageText } from '../serial/pages.ts';
import { askSocket, type CommandIo, DEFAULT_SOCKET, oneSnapshot } from './local-socket.ts';
import { parseArguments } from './parse-arguments.ts';

/** The core is asked and answers at once; a process that has so much to do that it takes longer should be looked at. */
const ANSWER_TIMEOUT_MS = 10_000;
const ANSWER_MAX_CHARS = 64 * 1024;
const WIDTH = 80;

/** `argv`: what follows `request`. Answers the exit code: 0 accepted or listed, 1 refused, 2 wrong arguments, 3 the process does not answer. */
export async function runRequest(argv: readonly string[], io: CommandIo): Promise<number> {
  const command = new Command('twinstep request')
    .description('Asks the process on this CoServer for an action; without a name: which there are, and which are possible now.')
    .argument('[name]', 'the action')
    .option('--typed <word>', 'the word that an action needs which can lose data')
    .option('--socket <path>', "the process's socket", DEFAULT_SOCKET)
    .allowExcessArguments(false);
  const code = parseArguments(command, argv, io);
  if (code !== null) return code;
  const { socket, typed } = command.opts<{ socket: string; typed?: string }>();
  const [name] = command.args;
  try {
    if (name === undefined) {
      io.stdout.write(await list(socket));
      return 0;
    }
    const answer = await ask(socket, name, typed);
    if (answer.kind === 'refused') io.stderr.write(`twinstep request: ${answer.reason}\n`);
    // As it is, so that it can be piped.
    else io.stdout.write(answer.show || `${name}: accepted. What happens: twinstep status --history\n`);
    return answer.kind === 'refused' ? 1 : 0;
  } catch (error) {
    io.stderr.write(`twinstep request: ${error instanceof Error ? error.message : String(error)}\n`);
    return 3;
  }
}

async function list(socket: string): Promise<string> {
  const groups = actionGroups(consoleModel(await oneSnapshot(socket)).actions, true);
  return groups
    .map((g) => {
      const lines = g.actions.flatMap((a) => {
        const word = a.typed ? ` --typed '${a.typed.word}'` : '';
        const state = a.allowed ? a.reason : `not now: ${a.reason}`;
        return [
          ...hanging('  ', `${a.name}${word}: ${a.label}`, WIDTH),
          ...[state, a.typed?.meaning ?? ''].flatMap((text) => (text === '' ? [] : hanging('      ', text, WIDTH))),
        ];
      });
      return `${g.title}\n${pageText(lines)}`;
    })
    .join('\n');
}

type Asked = { kind: 'accepted'; show: string } | { kind: 'refused'; reason: string };

async function ask(socketPath: string, name: string, typed: string | undefined): Promise<Asked> {
  let text = '';
  const body = JSON.stringify(typed === undefined ? {} : { typed });
  const path = `/api/actions/${encodeURIComponent(name)}`;
  const status = await askSocket({ socketPath, path, body, silenceMs: ANSWER_TIMEOUT_MS }, (chunk) => {
    text += chunk;
    if (text.length > ANSWER_MAX_CHARS) throw new Error(`${socketPath} sent more than an answer: is it twinstep's?`);
  });
  let value: { reason?: unknown; accepted?: unknown; detail?: Record<string, string | number> } = {};
  try {
    value = JSON.parse(text) as typeof value;
  } catch {
    // The status alone is told.
  }
  if (status === 200) return { kind: 'accepted', show: shownOf({ accepted: true, ...(value.detail ? { detail: value.detail } : {}) }) };
  return { kind: 'refused', reason: typeof value.reason === 'string' ? value.reason : `the process answered with HTTP status ${status}` };
}
