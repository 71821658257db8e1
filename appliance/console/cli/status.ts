// `twinstep status [--json | --history | --incidents] [--watch] [--socket PATH]`: the picture of the pair from the local process's Unix socket, for people and scripts.
import { Command } from 'commander';
import type { Snapshot } from '../../core/snapshot.ts';
import { eventDecoder } from '../api/event-stream.ts';
import { consoleModel } from '../model.ts';
import { incidentList, incidentText, modeLines } from '../serial/lockstep-pages.ts';
import { eventLines, historyText, overviewLines, pageText } from '../serial/pages.ts';
import { askSocket, badStatus, type CommandIo, DEFAULT_SOCKET, oneSnapshot, parseSnapshot } from './local-socket.ts';
import { parseArguments } from './parse-arguments.ts';

/** The live stream brings a picture at least once a second. */
const SILENCE_MS = 5_000;
const RETRY_MS = 1_000;
const EVENT_LINES = 12;
const WIDTH = 80;

export interface StatusIo extends CommandIo {
  /** Ends --watch. */
  signal?: AbortSignal;
}

interface StatusOptions {
  json?: boolean;
  incidents?: boolean;
  history?: boolean;
  watch?: boolean;
  socket: string;
}

/** `argv`: what follows `status`. Answers the exit code: 0 the picture was shown, 2 wrong arguments, 3 the process does not answer. */
export async function runStatus(argv: readonly string[], io: StatusIo): Promise<number> {
  const command = new Command('twinstep status')
    .description('The state of the pair, asked from the process on this CoServer.')
    .option('--json', 'the whole picture as JSON; with --watch one line per change')
    .option('--history', 'what happened, each with the situation and what was known')
    .option('--incidents', 'the replicas that were found broken, each with what was seen')
    .option('--watch', 'show every change until Ctrl-C')
    .option('--socket <path>', "the process's socket", DEFAULT_SOCKET)
    .allowExcessArguments(false);
  const code = parseArguments(command, argv, io);
  if (code !== null) return code;
  const options = command.opts<StatusOptions>();
  try {
    if (options.watch) await watch(options, io);
    else show(await oneSnapshot(options.socket), options, io);
    return 0;
  } catch (error) {
    io.stderr.write(`twinstep status: ${error instanceof Error ? error.message : String(error)}\n`);
    return 3;
  }
}

export function statusText(snapshot: Snapshot, width: number): string {
  const m = consoleModel(snapshot);
  const title = `CoServer ${m.headline.coServer}, ${m.headline.date} ${m.headline.clock} UTC, ${m.headline.facts.map((f) => `${f.label.toLowerCase()} ${f.value}`).join(', ')}`;
  const mode = `\n${pageText(modeLines(m, width))}`;
  const incidents =
    m.incidents.length === 0 ? '' : `\nIncidents (what was seen: --incidents)\n${pageText(incidentList(m.incidents, width))}`;
  const events = eventLines(m, width).slice(0, EVENT_LINES);
  return `${title}\n\n${pageText(overviewLines(m, width))}${mode}${incidents}\nLatest events (what was known: --history)\n${pageText(events)}`;
}

function show(snapshot: Snapshot, { json, incidents, history, watch }: StatusOptions, io: StatusIo): void {
  if (json) {
    io.stdout.write(`${watch ? JSON.stringify(snapshot) : JSON.stringify(snapshot, null, 2)}\n`);
    return;
  }
  const width = Math.min(120, Math.max(60, io.stdout.columns ?? WIDTH));
  const m = consoleModel(snapshot);
  const text = incidents ? incidentText(m.incidents, width) : history ? historyText(m.events, width) : statusText(snapshot, width);
  io.stdout.write(watch ? (io.stdout.isTTY ? `\u001b[H\u001b[2J${text}` : `${text}\n`) : text);
}

async function watch(options: StatusOptions, io: StatusIo): Promise<void> {
  let seen = false;
  while (!io.signal?.aborted) {
    const decode = eventDecoder();
    try {
      const signal = io.signal ? { signal: io.signal } : {};
      const status = await askSocket({ socketPath: options.socket, path: '/api/live', silenceMs: SILENCE_MS, ...signal }, (chunk) => {
        for (const event of decode(chunk)) {
          if (event.event !== 'snapshot') continue;
          seen = true;
          show(parseSnapshot(event.data, options.socket), options, io);
        }
      });
      if (status !== 200) throw new Error(badStatus(options.socket, status));
    } catch (error) {
      // The first time it is an answer; later the process may come back.
      if (!seen) throw error;
      if (!io.signal?.aborted) io.stderr.write(`${error instanceof Error ? error.message : String(error)} Trying again.\n`);
    }
    if (!io.signal?.aborted) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}
