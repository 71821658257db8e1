// The applications on both ends. Every byte is a function of the bytes before it, so each end can verify the other; only the
// lottery draws at random, so replicas differ and the winner must remember what the world was told.
import type { Behaviour, Connection, Stack } from './stack.ts';

export const PORT = { echo: 7, sink: 9, lottery: 0x1309, abort: 0x1409, download: 80, peerEcho: 5007 } as const;
export type Service = keyof typeof PORT;

/** What a client does: `size` bytes in pieces with pauses between them. */
export interface Task {
  id: number;
  service: Service;
  size: number;
  piece: number;
  pauseMs: number;
}

export type App =
  | { kind: 'echo'; fault: number }
  | { kind: 'download'; asked: Buffer; token: number; size: number; sent: number }
  | { kind: 'sink'; hash: number; received: number; readAt: number }
  | { kind: 'lottery'; line: Buffer; last: number }
  | { kind: 'abort'; received: number }
  | {
      kind: 'client';
      task: Task;
      started: boolean;
      sent: number;
      received: number;
      hash: number;
      mark: Buffer;
      sentHash: number;
      draw: number;
      eof: boolean;
      pausedUntil: number;
    };

/** A mark of the sink: count, hash. */
const MARK_EVERY_BYTES = 700;
/** The client of `abort` sends this much before the server resets. */
export const ABORT_AFTER_BYTES = 300;

function patternByte(token: number, offset: number): number {
  let x = Math.imul(token ^ (offset >>> 2), 0x9e3779b1) >>> 0;
  x ^= x >>> 15;
  x = Math.imul(x, 0x85ebca77) >>> 0;
  return (x >>> ((offset & 3) * 8)) & 255;
}

function pattern(token: number, from: number, n: number): Buffer {
  const b = Buffer.allocUnsafe(n);
  for (let i = 0; i < n; i++) b[i] = patternByte(token, from + i);
  return b;
}

function hashOf(hash: number, bytes: Buffer): number {
  let h = hash;
  for (const b of bytes) h = (Math.imul(h, 31) + b + 1) >>> 0;
  return h;
}

function mark(count: number, hash: number): Buffer {
  const b = Buffer.alloc(8);
  b.writeUInt32BE(count, 0);
  b.writeUInt32BE(hash, 4);
  return b;
}

/** What happened to the tasks that one machine was given. */
export interface Results {
  done: Map<number, string>;
  /** Tasks whose connection ended otherwise than it should. */
  broken: string[];
}

export class Applications implements Behaviour<App> {
  readonly listens: readonly Service[];
  /** Only used on machines that are never copied; a guest's own client reports into its memory. */
  constructor(listens: readonly Service[]) {
    this.listens = listens;
  }

  copy(app: App): App {
    return { ...app };
  }

  accept(port: number): App | null {
    const service = this.listens.find((s) => PORT[s] === port);
    switch (service) {
      case 'echo':
      case 'peerEcho':
        return { kind: 'echo', fault: 0 };
      case 'download':
        return { kind: 'download', asked: Buffer.alloc(0), token: 0, size: -1, sent: 0 };
      case 'sink':
        return { kind: 'sink', hash: 7, received: 0, readAt: -1 };
      case 'lottery':
        return { kind: 'lottery', line: Buffer.alloc(0), last: 0 };
      case 'abort':
        return { kind: 'abort', received: 0 };
      case undefined:
        return null;
      default:
        return service satisfies never;
    }
  }

  ended(stack: Stack<App>, c: Connection<App>, how: string): void {
    if (c.app.kind !== 'client') {
      // A late copy of its SYN may open a connection that the client knows nothing of.
      if (how === 'resetByPeer' && c.state !== 'synReceived') stack.fault(`the client reset ${c.key}, which it never does of its own`);
      return;
    }
    const a = c.app;
    if (a.task.service === 'abort') {
      if (how === 'closed') stack.fault(`task ${a.task.id} (${c.key}): closed, though the server resets`);
    } else if (how !== 'closed' || !a.eof)
      stack.fault(`task ${a.task.id} ${a.task.service} (${c.key}): ${how} after ${a.sent}/${a.received} bytes`);
    stack.memory.notes[`ended ${a.task.id}`] = 1;
  }

  run(stack: Stack<App>, c: Connection<App>): void {
    const a = c.app;
    switch (a.kind) {
      case 'echo': {
        const n = Math.min(stack.room(c), c.inbox.length);
        if (n > 0) stack.write(c, stack.read(c, n));
        if (c.finReceived && c.inbox.length === 0) stack.close(c);
        return;
      }
      case 'download':
        if (a.size < 0) {
          a.asked = Buffer.concat([a.asked, stack.read(c)]);
          if (a.asked.length >= 8) {
            a.token = a.asked.readUInt32BE(0);
            a.size = a.asked.readUInt32BE(4);
          }
        }
        if (a.size >= 0) {
          const n = Math.min(stack.room(c), a.size - a.sent);
          if (n > 0) {
            stack.write(c, pattern(a.token, a.sent, n));
            a.sent += n;
          }
          if (a.sent === a.size) stack.close(c);
        } else if (c.finReceived) stack.close(c);
        return;
      case 'sink': {
        if (c.finReceived && c.finQueued) return;
        // A slow reader: the window closes and opens again.
        if ((c.irs & 3) === 0 && c.inbox.length > 0 && c.inbox.length < 5000 && !c.finReceived) {
          if (a.readAt < 0) a.readAt = stack.now + 7;
          c.appAt = a.readAt;
          if (stack.now < a.readAt) return;
        }
        a.readAt = -1;
        while (c.inbox.length > 0 && stack.room(c) >= 16) {
          const upTo = MARK_EVERY_BYTES - (a.received % MARK_EVERY_BYTES);
          const bytes = stack.read(c, upTo);
          a.hash = hashOf(a.hash, bytes);
          a.received += bytes.length;
          if (a.received % MARK_EVERY_BYTES === 0) stack.write(c, mark(a.received, a.hash));
        }
        if (c.finReceived && c.inbox.length === 0 && !c.finQueued) {
          stack.write(c, mark(a.received, a.hash));
          stack.close(c);
        }
        return;
      }
      case 'lottery':
        a.line = Buffer.concat([a.line, stack.read(c)]);
        while (a.line.length >= 4 && stack.room(c) >= 4) {
          const said = a.line.readUInt32BE(0);
          a.line = a.line.subarray(4);
          if (said !== a.last) stack.fault(`lottery: the client was told ${said}, this guest remembers ${a.last} (${c.key})`);
          a.last = 1 + Math.floor(stack.random.next() * 0xfffffffe);
          const b = Buffer.alloc(4);
          b.writeUInt32BE(a.last);
          stack.write(c, b);
        }
        if (c.finReceived && !c.finQueued) stack.close(c);
        return;
      case 'abort':
        a.received += stack.read(c).length;
        if (a.received >= ABORT_AFTER_BYTES) stack.abort(c);
        else if (c.finReceived) stack.close(c);
        return;
      case 'client':
        this.#client(stack, c, a);
        return;
      default:
        a satisfies never;
    }
  }

  #client(stack: Stack<App>, c: Connection<App>, a: App & { kind: 'client' }): void {
    const { task } = a;
    const token = (task.id * 2654435761) >>> 0;
    const wrong = (text: string) => stack.fault(`task ${task.id} ${task.service} (${c.key}): ${text}`);
    const bytes = stack.read(c);
    switch (task.service) {
      case 'echo':
      case 'peerEcho':
      case 'abort':
        if (bytes.length > 0 && task.service !== 'abort' && !bytes.equals(pattern(token, a.received, bytes.length)))
          wrong(`echo differs from byte ${a.received} on`);
        a.received += bytes.length;
        if (a.received > a.sent) wrong(`echo of ${a.received} bytes, ${a.sent} sent`);
        this.#pieces(stack, c, a, task.service === 'abort' ? 2 * ABORT_AFTER_BYTES : task.size, token);
        break;
      case 'download':
        if (!bytes.equals(pattern(token, a.received, bytes.length))) wrong(`download differs from byte ${a.received} on`);
        a.received += bytes.length;
        if (!a.started) {
          a.started = true;
          stack.write(c, mark(token, task.size));
        }
        if (c.finReceived && !c.finQueued) {
          if (a.received !== task.size) wrong(`download of ${a.received} bytes, ${task.size} asked`);
          stack.close(c);
        }
        break;
      case 'sink': {
        this.#pieces(stack, c, a, task.size, token);
        a.mark = Buffer.concat([a.mark, bytes]);
        while (a.mark.length >= 8) {
          const upTo = a.mark.readUInt32BE(0);
          if (upTo > task.size || upTo < a.received) {
            wrong(`the sink speaks of ${upTo} bytes after ${a.received}`);
            break;
          }
          a.hash = hashOf(a.hash, pattern(token, a.received, upTo - a.received));
          a.received = upTo;
          if (a.mark.readUInt32BE(4) !== a.hash) wrong(`the sink has other bytes up to ${upTo}`);
          a.mark = a.mark.subarray(8);
        }
        if (c.finReceived && a.received !== task.size) wrong(`the sink got ${a.received} of ${task.size}`);
        break;
      }
      case 'lottery':
        a.mark = Buffer.concat([a.mark, bytes]);
        if (a.mark.length >= 4) {
          a.draw = a.mark.readUInt32BE(0);
          if (a.mark.length > 4) wrong('two draws for one line');
          a.mark = Buffer.alloc(0);
          a.received += 4;
          a.pausedUntil = stack.now + task.pauseMs;
        }
        if (a.received === a.sent && !c.finQueued) {
          if (stack.now < a.pausedUntil) c.appAt = a.pausedUntil;
          else if (a.sent >= task.size) stack.close(c);
          else {
            const b = Buffer.alloc(4);
            b.writeUInt32BE(a.draw);
            stack.write(c, b);
            a.sent += 4;
          }
        }
        break;
      default:
        task.service satisfies never;
    }
    if (c.finReceived && !a.eof) {
      a.eof = true;
      if (task.service === 'echo' || task.service === 'peerEcho') {
        if (a.received !== task.size) wrong(`end after ${a.received} of ${task.size} bytes`);
      }
    }
  }

  #pieces(stack: Stack<App>, c: Connection<App>, a: App & { kind: 'client' }, size: number, token: number): void {
    while (a.sent < size && stack.now >= a.pausedUntil) {
      const n = Math.min(a.task.piece, size - a.sent, stack.room(c));
      if (n <= 0) return;
      stack.write(c, pattern(token, a.sent, n));
      a.sent += n;
      if (a.task.pauseMs > 0) a.pausedUntil = stack.now + a.task.pauseMs;
    }
    if (a.sent < size) c.appAt = a.pausedUntil;
    else if (!c.finQueued) stack.close(c);
  }
}

export function clientApp(task: Task): App {
  return {
    kind: 'client',
    task,
    started: false,
    sent: 0,
    received: 0,
    hash: 7,
    mark: Buffer.alloc(0),
    sentHash: 7,
    draw: 0,
    eof: false,
    pausedUntil: 0,
  };
}
