// The tiny guest, asked on a command line: `node hwqual/lab/guest/tiny/ask.ts [--address A] [--within MS] status | append N`, from any place
// with a way to it, as `lab exec lan -- node ...`.
import { parseArgs } from 'node:util';
import { TinyClient } from './client.ts';

const DEFAULT_WITHIN_MS = 10_000;

const { values, positionals } = parseArgs({
  options: { address: { type: 'string' }, within: { type: 'string' } },
  allowPositionals: true,
});
const client = new TinyClient(values.address);
const withinMs = values.within === undefined ? DEFAULT_WITHIN_MS : Number(values.within);
const [what, number] = positionals;
try {
  if (what === 'status') process.stdout.write(`${JSON.stringify(await client.status(withinMs))}\n`);
  else if (what === 'append' && /^\d{1,9}$/.test(number ?? '')) {
    await client.append(Number(number), withinMs);
    process.stdout.write(`ok ${number}\n`);
  } else throw new Error('give status, or append and a number of up to nine digits');
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
