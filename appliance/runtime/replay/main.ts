// npm run replay FILE [-- --until N] [--verbose]: a field failure on a laptop. FILE: events.jsonl of a CoServer's state directory.
//
// Exit code 0: the same commands; 1: a difference, or nothing that could be replayed; 2: no journal that this release reads.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Command } from 'commander';
import { readJournal, UnknownJournal } from './journal-codec.ts';
import { replay } from './replay.ts';

interface Flags {
  until?: string;
  verbose?: boolean;
}

function main(file: string, flags: Flags): number {
  const until = flags.until === undefined ? null : Number(flags.until);
  if (until !== null && !(Number.isSafeInteger(until) && until > 0))
    throw new UnknownJournal(`--until ${flags.until}: the number of an event is needed`);
  const version = (JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as { version: string }).version;
  // npm changes the directory, and says from where.
  const text = readFileSync(resolve(process.env['INIT_CWD'] ?? '.', file), 'utf8');
  const r = replay(readJournal(text), { version, verbose: flags.verbose === true, until });
  for (const line of r.story) console.log(line);
  for (const line of r.damage) console.log(`damaged: ${line}`);
  if (until !== null) console.log(JSON.stringify(r.state, null, 2));
  const sum = `${r.lives} ${r.lives === 1 ? 'life' : 'lives'}, ${r.events} events`;
  if (r.difference) {
    console.log(`\nDIFFERENT after ${sum}:\n  ${r.difference.join('\n  ')}`);
    return 1;
  }
  if (r.statesDiffer)
    console.log(`! the states differ, under the same commands, since ${r.statesDiffer}: another build of the core wrote this`);
  console.log(
    `${sum}: the same commands; ${r.statesCompared} states were the same${r.damage.length > 0 ? '; damaged parts are named above' : ''}`,
  );
  return r.events > 0 ? 0 : 1;
}

const program = new Command('npm run replay --')
  .argument('<file>', "events.jsonl of a CoServer's state directory")
  .option('--until <n>', 'stop after event N, and show the state')
  .option('--verbose', 'every event, with what was said and why')
  .action((file: string, flags: Flags) => {
    try {
      process.exitCode = main(file, flags);
    } catch (e) {
      if (!(e instanceof UnknownJournal) && (e as NodeJS.ErrnoException).code === undefined) throw e;
      console.error(`${file}: ${(e as Error).message}`);
      process.exitCode = 2;
    }
  });
program.parse();
