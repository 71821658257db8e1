import t from 'tap';
import { availableMemoryBytes, judgeMemory, testedBytes } from '../../../../hwqual/burn-in/memory.ts';
import { invert, noErrors, patternsOf } from '../../../../hwqual/burn-in/memory-patterns.ts';
import { memoryWork } from '../../../../hwqual/burn-in/memory-work.ts';

const MIB = 2 ** 20;

/** Stops after the first whole pass: the work looks after each chunk. */
function afterOnePass(): {
  stop: AbortSignal;
  disturb: (at: (words: Uint32Array, pattern: string) => void) => (w: Uint32Array, p: string) => void;
} {
  const stop = new AbortController();
  let random = 0;
  return {
    stop: stop.signal,
    disturb: (at) => (words, pattern) => {
      // "walking ones" for the second time: a second pass has begun.
      if (pattern === 'walking ones' && ++random > 1) stop.abort();
      else at(words, pattern);
    },
  };
}

t.test('each pattern is what it says, and its check finds a single flipped bit', async (t) => {
  for (const round of [0, 1, 31, 32])
    for (const pattern of patternsOf(round)) {
      const words = new Uint32Array(1024);
      const errors = noErrors();
      pattern.fill(words, 4096);
      pattern.check(words, 4096, errors);
      t.equal(errors.count, 0, `${pattern.name} as written`);
      const index = 517;
      words[index] = (words[index] ?? 0) ^ (1 << 13);
      pattern.check(words, 4096, errors);
      t.equal(errors.count, 1, `${pattern.name}: the flip is found`);
      t.match(errors.examples[0], { pattern: pattern.name, offset: (4096 + index) * 4 });
    }
  t.strictSame([...fill('walking ones', 4)], [1, 2, 4, 8]);
  t.strictSame([...fill('walking zeroes', 2)], [0xfffffffe, 0xfffffffd]);
  t.strictSame([...fill('address in address', 3)], [0, 1, 2]);
});

function fill(name: string, length: number): Uint32Array {
  const words = new Uint32Array(length);
  patternsOf(0)
    .find((p) => p.name === name)
    ?.fill(words, 0);
  return words;
}

t.test('two addresses that are one cell are seen by the addresses', async (t) => {
  const words = new Uint32Array(64);
  const [address] = patternsOf(0).filter((p) => p.name === 'address in address');
  address?.fill(words, 0);
  words[8] = words[40] ?? 0; // bit 5 of the address is stuck
  const errors = noErrors();
  address?.check(words, 0, errors);
  t.strictSame(errors.examples, [{ pattern: 'address in address', offset: 32, expected: '0x00000008', found: '0x00000028' }]);
});

t.test('moving inversions: a cell that sticks is found upwards or downwards', async (t) => {
  const words = new Uint32Array(16).fill(0x55555555);
  const errors = noErrors();
  invert(words, 0, { from: 0x55555555, to: 0xaaaaaaaa, down: false }, errors);
  t.equal(errors.count, 0);
  words[3] = 0x55555555; // it did not take the inverse
  invert(words, 0, { from: 0xaaaaaaaa, to: 0x55555555, down: true }, errors);
  t.match(errors, { count: 1, examples: [{ pattern: 'moving inversions, downwards', offset: 12 }] });
});

t.test('good memory passes, and all of it was checked with all patterns', async (t) => {
  const { stop, disturb } = afterOnePass();
  const seen = new Set<string>();
  const figures = await memoryWork(
    { bytes: 2 * MIB, from: 0 },
    stop,
    () => {},
    disturb((_w, pattern) => seen.add(pattern)),
  );
  t.match(figures, { bytes: 2 * MIB, passes: 1, errors: 0 });
  // Five patterns and three steps of the moving inversions.
  t.equal(figures.checkedBytes, 8 * 2 * MIB);
  t.equal(seen.size, 6);
  t.equal(judgeMemory([figures], { freeMiB: 100, durationS: 1 }).verdict, 'pass');
});

t.test('bad memory: the verdict names offset and pattern', async (t) => {
  const { stop, disturb } = afterOnePass();
  const figures = await memoryWork(
    { bytes: 2 * MIB, from: 4 * MIB },
    stop,
    () => {},
    disturb((words, pattern) => {
      if (pattern === 'random, inverse') words[100] = (words[100] ?? 0) ^ 1;
    }),
  );
  t.equal(figures.errors, 1);
  const { verdict, reason } = judgeMemory([figures], { freeMiB: 100, durationS: 1 });
  t.equal(verdict, 'fail');
  t.match(reason, `offset ${4 * MIB + 400} of the tested memory with the pattern "random, inverse"`);
});

t.test('nothing checked is no pass', async (t) => {
  const figures = await memoryWork({ bytes: MIB, from: 0 }, AbortSignal.abort(), () => {});
  t.equal(judgeMemory([figures], { freeMiB: 100, durationS: 0 }).verdict, 'notTested');
});

t.test('how much is taken', async (t) => {
  t.equal(testedBytes(8192 * MIB, 0.5), 4096 * MIB);
  t.equal(testedBytes(1000 * MIB, 0.95), 744 * MIB, 'a reserve stays');
  t.equal(testedBytes(310 * MIB, 0.5), 0, 'too little');
  t.equal(availableMemoryBytes('MemTotal: 9 kB\nMemAvailable:   1024 kB\n'), MIB);
  t.throws(() => availableMemoryBytes('MemTotal: 9 kB\n'), /MemAvailable/);
});
