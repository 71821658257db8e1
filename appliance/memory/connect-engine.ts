// Connects to the socket on which the secondary's engine waits for its migration.
import net from 'node:net';

/** The engine listens before the session begins, or very soon after: longer means it died. */
const CONNECT_TIMEOUT_MS = 5_000;
const CONNECT_RETRY_MS = 20;

export interface EngineConnectSink {
  /** False: the session is over, nobody needs the connection any more. */
  isWanted(): boolean;
  /** Once. Errors of the socket are dealt with: 'close' follows them. */
  connected(engine: net.Socket): void;
  failed(reason: string): void;
  nowMs(): number;
}

/** Tries again while the engine does not listen yet. */
export function connectEngine(socketPath: string, sink: EngineConnectSink): void {
  const deadlineMs = sink.nowMs() + CONNECT_TIMEOUT_MS;
  const attempt = (): void => {
    let stands = false;
    const socket = net.connect(socketPath);
    socket.once('connect', () => {
      if (!sink.isWanted()) {
        socket.destroy();
        return;
      }
      stands = true;
      sink.connected(socket);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (stands || !sink.isWanted()) return;
      if ((error.code === 'ENOENT' || error.code === 'ECONNREFUSED') && sink.nowMs() < deadlineMs) {
        setTimeout(() => sink.isWanted() && attempt(), CONNECT_RETRY_MS);
      } else {
        sink.failed(`the secondary's engine does not listen on ${socketPath}: ${error.message}`);
      }
    });
  };
  attempt();
}
