// What a server is made of arrives as it was told, as the README shows it; whatever else comes is refused by the name of the field.
import fc from 'fast-check';
import t from 'tap';
import { CONTROL_MESSAGE_MAX_BYTES, encodeFacts, parseFactsMessage } from '../../../../appliance/wire/partner-facts.ts';
import { InventoryError } from '../../../../drivers/inventory/index.ts';
import { FactsError, parseFacts } from '../../../../hwqual/qualify/facts-codec.ts';
import { wholeFacts } from '../../hwqual/checks/facts-fixture.ts';
import { exampleJson } from './readme-examples.ts';

const EXAMPLE = exampleJson('appliance/wire/README.md', 'facts');
const whole = await wholeFacts();

t.test('the example is what is sent and taken', async (t) => {
  const message = parseFactsMessage(EXAMPLE);
  if (!message) throw new Error('no facts');
  const facts = parseFacts(message.server);
  t.strictSame(JSON.parse(encodeFacts({ incarnation: message.incarnation, server: facts })), EXAMPLE);
});

t.test('every field arrives', async (t) => {
  const text = encodeFacts({ incarnation: '1', server: whole });
  t.ok(text.length < CONTROL_MESSAGE_MAX_BYTES / 4, 'with room');
  t.strictSame(parseFacts(parseFactsMessage(JSON.parse(text))?.server), whole);
});

t.test('other messages are not ours; broken ones are named', async (t) => {
  for (const other of [null, 7, 'facts', [], {}, { coServer: 'A' }]) t.equal(parseFactsMessage(other), null);
  for (const [facts, error] of [
    [null, /facts is no object/],
    [{ schema: 2 }, /facts\.schema is 2/],
    [{ schema: 1, incarnation: '' }, /incarnation/],
    [{ schema: 1, incarnation: 'x'.repeat(65) }, /incarnation/],
    [{ schema: 1, incarnation: '1', server: [] }, /facts\.server/],
  ] as const)
    t.throws(() => parseFactsMessage({ facts }), error);
});

/** Each place in a value, as the keys that lead there. */
function places(value: unknown, at: readonly string[] = []): (readonly string[])[] {
  if (typeof value !== 'object' || value === null) return [at];
  return [at, ...Object.entries(value).flatMap(([key, inner]) => places(inner, [...at, key]))];
}

function replaced(value: unknown, [key, ...rest]: readonly string[], by: unknown): unknown {
  if (key === undefined) return by;
  const copy = (Array.isArray(value) ? [...value] : { ...(value as object) }) as Record<string, unknown>;
  copy[key] = replaced(copy[key], rest, by);
  return copy;
}

t.test('every field that is missing or of another kind is an error that names it', async (t) => {
  for (const place of places(whole)) {
    const name = place.at(-1);
    for (const bad of [undefined, { a: 1 }, -1, 1.5, 'x'.repeat(300), 'two\nlines']) {
      if (bad === 'x'.repeat(300) && place.includes('unreadable')) continue;
      const broken = JSON.parse(JSON.stringify({ v: replaced(whole, place, bad) })) as { v: unknown };
      t.throws(() => parseFacts(broken.v), Error, `${place.join('.')}: ${String(bad).slice(0, 20)}`);
      try {
        parseFacts(broken.v);
      } catch (e) {
        t.ok(e instanceof FactsError || e instanceof InventoryError);
        if (name !== undefined && !/^\d+$/.test(name)) t.match((e as Error).message, name);
        t.ok((e as Error).message.length < 400);
      }
    }
  }
});

t.test('lists have their limits', async (t) => {
  const long = structuredClone(whole);
  long.inventory.cpu.flags = Array.from({ length: 1_025 }, (_, i) => `f${i}`);
  t.throws(() => parseFacts(long), /inventory\.cpu\.flags .*a list of at most 1024/);
  const many = structuredClone(whole);
  many.inventory.cpu.mixed = Array.from({ length: 513 }, () => 'x');
  t.throws(() => parseFacts(many), /inventory\.cpu\.mixed .*at most 512/);
  t.throws(() => parseFacts({ ...whole, nics: Array.from({ length: 33 }, () => ({ role: 'a', nic: 'b' })) }), /nics .*at most 32/);
});

t.test('anything may come', async (t) => {
  const spots = places(whole);
  const tame = (parse: () => unknown): void => {
    try {
      parse();
    } catch (e) {
      if (e instanceof TypeError || e instanceof RangeError) throw e;
    }
  };
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 8 }), fc.constantFrom(...spots), (value, spot) => {
      tame(() => parseFactsMessage(value));
      tame(() => parseFactsMessage({ facts: value }));
      tame(() => parseFacts(value));
      const broken = replaced(whole, spot, value);
      tame(() => {
        // What is taken is JSON, and is taken again the same.
        const facts = parseFacts(broken);
        t.strictSame(parseFacts(JSON.parse(JSON.stringify(facts))), facts);
      });
    }),
    { numRuns: 3_000 },
  );
  t.throws(() => parseFacts(JSON.parse('{"__proto__":{"coServer":"A"}}')), FactsError, 'nothing is inherited');
});
