// The answer file: YAML with the same questions as on the screen. Every key that is wrong is named with its line and what to write. Pure. What is
// secret in it is never repeated: of a wrong password only its line is said.
import { isMap, isScalar, LineCounter, type Node, parseDocument } from 'yaml';
import { passwordHashProblem } from '../console/api/password.ts';
import { answerProblem, PROPOSED, passwordProblem, QUESTIONS, type Question } from './answers.ts';
import type { FileAnswers } from './state.ts';
import { SECRET_PATTERN, SECRET_WORDS } from './unattended-proof.ts';

/** Dozens of lines; a file that is longer is another one. */
export const ANSWER_FILE_MAX_BYTES = 64 * 1024;

const PORT_KEYS = { 'ports.link1': 'link1', 'ports.link2': 'link2', 'ports.guest': 'lan0', 'ports.management': 'mgmt0' } as const;
const OWN_KEYS = ['pairing.secret', 'passwordHash', 'stateEncryption', 'guest.useDiskAsItIs', ...Object.keys(PORT_KEYS)];
const KEYS: readonly string[] = [...QUESTIONS, ...OWN_KEYS];
const SECTIONS = [...new Set(KEYS.filter((k) => k.includes('.')).map((k) => k.split('.', 1)[0] ?? ''))];
/** Their values are not to be read by whoever stands before the screen. */
const SECRETS: readonly string[] = ['password', 'passwordHash', 'fence.password', 'bmc.password', 'pairing.secret'];

/** What the guest boots from may lie beside the answer file. */
const COPIED = ['guest.kernel', 'guest.initrd'] as const;
const FILE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Sentences that begin with the line: 'line 7: ...'. */
export type AnswerFileReading = { kind: 'answers'; file: FileAnswers } | { kind: 'wrong'; problems: string[] };

interface Entry {
  value: string;
  line: number;
}

export function readAnswerFile(source: string): AnswerFileReading {
  const counter = new LineCounter();
  const document = parseDocument(source, { lineCounter: counter, prettyErrors: false });
  // The parser's own words may quote the line, and that may hold a password.
  const [broken] = document.errors;
  if (broken)
    return {
      kind: 'wrong',
      problems: [
        `line ${counter.linePos(broken.pos[0]).line}: this is not YAML (${broken.code}): compare it with the example of the README`,
      ],
    };
  const problems: string[] = [];
  const entries = new Map<string, Entry>();
  const lineOf = (node: Node | null): number => (node?.range ? counter.linePos(node.range[0]).line : 1);
  const walk = (node: unknown, prefix: string): void => {
    if (!isMap(node)) {
      problems.push(
        `line ${lineOf((node as Node | null) ?? null)}: '${prefix.slice(0, -1) || 'the file'}' needs keys below it: ${below(prefix)}`,
      );
      return;
    }
    for (const { key, value } of node.items) {
      const name = `${prefix}${String(isScalar(key) ? key.value : key)}`;
      const line = lineOf(key as Node);
      if (KEYS.includes(name)) {
        const text = plainText(value);
        if (text === null) problems.push(`line ${line}: '${name}' needs one value behind it`);
        else entries.set(name, { value: text, line });
      } else if (prefix === '' && SECTIONS.includes(name)) walk(value ?? key, `${name}.`);
      else problems.push(`line ${line}: there is no key '${name.slice(0, 60)}': ${below(prefix)}`);
    }
  };
  walk(document.contents, '');
  if (problems.length > 0) return { kind: 'wrong', problems };
  return judge(entries);
}

/** What may stand there. */
function below(prefix: string): string {
  const names = KEYS.filter((k) => k.startsWith(prefix)).map((k) => k.slice(prefix.length).split('.', 1)[0] ?? '');
  return `remove it, or write one of ${[...new Set(names)].join(', ')}`;
}

function plainText(value: unknown): string | null {
  if (value === null) return '';
  if (!isScalar(value)) return null;
  // As it is written: a password of digits stays what it is.
  return typeof value.value === 'string' ? value.value : value.value === null ? '' : (value.source ?? String(value.value));
}

function judge(entries: ReadonlyMap<string, Entry>): AnswerFileReading {
  const text = (key: string): string => entries.get(key)?.value ?? '';
  const problems: string[] = [];
  const wrong = (key: string, problem: string): void => {
    const entry = entries.get(key);
    const said = entry && !SECRETS.includes(key) ? ` '${entry.value.slice(0, 60)}'` : '';
    problems.push(`${entry ? `line ${entry.line}: ` : ''}${key}${said}: ${problem}`);
  };
  const answers: Partial<Record<Question, string>> = {};
  for (const question of QUESTIONS) if (entries.has(question) && question !== 'password') answers[question] = text(question);
  const copies: FileAnswers['copies'] = {};
  for (const question of COPIED) {
    if (!FILE_NAME.test(text(question))) continue;
    copies[question] = text(question);
    delete answers[question];
  }
  const whole = { ...PROPOSED, ...answers };
  for (const question of QUESTIONS) {
    if (question === 'password') continue;
    const problem = answerProblem(question, whole);
    if (problem !== null) wrong(question, problem);
  }
  const [password, hash, secret] = [text('password'), text('passwordHash'), text('pairing.secret')];
  if (password !== '' && hash !== '') wrong('passwordHash', 'give the password or its hash, not both');
  else if (hash !== '') {
    const problem = passwordHashProblem(hash);
    if (problem !== null) wrong('passwordHash', `it ${problem}: make it with argon2id, in quotes`);
    answers.password = hash;
  } else {
    const problem = password === '' ? 'a password is needed: there is none by default' : passwordProblem(password);
    if (problem !== null) wrong('password', problem);
  }
  if (secret !== '' && !SECRET_PATTERN.test(secret)) wrong('pairing.secret', `it needs ${SECRET_WORDS}`);
  const asItIs = text('guest.useDiskAsItIs');
  if (!['', 'true', 'false'].includes(asItIs)) wrong('guest.useDiskAsItIs', 'write true, to use a disk with something on it, or false');
  const encryption = text('stateEncryption');
  if (!['', 'none', 'tpm2'].includes(encryption)) wrong('stateEncryption', "write tpm2, or none: this server's state is not encrypted");
  const ports: FileAnswers['ports'] = {};
  for (const [key, role] of Object.entries(PORT_KEYS)) if (text(key) !== '') ports[role] = text(key);
  const given = new Set(Object.values(ports).map((p) => p.toLowerCase()));
  if (given.size > 0 && given.size < Object.keys(ports).length)
    wrong('ports.link1', 'each port may have one use: name another port for one of them');
  if (given.size > 0)
    for (const key of ['ports.link1', 'ports.guest', 'ports.management'])
      if (text(key) === '') wrong(key, 'a port is needed, by its name or its MAC address; or leave out all of ports');
  if (problems.length > 0) return { kind: 'wrong', problems };
  const file = { answers, ports, secret, password, useDiskAsItIs: asItIs === 'true', copies };
  return { kind: 'answers', file: { ...file, stateEncryption: encryption === 'tpm2' ? 'tpm2' : 'none' } };
}
