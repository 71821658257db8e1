// An installation without anybody at the console: what a virtual machine's host has written beforehand. Pure.
//
//   disk SERIAL          the whole serial number
//   state erase | keep   keep: install anew beside the state that is there
//   sure yes             erase or overwrite without asking
//   finally restart | off    default: restart

export interface Answers {
  serial: string;
  keep: boolean;
  finally: 'restart' | 'off';
}

export type ReadAnswers = { kind: 'answers'; answers: Answers } | { kind: 'wrong'; why: string };

const WORDS: Record<string, readonly string[] | null> = {
  disk: null,
  state: ['erase', 'keep'],
  sure: ['yes'],
  finally: ['restart', 'off'],
};

export function readAnswers(text: string): ReadAnswers {
  const given = new Map<string, string>();
  for (const line of text.split('\n').map((l) => l.trim())) {
    if (line === '' || line.startsWith('#')) continue;
    const [, key = '', value = ''] = /^(\S+)\s+(.+)$/.exec(line) ?? [line, line];
    const allowed = Object.hasOwn(WORDS, key) ? WORDS[key] : undefined;
    if (allowed === undefined) return wrong(`'${key.slice(0, 40)}' is not known (disk, state, sure, finally are)`);
    if (given.has(key)) return wrong(`'${key}' is there twice`);
    if (value === '') return wrong(`'${key}' has no value`);
    if (allowed !== null && !allowed.includes(value)) return wrong(`'${key}' is '${value.slice(0, 40)}', not ${allowed.join(' or ')}`);
    given.set(key, value);
  }
  for (const key of ['disk', 'state', 'sure']) if (!given.has(key)) return wrong(`'${key}' is missing`);
  return {
    kind: 'answers',
    answers: {
      serial: given.get('disk') ?? '',
      keep: given.get('state') === 'keep',
      finally: given.get('finally') === 'off' ? 'off' : 'restart',
    },
  };
}

function wrong(why: string): ReadAnswers {
  return { kind: 'wrong', why: `The answers for an installation by itself are wrong: ${why}.` };
}
