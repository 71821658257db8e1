// Lets the guest open a connection to here (../guest/README.md, calls): a listener for this one connection, and the guest asked to
// connect to it. What comes is used as if it had been opened here; only its handshake went the other way.
import net from 'node:net';

const CALL_PORT = 9010;
/** The guest's answer: "ok", or an error with its reason. */
const MAX_ANSWER_CHARS = 200;

export type GuestService = 'http' | 'echo' | 'records';

export interface GuestCall {
  /** Neither function is called afterwards. */
  cancel(): void;
}

/** Calls `connected` with the guest's connection, or `failed` once. */
export function callFromGuest(
  host: string,
  service: GuestService,
  connected: (socket: net.Socket) => void,
  failed: (reason: string) => void,
): GuestCall {
  const listener = net.createServer({ noDelay: true });
  const control = net.connect({ host, port: CALL_PORT, noDelay: true });
  let isOver = false;
  let answer = '';
  const end = (then?: () => void): void => {
    if (isOver) return;
    isOver = true;
    listener.close();
    control.destroy();
    then?.();
  };
  listener.on('connection', (socket) => {
    // The guest has connected; its "ok" tells nothing more.
    if (isOver) socket.destroy();
    else end(() => connected(socket));
  });
  listener.on('error', (error) => end(() => failed(`no listener for the guest's call: ${error.message}`)));
  control.on('connect', () => {
    const here = control.localAddress ?? '';
    listener.listen({ host: here, port: 0 }, () => {
      const at = listener.address();
      if (at !== null && typeof at === 'object') control.write(`call ${here} ${at.port} ${service}\n`);
    });
  });
  control.setEncoding('latin1');
  control.on('data', (text: string) => {
    answer = (answer + text).slice(0, MAX_ANSWER_CHARS);
    if (answer.startsWith('error') && answer.includes('\n')) end(() => failed(`the guest cannot connect: ${answer.trim()}`));
  });
  control.on('end', () => end(() => failed('the guest closed the connection on which it was asked to call')));
  control.on('error', (error) => end(() => failed(`asking the guest to call: ${error.message}`)));
  return { cancel: () => end() };
}
