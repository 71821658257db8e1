// Joins this terminal to a CoServer's serial console: every key goes there as it is, Ctrl-] comes back.
import { SerialPort } from 'serialport';
import { LabError } from './lab-error.ts';

const LEAVE = 0x1d;
/** A pseudo terminal has no speed; the number is the customary one of a serial console. */
const BAUD_RATE = 115200;

/** Resolves when the user has left, standard input has ended, or the lab is gone. */
export async function attachConsole(device: string, gone: Promise<void>): Promise<void> {
  const { stdin, stdout } = process;
  const port = new SerialPort({ path: device, baudRate: BAUD_RATE, autoOpen: false });
  await new Promise<void>((resolve, reject) => {
    port.open((error) =>
      error === null ? resolve() : reject(new LabError(`the serial console ${device} cannot be opened: ${error.message}`)),
    );
  });
  stdout.write('Connected. Ctrl-] leaves.\r\n');
  if (stdin.isTTY) stdin.setRawMode(true);
  try {
    await new Promise<void>((resolve) => {
      port.on('data', (bytes: Buffer) => stdout.write(bytes));
      port.once('close', () => resolve());
      stdin.on('data', (bytes: Buffer) => {
        const at = bytes.indexOf(LEAVE);
        port.write(at < 0 ? bytes : bytes.subarray(0, at));
        if (at >= 0) resolve();
      });
      stdin.once('end', () => resolve());
      void gone.then(resolve);
      // Ctrl-L: a console that has drawn before we came draws again.
      port.write('\f');
    });
  } finally {
    if (stdin.isTTY) stdin.setRawMode(false);
    stdin.pause();
    if (port.isOpen) await new Promise<void>((resolve) => port.drain(() => port.close(() => resolve())));
    stdout.write('\r\n');
  }
}
