// The witness's lines: the README's examples are read as they stand there; nothing else gets through.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { parseWitnessHello, parseWitnessReply, parseWitnessRequest, WITNESS_LINE_BYTES } from '../../../../appliance/wire/witness.ts';

const README = readFileSync(join(import.meta.dirname, '../../../../appliance/wire/README.md'), 'utf8');
const PARSERS = { hello: parseWitnessHello, request: parseWitnessRequest, reply: parseWitnessReply };

/** The lines of the README's block of that name. */
function examples(name: keyof typeof PARSERS): string[] {
  const block = new RegExp(`\`\`\`${name}\\n([^\`]*)\`\`\``).exec(README)?.[1] ?? '';
  return block.split('\n').filter((line) => line !== '');
}

for (const [name, least] of [
  ['hello', 1],
  ['request', 2],
  ['reply', 6],
] as const)
  t.test(`the README's examples: ${name}`, async (t) => {
    const lines = examples(name);
    t.ok(lines.length >= least, `${lines.length} examples`);
    for (const line of lines) {
      t.same(PARSERS[name](line), JSON.parse(line), line);
      t.ok(line.length < WITNESS_LINE_BYTES / 2, 'and is far from too long');
    }
  });

t.test('a member that is missing or wrong is named', async (t) => {
  for (const [name, parse] of Object.entries(PARSERS))
    for (const line of examples(name as keyof typeof PARSERS)) {
      const whole = JSON.parse(line) as Record<string, unknown>;
      if (name === 'reply' && whole['kind'] === 'hello') continue;
      for (const key of Object.keys(whole)) {
        const { [key]: _gone, ...rest } = whole;
        t.throws(() => parse(JSON.stringify(rest)), { message: /./ }, `${line} without ${key}`);
        t.throws(() => parse(JSON.stringify({ ...rest, [key]: { odd: true } })), { message: /./ }, `${line} with an odd ${key}`);
      }
    }
});

t.test('whatever comes, it is read or refused with an Error', async (t) => {
  const odd = fc.oneof(
    fc.string(),
    fc.json(),
    fc
      .constantFrom(...Object.keys(PARSERS).flatMap((n) => examples(n as keyof typeof PARSERS)))
      .chain((line) => fc.tuple(fc.constant(line), fc.nat(line.length), fc.string({ maxLength: 3 })))
      .map(([line, at, text]) => line.slice(0, at) + text + line.slice(at + 1)),
  );
  fc.assert(
    fc.property(odd, fc.constantFrom(...Object.values(PARSERS)), (line, parse) => {
      try {
        return typeof parse(line) === 'object';
      } catch (e) {
        return e instanceof Error && e.constructor === Error;
      }
    }),
    { numRuns: 3_000 },
  );
  t.pass('nothing fell over');
});
