// The power-cut test by hand: `--phase listen` on the other CoServer, `--phase write` here, the power is cut, `--phase verify` after it.
import { createSocket } from 'node:dgram';
import { StoreError } from '../../drivers/block/index.ts';
import type { ScratchOptions } from './context.ts';
import { openScratch, ScratchError } from './disk-scratch.ts';
import { CUT_FILE_NAME, verifyPhase, writePhase } from './power-cut.ts';

/** Records of 4 KiB each; all of them are looked at afterwards. */
const SIZE_MIB = 16;
const TELL_MS = 200;

export type CutPhase =
  | { phase: 'write'; tell: { host: string; port: number } | null }
  | { phase: 'verify'; acknowledged: number }
  | { phase: 'listen'; address: string; port: number };

/** Answers the exit code: 0 well, 1 lost records or an error of the disk. */
export async function runPowerCut(
  what: CutPhase,
  scratch: ScratchOptions,
  say: (line: string) => void,
  stop: AbortSignal,
): Promise<number> {
  try {
    switch (what.phase) {
      case 'write':
        return await write(what.tell, scratch, say, stop);
      case 'verify':
        return await verify(what.acknowledged, scratch, say);
      case 'listen':
        return await listen(what, say, stop);
      default:
        what satisfies never;
        return 1;
    }
  } catch (error) {
    if (!(error instanceof ScratchError || error instanceof StoreError)) throw error;
    say(error.message);
    return 1;
  }
}

function place(scratch: ScratchOptions): Parameters<typeof openScratch>[0] {
  return { ...scratch, sizeMiB: SIZE_MIB, fileName: CUT_FILE_NAME, keep: true };
}

async function write(
  tell: { host: string; port: number } | null,
  scratch: ScratchOptions,
  say: (line: string) => void,
  stop: AbortSignal,
): Promise<number> {
  const { store, where, end } = await openScratch(place(scratch));
  const socket = tell === null ? null : createSocket('udp4');
  try {
    say(`writing numbered records to ${where}: cut the power now, and verify with the last number told`);
    const last = await writePhase(
      store,
      {
        acknowledge: (n) => {
          if (tell) socket?.send(`acknowledged ${n}\n`, tell.port, tell.host);
        },
        say: (n) => say(`acknowledged ${n}`),
      },
      stop,
    );
    say(`ended without a power cut, after ${last} records`);
    return 0;
  } finally {
    socket?.close();
    await end();
  }
}

async function verify(acknowledged: number, scratch: ScratchOptions, say: (line: string) => void): Promise<number> {
  const { store, end } = await openScratch(place(scratch));
  try {
    const result = await verifyPhase(store, acknowledged);
    say(result.sentence);
    return result.verdict === 'pass' ? 0 : 1;
  } finally {
    await end();
  }
}

/** Prints the highest number now and then, and at the end. */
function listen({ address, port }: { address: string; port: number }, say: (line: string) => void, stop: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    let [highest, said] = [0, 0];
    const socket = createSocket('udp4');
    const tell = (): void => {
      if (highest === said) return;
      said = highest;
      say(`acknowledged ${highest}`);
    };
    const timer = setInterval(tell, TELL_MS);
    socket.on('message', (message) => {
      const number = Number(/^acknowledged (\d{1,15})\n$/.exec(message.toString('latin1'))?.[1] ?? 0);
      highest = Math.max(highest, number);
    });
    socket.once('error', (error) => {
      clearInterval(timer);
      reject(error);
    });
    socket.bind(port, address, () => say(`listening on ${address}:${socket.address().port}`));
    const end = (): void => {
      clearInterval(timer);
      tell();
      socket.close(() => resolve(0));
    };
    if (stop.aborted) end();
    else stop.addEventListener('abort', end, { once: true });
  });
}
