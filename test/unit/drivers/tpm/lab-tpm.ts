// swtpm, another implementation of a TPM 2.0, without a machine around it: commands by a socket. As a board's, it keeps what it keeps in a folder.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { TpmTransport } from '../../../../drivers/tpm/index.ts';

const HEADER_BYTES = 6;
const PATIENCE_MS = 20_000;

/** Power on. Null: swtpm is not installed. Closed: power off. `onExchange`: what was said. */
export async function powerOn(
  folder: string,
  onExchange: (command: Buffer, answer: Buffer) => void = () => undefined,
): Promise<TpmTransport | null> {
  const path = join(folder, 'commands');
  const child = spawn(
    'swtpm',
    [
      ...['socket', '--tpm2', '--tpmstate', `dir=${folder}`, '--server', `type=unixio,path=${path}`],
      ...['--ctrl', `type=unixio,path=${path}.control`, '--flags', 'startup-clear'],
    ],
    { stdio: 'ignore' },
  );
  const isThere = await Promise.race([once(child, 'spawn').then(() => true), once(child, 'error').then(() => false)]);
  if (!isThere) return null;
  const socket = await connected(path);
  let bytes = Buffer.alloc(0);
  let woken: () => void = () => undefined;
  socket.on('data', (data: Buffer) => {
    bytes = Buffer.concat([bytes, data]);
    woken();
  });
  const isWhole = (): boolean => bytes.length >= HEADER_BYTES && bytes.length >= bytes.readUInt32BE(2);
  return {
    async exchange(command) {
      bytes = Buffer.alloc(0);
      socket.write(command);
      while (!isWhole())
        await new Promise<void>((resolve) => {
          woken = resolve;
        });
      onExchange(command, bytes);
      return bytes;
    },
    async close() {
      socket.destroy();
      child.kill();
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    },
  };
}

async function connected(path: string): Promise<Socket> {
  for (const until = performance.now() + PATIENCE_MS; ; await delay(20)) {
    const socket = createConnection(path);
    try {
      await once(socket, 'connect');
      return socket;
    } catch (error) {
      if (performance.now() > until) throw error;
    }
  }
}
