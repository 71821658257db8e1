// Listens on a Unix socket that nobody but its owner may open, at any moment: it is bound in a private directory, made 0600 and then
// moved to its name, which also replaces a stale one in the same step. A socket that answers belongs to a living process: refused.
import { chmod, mkdtemp, rename, rm, rmdir, stat } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { dirname, join } from 'node:path';

/** sun_path holds 108 bytes with its end (unix(7)). */
const PATH_MAX_BYTES = 107;

/** Answers a function that removes the socket's name. Errors name the path and the remedy. */
export async function listenOnUnixSocket(server: Server, path: string): Promise<() => Promise<void>> {
  if (await answers(path)) throw new Error(`${path}: another process answers on this socket: is twinstep running already?`);
  const directory = await mkdtemp(join(dirname(path), '.s-')).catch((error: NodeJS.ErrnoException) => {
    throw new Error(
      `${path}: its directory cannot be written (${error.code ?? error.message}): create ${dirname(path)} or set console.socket`,
    );
  });
  const aside = join(directory, 's');
  try {
    if (Buffer.byteLength(path) > PATH_MAX_BYTES || Buffer.byteLength(aside) > PATH_MAX_BYTES)
      throw new Error(`${path}: a socket's path may have ${PATH_MAX_BYTES} bytes: set a shorter console.socket`);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ path: aside }, () => {
        server.off('error', reject);
        resolve();
      });
    });
    await chmod(aside, 0o600);
    await rename(aside, path);
    await rmdir(directory);
  } catch (error) {
    server.close();
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
  const own = await stat(path);
  return async () => {
    // Only if it is still ours: a successor may have put its own in its place.
    const now = await stat(path).catch(() => null);
    if (now?.ino === own.ino) await rm(path, { force: true });
  };
}

/** Whether a process accepts connections on the socket. A name that is no socket, or nobody behind it: no. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}
