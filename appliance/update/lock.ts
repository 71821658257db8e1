// One change of slots and boot files at a time, whoever asks: the product's consoles or the command line.
import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { UpdateRefusal } from './bundle.ts';

/** Runs `f` alone. Throws UpdateRefusal `busy` while another one runs; a lock of a process that has ended counts no more. */
export async function alone<T>(path: string, f: () => Promise<T>): Promise<T> {
  const mine = `${process.pid} ${startOf(process.pid)}`;
  for (let again = true; !take(path, mine); again = false) {
    const [pid = '', start = ''] = readHolder(path).split(' ');
    if (!again || startOf(Number(pid)) === start)
      throw new UpdateRefusal(
        'busy',
        `Another update is going on here (process ${pid}): wait until it has ended (twinstep update status).`,
      );
    rmSync(path, { force: true });
  }
  try {
    return await f();
  } finally {
    rmSync(path, { force: true });
  }
}

function take(path: string, holder: string): boolean {
  try {
    const fd = openSync(path, 'wx', 0o600);
    writeSync(fd, holder);
    closeSync(fd);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function readHolder(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** When a process began, in the kernel's ticks: a number that another process with its id does not have. Empty: there is none. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in brackets may hold anything.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}
