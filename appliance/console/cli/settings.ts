// `twinstep settings [NAME] [--set FIELD=VALUE ...] [--accept]`: what may be changed after the first start, asked of the local process. Without a name:
// what there is. A secret is asked for, or comes as a line each on the standard input: never as an argument, which every process of the machine can see.
import { createInterface } from 'node:readline';
import { Command } from 'commander';
import { hanging } from '../serial/layout.ts';
import { pageText } from '../serial/pages.ts';
import type { SettingField, SettingGroup, SettingsPicture } from '../settings-state.ts';
import { askSocket, type CommandIo, DEFAULT_SOCKET } from './local-socket.ts';
import { parseArguments } from './parse-arguments.ts';

/** A BMC is asked first, the other CoServer writes to its disk, a password is hashed. */
const ANSWER_TIMEOUT_MS = 30_000;
const ANSWER_MAX_CHARS = 64 * 1024;
const WIDTH = 80;

/** Changed or listed; refused; wrong arguments; the process does not answer. */
export const SETTINGS_EXIT = { done: 0, refused: 1, usage: 2, nothingThere: 3 } as const;

export interface SettingsIo extends CommandIo {
  stdin: NodeJS.ReadableStream & { isTTY?: boolean; setRawMode?: (on: boolean) => unknown };
}

/** `argv`: what follows `settings`. Answers the exit code. */
export async function runSettings(argv: readonly string[], io: SettingsIo): Promise<number> {
  const command = new Command('twinstep settings')
    .description(
      'What may be changed after the first start: without a name, what there is. Passwords are asked for, or read as lines from the input.',
    )
    .argument('[name]', 'password, management, fence, witness or level')
    .option('--set <field=value>', 'a field; those that are not named stay', (v: string, all: string[]) => [...all, v], [] as string[])
    .option('--accept', 'what stands against it was read: do it all the same')
    .option('--socket <path>', "the process's socket", DEFAULT_SOCKET)
    .allowExcessArguments(false);
  const code = parseArguments(command, argv, io);
  if (code !== null) return code;
  const { socket, set, accept } = command.opts<{ socket: string; set: string[]; accept?: true }>();
  const [name] = command.args;
  const say = (text: string): unknown => io.stderr.write(`twinstep settings: ${text}\n`);
  try {
    const { groups } = (await ask(socket, '/api/settings')).value as unknown as SettingsPicture;
    if (name === undefined) {
      io.stdout.write(groups.map(listed).join('\n'));
      return SETTINGS_EXIT.done;
    }
    const group = groups.find((g) => g.name === name);
    const wrong = group ? wrongField(group, set) : `There is no setting '${name}'; there are: ${groups.map((g) => g.name).join(', ')}.`;
    if (!group || wrong !== null) {
      say(wrong ?? '');
      return SETTINGS_EXIT.usage;
    }
    if (group.whyNot !== '') {
      say(group.whyNot);
      return SETTINGS_EXIT.refused;
    }
    const values: Record<string, string> = Object.fromEntries(set.map((text) => cut(text)));
    const secrets = group.fields.filter((f) => f.kind === 'secret');
    // A password that need not be changed is not asked for where the rest is.
    const wanted = secrets.filter(() => group.name === 'password' || set.length > 0);
    Object.assign(values, await readSecrets(wanted, io));
    const { status, value } = await ask(socket, `/api/settings/${name}`, JSON.stringify({ values, accept: accept === true }));
    if (status === 200) {
      const { detail } = value as { detail?: { text?: string } };
      io.stdout.write(`${detail?.text ?? 'Changed.'}\n`);
      return SETTINGS_EXIT.done;
    }
    const { reason, canForce } = value as { reason?: string; canForce?: boolean };
    say(`${reason ?? `the process answered with HTTP status ${status}`}${canForce ? ' With --accept it is done all the same.' : ''}`);
    return SETTINGS_EXIT.refused;
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
    return SETTINGS_EXIT.nothingThere;
  }
}

function cut(text: string): [string, string] {
  const at = text.indexOf('=');
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

function wrongField({ fields }: SettingGroup, set: readonly string[]): string | null {
  const plain = fields.filter((f) => f.kind !== 'secret').map((f) => f.id);
  for (const text of set) {
    const [id] = cut(text);
    if (fields.some((f) => f.id === id && f.kind === 'secret')) return `'${id}' is asked for: an argument could be seen by others.`;
    if (!text.includes('=') || !plain.includes(id))
      return `--set ${text}: a field and its value are needed; fields: ${plain.join(', ') || 'none'}.`;
  }
  return null;
}

function listed(group: SettingGroup): string {
  const fields = group.fields.map((f) => (f.kind === 'secret' ? `${f.id} (asked for)` : `${f.id}=${f.value}`)).join(', ');
  return pageText([
    ...hanging('', `${group.name}: ${group.title}`, WIDTH),
    ...hanging('    ', group.now, WIDTH),
    ...hanging('    ', fields, WIDTH),
    ...hanging('    ', group.whyNot === '' ? group.effect : `not now: ${group.whyNot}`, WIDTH),
  ]);
}

/** Each by a line. At a terminal what is typed is not shown. */
async function readSecrets(fields: readonly SettingField[], { stdin, stderr }: SettingsIo): Promise<Record<string, string>> {
  if (fields.length === 0) return {};
  const lines = createInterface({ input: stdin, terminal: stdin.isTTY === true, ...(stdin.isTTY ? { output: undefined } : {}) });
  const values: Record<string, string> = {};
  try {
    const typed = lines[Symbol.asyncIterator]();
    for (const field of fields) {
      if (stdin.isTTY) stderr.write(`${field.label}: `);
      const { value, done } = await typed.next();
      if (stdin.isTTY) stderr.write('\n');
      if (done) throw new Error(`${field.label}: a line is missing on the input.`);
      values[field.id] = value;
    }
    return values;
  } finally {
    lines.close();
  }
}

async function ask(socketPath: string, path: string, body?: string): Promise<{ status: number; value: Record<string, unknown> }> {
  let text = '';
  const status = await askSocket({ socketPath, path, silenceMs: ANSWER_TIMEOUT_MS, ...(body === undefined ? {} : { body }) }, (chunk) => {
    text += chunk;
    if (text.length > ANSWER_MAX_CHARS) throw new Error(`${socketPath} sent more than an answer: is it twinstep's?`);
  });
  try {
    return { status, value: JSON.parse(text) as Record<string, unknown> };
  } catch {
    throw new Error(`${socketPath} answers, but not as this version does: status ${status}.`);
  }
}
