// What a command does with its arguments: help and errors go to its own output, and nothing ends the process.
import { type Command, CommanderError } from 'commander';
import type { CommandIo } from './local-socket.ts';

/** Null: `command` has its options. Otherwise the exit code: 0 after the help, 2 for wrong arguments. */
export function parseArguments(command: Command, argv: readonly string[], io: CommandIo): number | null {
  command.exitOverride().configureOutput({ writeOut: (text) => io.stdout.write(text), writeErr: (text) => io.stderr.write(text) });
  try {
    command.parse([...argv], { from: 'user' });
    return null;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    throw error;
  }
}
