// Started by seed.test.ts as a test file is: makes up 100 numbers, says them, and fails at the first that is larger than the argument.
import fc from 'fast-check';

const largest = Number(process.env.SEED_EXAMPLE_LARGEST);
const made: number[] = [];
try {
  fc.assert(
    fc.property(fc.nat(), (number) => {
      made.push(number);
      return number <= largest;
    }),
  );
} finally {
  console.log(`made ${made.join(' ')}`);
}
