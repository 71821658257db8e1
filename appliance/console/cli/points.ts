// `twinstep points list|take|remove|roll-back|export|mount|unmount`: restore points, asked of the process on this CoServer.
import { Command } from 'commander';
import { durationText, rateText, sizeText } from '../format.ts';
import { consoleModel } from '../model.ts';
import { pageText } from '../serial/pages.ts';
import { pointLines } from '../serial/point-pages.ts';
import { askSocket, type CommandIo, DEFAULT_SOCKET, oneSnapshot } from './local-socket.ts';
import { parseArguments } from './parse-arguments.ts';
import { exportPoint } from './point-export.ts';
import { mountPoint, unmountPoint } from './point-mount.ts';
import { type PointExportAnswer, PointsRefusal } from './points-refusal.ts';

/** The end of an interval is waited for. */
const ANSWER_TIMEOUT_MS = 120_000;
/** As long as the disk takes. */
const ROLL_BACK_TIMEOUT_MS = 24 * 3_600_000;
const ANSWER_MAX_CHARS = 64 * 1024;
const LOOK_EVERY_MS = 1_000;
const WIDTH = 80;

/** `argv`: what follows `points`. Answers the exit code: 0 done, 1 refused, 2 wrong arguments, 3 the process does not answer. */
export async function runPoints(argv: readonly string[], io: CommandIo): Promise<number> {
  const command = new Command('twinstep points')
    .description("Restore points of the guest's disk.")
    .argument('[what]', 'list, take NAME, remove NAME, roll-back NAME, export NAME FILE.qcow2, mount NAME DIR, unmount DIR', 'list')
    .argument('[name]')
    .argument('[target]')
    .option('--typed <word>', "the word that roll-back needs: 'roll back'")
    .option('--partition <number>', 'mount: which partition of the disk, from 1 on; without it a disk that has no partitions')
    .option('--socket <path>', "the process's socket", DEFAULT_SOCKET)
    .allowExcessArguments(false);
  const code = parseArguments(command, argv, io);
  if (code !== null) return code;
  const [what = 'list', name, target] = command.args;
  const o = command.opts<{ typed?: string; partition?: string; socket: string }>();
  try {
    return await obey(what, name, target, o, io);
  } catch (error) {
    io.stderr.write(`twinstep points: ${error instanceof Error ? error.message : String(error)}\n`);
    return error instanceof PointsRefusal ? 1 : 3;
  }
}

async function obey(
  what: string,
  name: string | undefined,
  target: string | undefined,
  o: { typed?: string; partition?: string; socket: string },
  io: CommandIo,
): Promise<number> {
  const wrong = (text: string): number => {
    io.stderr.write(`twinstep points: ${text}\n`);
    return 2;
  };
  if (what === 'list') {
    io.stdout.write(pageText(pointLines(consoleModel(await oneSnapshot(o.socket)), WIDTH)));
    return 0;
  }
  if (name === undefined) return wrong(`'${what}' needs a name: twinstep points --help`);
  switch (what) {
    case 'take':
      io.stdout.write(`${String((await askPoint(o.socket, 'take', { name })).text)}\n`);
      return 0;
    case 'remove':
      await askPoint(o.socket, 'remove', { name });
      io.stdout.write(`The restore point '${name}' was removed.\n`);
      return 0;
    case 'roll-back':
      io.stdout.write(`${await rollBack(o.socket, name, o.typed ?? '', io)}\n`);
      return 0;
    case 'export':
      if (target === undefined) return wrong('export needs a name and a file: twinstep points export NAME FILE.qcow2');
      await withExport(o.socket, name, async (e) => exportPoint(e, target, io));
      return 0;
    case 'mount': {
      const partition = o.partition === undefined ? null : Number(o.partition);
      if (target === undefined) return wrong('mount needs a name and a directory: twinstep points mount NAME DIR');
      if (partition !== null && !(Number.isInteger(partition) && partition >= 1 && partition <= 128))
        return wrong('--partition: a number from 1 to 128 is needed');
      // The export stays as long as it is mounted: it ends by itself when nobody is connected any more.
      io.stdout.write(`${await mountPoint(await startExport(o.socket, name), name, target, partition)}\n`);
      return 0;
    }
    case 'unmount':
      io.stdout.write(`${await unmountPoint(name)}\n`);
      return 0;
    default:
      return wrong(`there is no '${what}': list, take, remove, roll-back, export, mount, unmount`);
  }
}

async function withExport(socketPath: string, name: string, work: (e: PointExportAnswer) => Promise<void>): Promise<void> {
  const exported = await startExport(socketPath, name);
  try {
    await work(exported);
  } finally {
    await askPoint(socketPath, 'end-export', { name }).catch(() => undefined);
  }
}

async function startExport(socketPath: string, name: string): Promise<PointExportAnswer> {
  const a = await askPoint(socketPath, 'export', { name });
  return { socketPath: String(a.socketPath), exportName: String(a.exportName), sizeBytes: Number(a.sizeBytes) };
}

/** Shows how far it is, as every console does. */
async function rollBack(socketPath: string, name: string, typed: string, io: CommandIo): Promise<string> {
  let last = '';
  const timer = setInterval(() => {
    oneSnapshot(socketPath).then(
      ({ progress: p }) => {
        if (!p) return;
        const left = p.etaS === null ? '' : `, ${durationText(p.etaS * 1000)} left`;
        const line = `${p.what}: ${sizeText(p.doneBytes)} of ${sizeText(p.totalBytes)}, ${rateText(p.rateBytesPerS)}${left}`;
        if (line !== last) io.stdout.write(`${line}\n`);
        last = line;
      },
      () => undefined,
    );
  }, LOOK_EVERY_MS);
  try {
    return String((await askPoint(socketPath, 'roll-back', { name, typed }, ROLL_BACK_TIMEOUT_MS)).text);
  } finally {
    clearInterval(timer);
  }
}

/** Answers the details. Rejects with the reason of a refusal. */
async function askPoint(
  socketPath: string,
  verb: string,
  question: { name: string; typed?: string },
  silenceMs = ANSWER_TIMEOUT_MS,
): Promise<Record<string, unknown>> {
  let text = '';
  const status = await askSocket({ socketPath, path: `/api/points/${verb}`, body: JSON.stringify(question), silenceMs }, (chunk) => {
    text += chunk;
    if (text.length > ANSWER_MAX_CHARS) throw new Error(`${socketPath} sent more than an answer: is it twinstep's?`);
  });
  let value: { accepted?: unknown; reason?: unknown; detail?: unknown } = {};
  try {
    value = JSON.parse(text) as typeof value;
  } catch {
    // The status alone is told.
  }
  if (status !== 200)
    throw new PointsRefusal(typeof value.reason === 'string' ? value.reason : `the process answered with HTTP status ${status}`);
  return (typeof value.detail === 'object' && value.detail !== null ? value.detail : {}) as Record<string, unknown>;
}
