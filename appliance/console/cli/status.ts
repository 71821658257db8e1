// `twinstep status [--json | --incidents] [--watch] [--socket PATH]`: the picture of the pair from the local process's Unix socket, for people and scripts.
import { request } from 'node:http';
import { Command, CommanderError } from 'commander';
import type { Snapshot } from '../../core/snapshot.ts';
import { eventDecoder } from '../api/event-stream.ts';
import { consoleModel } from '../model.ts';
import { incidentList, incidentText, modeLines } from '../serial/lockstep-pages.ts';
import { eventLines, overviewLines, pageText } from '../serial/pages.ts';

/** Where the appliance's process listens unless its configuration says otherwise. */
export const DEFAULT_SOCKET = '/run/twinstep/console.sock';
const ANSWER_TIMEOUT_MS = 5_000;
/** The live stream brings a picture at least once a second. */
const SILENCE_MS = 5_000;
const RETRY_MS = 1_000;
const SNAPSHOT_MAX_CHARS = 8 * 1024 * 1024;
const EVENT_LINES = 12;
const WIDTH = 80;

export interface StatusIo {
  stdout: { write(text: string): unknown; isTTY?: boolean; columns?: number };
  stderr: { write(text: string): unknown };
  /** Ends --watch. */
  signal?: AbortSignal;
}

interface StatusOptions {
  json?: boolean;
  incidents?: boolean;
  watch?: boolean;
  socket: string;
}

/** `argv`: what follows `status`. Answers the exit code: 0 the picture was shown, 2 wrong arguments, 3 the process does not answer. */
export async function runStatus(argv: readonly string[], io: StatusIo): Promise<number> {
  const command = new Command('twinstep status')
    .description('The state of the pair, asked from the process on this CoServer.')
    .option('--json', 'the whole picture as JSON; with --watch one line per change')
    .option('--incidents', 'the replicas that were found broken, each with what was seen')
    .option('--watch', 'show every change until Ctrl-C')
    .option('--socket <path>', "the process's socket", DEFAULT_SOCKET)
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({ writeOut: (text) => io.stdout.write(text), writeErr: (text) => io.stderr.write(text) });
  try {
    command.parse([...argv], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    throw error;
  }
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
  return `${title}\n\n${pageText(overviewLines(m, width))}${mode}${incidents}\nLatest events\n${pageText(events)}`;
}

function show(snapshot: Snapshot, { json, incidents, watch }: StatusOptions, io: StatusIo): void {
  if (json) {
    io.stdout.write(`${watch ? JSON.stringify(snapshot) : JSON.stringify(snapshot, null, 2)}\n`);
    return;
  }
  const width = Math.min(120, Math.max(60, io.stdout.columns ?? WIDTH));
  const text = incidents ? incidentText(consoleModel(snapshot).incidents, width) : statusText(snapshot, width);
  io.stdout.write(watch ? (io.stdout.isTTY ? `\u001b[H\u001b[2J${text}` : `${text}\n`) : text);
}

async function oneSnapshot(socketPath: string): Promise<Snapshot> {
  let text = '';
  await ask(socketPath, '/api/snapshot', ANSWER_TIMEOUT_MS, undefined, (chunk) => {
    text += chunk;
    if (text.length > SNAPSHOT_MAX_CHARS) throw new Error(`${socketPath} sent more than a picture: is it twinstep's?`);
  });
  return parseSnapshot(text, socketPath);
}

async function watch(options: StatusOptions, io: StatusIo): Promise<void> {
  let seen = false;
  while (!io.signal?.aborted) {
    const decode = eventDecoder();
    try {
      await ask(options.socket, '/api/live', SILENCE_MS, io.signal, (chunk) => {
        for (const event of decode(chunk)) {
          if (event.event !== 'snapshot') continue;
          seen = true;
          show(parseSnapshot(event.data, options.socket), options, io);
        }
      });
    } catch (error) {
      // The first time it is an answer; later the process may come back.
      if (!seen) throw error;
      if (!io.signal?.aborted) io.stderr.write(`${error instanceof Error ? error.message : String(error)} Trying again.\n`);
    }
    if (!io.signal?.aborted) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

function parseSnapshot(text: string, socketPath: string): Snapshot {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && 'redundancy' in value && 'coServers' in value) return value as Snapshot;
  } catch {
    // Said below.
  }
  throw new Error(`${socketPath} answers, but not with a picture of a pair: is it twinstep's, of the same version?`);
}

function ask(
  socketPath: string,
  path: string,
  silenceMs: number,
  signal: AbortSignal | undefined,
  onChunk: (chunk: string) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, path, ...(signal ? { signal } : {}) });
    call.setTimeout(silenceMs, () => call.destroy(new Error(`The process at ${socketPath} has been silent for ${silenceMs / 1000} s.`)));
    call.on('error', (error: NodeJS.ErrnoException) => reject(signal?.aborted ? new Error('stopped') : explained(error, socketPath)));
    call.on('response', (response) => {
      response.setEncoding('utf8');
      response.on('error', (error: Error) => reject(explained(error, socketPath)));
      if (response.statusCode !== 200) {
        response.resume();
        reject(new Error(`The process at ${socketPath} answered with HTTP status ${response.statusCode}.`));
        return;
      }
      response.on('data', (chunk: string) => {
        try {
          onChunk(chunk);
        } catch (error) {
          call.destroy();
          reject(error);
        }
      });
      response.on('end', resolve);
    });
    call.end();
  });
}

function explained(error: NodeJS.ErrnoException, socketPath: string): Error {
  switch (error.code) {
    case 'ENOENT':
      return new Error(`twinstep does not run here: there is no ${socketPath}. Start it, or name its socket with --socket.`);
    case 'ECONNREFUSED':
      return new Error(`twinstep does not run here any more: nobody answers at ${socketPath}. Start it again.`);
    case 'EACCES':
      return new Error(`${socketPath} may be opened by its owner only: run this as root.`);
    case 'ENOTSOCK':
      return new Error(`${socketPath} is not a socket: name the process's socket with --socket.`);
    case 'ECONNRESET':
      return new Error(`The process at ${socketPath} ended the connection.`);
    default:
      return error;
  }
}
