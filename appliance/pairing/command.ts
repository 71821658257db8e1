// `twinstep pair --config FILE [--confirm CODE] [--again] [--timeout S]`: pairs this CoServer with the one at the other end of its links. It runs
// the pairing itself, or joins the process that does (an unpaired CoServer's, or `twinstep pair` in another terminal).
import { existsSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import type { CoServerConfig } from '../config.ts';
import { ask, type ControlAnswer, controlSocketOf, openControl, readAnswers, serveControl } from './control.ts';
import { startPairing } from './host.ts';
import { keepingProblem, loadPending, parseKeyFile } from './key-file.ts';
import type { Outcome } from './state.ts';
import { outcomeText, type PairingView } from './view.ts';

export interface PairIo {
  stdin: NodeJS.ReadableStream;
  stdout: { write(text: string): unknown };
  stderr: { write(text: string): unknown };
  /** Ends the pairing, as Ctrl-C does. */
  signal: AbortSignal;
}

interface PairOptions {
  config: string;
  confirm?: string;
  again?: boolean;
  timeout: number;
}

/** Paired; not paired; wrong arguments; nothing to join. */
export const EXIT = { paired: 0, notPaired: 1, usage: 2, nothingThere: 3 } as const;
const DEFAULT_TIMEOUT_S = 600;
/** These end the command: somebody has to look at something first. The others only mean that a new code follows. */
const FINAL: readonly Outcome[] = ['differHere', 'differThere', 'hostile', 'diskHere', 'diskThere'];

/** `argv`: what follows `pair`. Answers the exit code. @param load Throws for a configuration that is wrong. */
export async function runPair(argv: readonly string[], io: PairIo, load: (file: string) => CoServerConfig): Promise<number> {
  const command = new Command('twinstep pair')
    .description('Makes the key of the pair together with the CoServer at the other end of the links.')
    .requiredOption('--config <file>', "this CoServer's configuration")
    .option('--confirm <code>', 'for scripts: the other console shows CODE; confirms only if this one shows the same')
    .option('--again', 'make a new key, though there is one')
    .option('--timeout <seconds>', 'give up after so long', wholeSeconds, DEFAULT_TIMEOUT_S)
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({ writeOut: (text) => io.stdout.write(text), writeErr: (text) => io.stderr.write(text) });
  try {
    command.parse([...argv], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.paired : EXIT.usage;
    throw error;
  }
  const options = command.opts<PairOptions>();
  const config = load(options.config);
  const say = (line: string) => io.stdout.write(`${line}\n`);
  const path = controlSocketOf(config.runDir);
  const running = await openControl(path).catch(() => null);
  if (running) {
    say(`CoServer ${config.coServer} is being paired by another process here: joining it.`);
    return converse(running, options, io, say, config);
  }
  if (options.confirm !== undefined) {
    io.stderr.write(
      `twinstep pair: nothing is being paired on this CoServer: start it, or run 'twinstep pair --config ${options.config}', before a code can be confirmed.\n`,
    );
    return EXIT.nothingThere;
  }
  return host(options, config, io, say);
}

function wholeSeconds(text: string): number {
  const seconds = Number(text);
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > 86_400)
    throw new InvalidArgumentError('a whole number from 1 to 86400 is needed');
  return seconds;
}

async function host(options: PairOptions, config: CoServerConfig, io: PairIo, say: (line: string) => void): Promise<number> {
  const { keyFile, id } = config.pair;
  const problem = keepingProblem(keyFile);
  if (problem) {
    io.stderr.write(`twinstep pair: ${problem}.\n`);
    return EXIT.notPaired;
  }
  const known = existsSync(keyFile) ? parseKeyFile(readFileSync(keyFile, 'utf8')) : null;
  // A new key that waits for the partner's proof comes before the old one: making it was agreed on both consoles.
  const pairKey = known && !options.again && loadPending(keyFile, id) === null ? known.pairKey : null;
  say(`CoServer ${config.coServer}, pair ${id}, over ${config.links.map((l) => l.nic).join(' and ')}.`);
  if (pairKey)
    say(`This CoServer has a key already: it only helps its partner to finish. For a new key: twinstep pair --again, on both CoServers.`);
  const pairing = startPairing({ coServer: config.coServer, pairId: id, keyFile, nics: config.links.map((l) => l.nic), pairKey });
  try {
    const control = await serveControl(pairing, controlSocketOf(config.runDir));
    if (!control) {
      io.stderr.write('twinstep pair: another process began to pair this CoServer at the same moment: run this again to join it.\n');
      return EXIT.notPaired;
    }
    try {
      return await converse(await openControl(controlSocketOf(config.runDir)), options, io, say, config);
    } finally {
      control.close();
    }
  } finally {
    pairing.close();
  }
}

/** Shows what happens and passes on what the operator says, until there is a key or a reason why not. */
function converse(
  client: Awaited<ReturnType<typeof openControl>>,
  options: PairOptions,
  io: PairIo,
  say: (line: string) => void,
  config: CoServerConfig,
): Promise<number> {
  return new Promise((resolve) => {
    const other = config.coServer === 'A' ? 'B' : 'A';
    let view: PairingView | null = null;
    let said = '';
    let confirmed = false;
    const finish = (code: number, why = ''): void => {
      clearTimeout(timer);
      io.signal.removeEventListener('abort', stopped);
      lines?.close();
      client.destroy();
      if (why) io.stderr.write(`twinstep pair: ${why}\n`);
      resolve(code);
    };
    const stopped = (): void => finish(EXIT.notPaired, 'stopped; nothing was kept unless it says so above.');
    const timer = setTimeout(
      () => finish(EXIT.notPaired, `not paired within ${options.timeout} s. ${view?.trouble || view?.sentence || ''}`.trim()),
      options.timeout * 1000,
    );
    io.signal.addEventListener('abort', stopped);
    // A script's answer comes by --confirm; its standard input is somebody else's.
    const lines = options.confirm === undefined ? createInterface({ input: io.stdin }) : null;
    lines?.on('line', (line) => {
      const word = line.trim().toLowerCase();
      if (view?.code == null || view.phase !== 'code') return;
      if (word === 'yes' || word === 'y') ask(client, { ask: 'confirm', code: view.code });
      else if (word === 'no' || word === 'n') ask(client, { ask: 'differ' });
      else say("Answer 'yes' or 'no'.");
    });
    const show = (next: PairingView, problems: readonly string[]): void => {
      const isNewCode = next.code !== null && next.code !== view?.code;
      view = next;
      // The pause counts its seconds: they are not worth a line each.
      const text = [
        ...problems.map((p) => `Link ${p}.`),
        next.phase === 'paused' ? next.sentence.replace(/ for \d+ s/, '') : next.sentence,
        next.trouble,
      ]
        .filter((line) => line !== '')
        .join('\n');
      if (text !== said) say(text);
      said = text;
      if (isNewCode) say(`Code: ${next.code}`);
      if (next.code !== null && options.confirm !== undefined && !confirmed) {
        confirmed = true;
        ask(client, { ask: 'confirm', code: options.confirm });
      } else if (isNewCode && next.phase === 'code') say(`The same code on the console of CoServer ${other}? yes/no`);
    };
    readAnswers(client, (answer: ControlAnswer) => {
      if ('view' in answer) show(answer.view, answer.problems);
      else if ('reply' in answer) {
        if (!answer.reply.accepted) finish(EXIT.notPaired, answer.reply.reason);
      } else if ('ended' in answer) {
        if (FINAL.includes(answer.ended)) finish(EXIT.notPaired, outcomeText(answer.ended, other));
      } else {
        show(answer.paired, []);
        say(`The key's fingerprint: ${answer.paired.fingerprint ?? ''}. CoServer ${other} shows the same.`);
        finish(EXIT.paired);
      }
    });
    client.on('close', () => finish(EXIT.notPaired, 'the process that paired this CoServer has ended: run this again.'));
  });
}
