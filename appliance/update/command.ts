// `twinstep update status | install FILE | rollback | restart | pair`: the versions on this server, by whoever may be root on it. It works on the disk
// itself, also where no product runs; a lock keeps it and the consoles from changing it at the same time.
import { createReadStream } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { UpdateRefusal } from './bundle.ts';
import { localSnapshot } from './local.ts';
import { addPairVerb, type PairCommandOptions, type PairVerb, runPairVerb } from './pair-command.ts';
import { findPlace, type Place } from './place.ts';
import { restartServer, whyNotRestart } from './restart.ts';
import { type UpdateStatus, UpdateStore } from './update-store.ts';

const DEFAULT_SOCKET = '/run/twinstep/console.sock';

export interface UpdateIo {
  stdin: AsyncIterable<Uint8Array>;
  stdout: { write(text: string): unknown; isTTY?: boolean };
  stderr: { write(text: string): unknown };
}

/** What a test puts in their place. */
export interface UpdateDoors {
  place: () => Place;
  store: (place: Place) => UpdateStore;
  restart: () => void;
}

const DOORS: UpdateDoors = { place: findPlace, store: (place) => new UpdateStore(place), restart: restartServer };

interface Options {
  json?: boolean;
  force?: boolean;
  restart?: boolean;
  pair?: boolean;
  restartGuest?: boolean;
  socket: string;
}

/** `argv`: what follows `update`. Answers the exit code: 0 done, 1 refused, 2 wrong arguments, 3 this is no appliance. */
export async function runUpdate(argv: readonly string[], io: UpdateIo, doors: UpdateDoors = DOORS): Promise<number> {
  const command = commandFor(io);
  let run: () => Promise<void> = async () => {};
  const later = (f: (store: UpdateStore, options: Options) => Promise<void>) => (o: Options) => {
    run = () => f(doors.store(doors.place()), o);
  };
  const restart = async (o: Options) => restartOr(await whyNot(o), io, doors);
  addVerbs(command, {
    status: later(async (store, { json }) => {
      const status = await store.status();
      io.stdout.write(json ? `${JSON.stringify(status, null, 2)}\n` : statusText(status));
    }),
    install: (file, o) =>
      later(async (store) => {
        const from = file === '-' ? io.stdin : (createReadStream(file, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>);
        const { version } = await store.receive(from, { force: o.force ?? false, onProgress: progressTo(io) });
        if (o.pair) {
          io.stdout.write(await runPairVerb('start', o));
          return;
        }
        await store.activate();
        io.stdout.write(`Version ${version} is installed: it is tried at the next start of this server.\n`);
        if (o.restart) await restart(o);
      })(o),
    rollback: later(async (store, o) => {
      const version = await store.rollback({ force: o.force ?? false });
      io.stdout.write(`Version ${version} runs from the next start of this server on.\n`);
      if (o.restart) await restart(o);
    }),
    restart: later((_, o) => restart(o)),
    pair: (verb, o) => {
      run = async () => void io.stdout.write(await runPairVerb(verb, o));
    },
  });
  try {
    command.parse([...argv], { from: 'user' });
    await run();
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    io.stderr.write(`twinstep update: ${error instanceof Error ? error.message : String(error)}\n`);
    return error instanceof UpdateRefusal && error.kind === 'notAppliance' ? 3 : 1;
  }
}

function commandFor(io: UpdateIo): Command {
  const command = new Command('twinstep update').description('The versions of Twinstep on this server.');
  command.exitOverride().configureOutput({ writeOut: (text) => io.stdout.write(text), writeErr: (text) => io.stderr.write(text) });
  return command;
}

type Verb = (options: Options) => void;

function addVerbs(
  command: Command,
  verbs: {
    status: Verb;
    install: (file: string, o: Options) => void;
    rollback: Verb;
    restart: Verb;
    pair: (verb: PairVerb, o: PairCommandOptions) => void;
  },
): void {
  const verb = (usage: string, text: string) =>
    command.command(usage).description(text).option('--socket <path>', "the running process's socket", DEFAULT_SOCKET);
  verb('status', 'what runs, what is in the other slot, what the next start takes').option('--json', 'as JSON').action(verbs.status);
  verb('install', 'write an update to the slot that does not run; it is tried at the next start')
    .argument('<file>', "twinstep-VERSION.update; '-': standard input")
    .option('--force', 'also an older version')
    .option('--restart', 'start this server again at once')
    .option('--pair', 'then update both CoServers with it, one after the other')
    .option('--restart-guest', '--pair: the guest may be restarted, where there is no other way')
    .action(verbs.install);
  verb('rollback', 'take the version in the other slot at the next start')
    .option('--force', 'although it was found bad')
    .option('--restart', 'start this server again at once')
    .action(verbs.rollback);
  verb('restart', 'start this server again').option('--force', 'although the workload runs here').action(verbs.restart);
  addPairVerb(verb('pair', 'update both CoServers, one after the other, with what was received here'), verbs.pair);
}

async function whyNot({ force, socket }: Options): Promise<string | null> {
  return force ? null : whyNotRestart(await localSnapshot(socket));
}

function restartOr(whyNot: string | null, io: UpdateIo, doors: UpdateDoors): void {
  if (whyNot !== null)
    throw new UpdateRefusal('busy', `This server is not started again: ${whyNot}. All the same: twinstep update restart --force.`);
  doors.restart();
  io.stdout.write('This server starts again.\n');
}

/** At most a line for each tenth; on a terminal one line that changes. */
function progressTo(io: UpdateIo): (done: number, total: number) => void {
  let shown = -1;
  return (done, total) => {
    const percent = Math.floor((100 * done) / total);
    const step = io.stdout.isTTY ? percent : Math.floor(percent / 10);
    if (step === shown) return;
    shown = step;
    io.stdout.write(io.stdout.isTTY ? `\r${percent} % written${percent === 100 ? '\n' : ''}` : `${percent} % written\n`);
  };
}

export function statusText({ version, slot, trial, other, received, next }: UpdateStatus): string {
  const left = trial?.triesLeft ?? 0;
  const lines = [
    `Running    ${version}, slot ${slot}${trial ? `, on trial: not found healthy yet, ${left === 1 ? 'one more start' : `${left} more starts`} before the other version is taken` : ''}`,
    `Other slot ${other ? `${other.version}: ${other.text}` : 'no version that could be started'}`,
    ...(received ? [`Received   ${received}: whole, and not yet to be started`] : []),
    `Next start ${next}`,
  ];
  return `${lines.join('\n')}\n`;
}
