// `twinstep hardware [--json] [--socket PATH]`: the hardware as the local process knows it, for people and for whatever watches servers.
import { Command } from 'commander';
import { consoleModel, type HardwareModel } from '../model.ts';
import { hardwareLines } from '../serial/hardware-pages.ts';
import { pageText } from '../serial/pages.ts';
import { type CommandIo, DEFAULT_SOCKET, oneSnapshot } from './local-socket.ts';
import { parseArguments } from './parse-arguments.ts';

const WIDTH = 80;
/** As checks of monitoring systems have them. */
const EXIT = { well: 0, warning: 1, critical: 2, unknown: 3 } as const;

/** `argv`: what follows `hardware`. Answers the exit code: see EXIT; wrong arguments and no answer are unknown too. */
export async function runHardware(argv: readonly string[], io: CommandIo): Promise<number> {
  const command = new Command('twinstep hardware')
    .description('The faults of both servers, and what this one reads of its hardware.')
    .option('--json', 'what is known as JSON, with the exit code')
    .option('--socket <path>', "the process's socket", DEFAULT_SOCKET)
    .addHelpText(
      'after',
      '\nExit code: 0 well; 1 a warning; 2 something critical, or the servers do not qualify for lockstep;\n3 not known: not watched, not read yet, the process does not answer, or wrong arguments.',
    )
    .allowExcessArguments(false);
  const code = parseArguments(command, argv, io);
  if (code !== null) return code === 0 ? 0 : EXIT.unknown;
  const { json, socket } = command.opts<{ json?: boolean; socket: string }>();
  try {
    const snapshot = await oneSnapshot(socket);
    const m = consoleModel(snapshot);
    const exitCode = exitCodeOf(m.hardware);
    const { at, coServer, hardware = null } = snapshot;
    io.stdout.write(
      json
        ? `${JSON.stringify({ coServer, at, exitCode, hardware }, null, 2)}\n`
        : pageText(hardwareLines(m, Math.min(120, Math.max(60, io.stdout.columns ?? WIDTH)))),
    );
    return exitCode;
  } catch (error) {
    io.stderr.write(`twinstep hardware: ${error instanceof Error ? error.message : String(error)}\n`);
    return EXIT.unknown;
  }
}

function exitCodeOf(hardware: HardwareModel | null): number {
  const tones = hardware ? [hardware.tone, hardware.qualification.tone] : ['unknown'];
  if (tones.includes('critical')) return EXIT.critical;
  if (tones.includes('warning')) return EXIT.warning;
  // Whether the servers are compared is another question than whether this one is well.
  return tones[0] === 'unknown' ? EXIT.unknown : EXIT.well;
}
