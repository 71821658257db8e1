// One QMP monitor of one engine: commands with a time-out, out-of-band commands, events.
//
// QEMU answers the commands of one monitor in order, so whatever must not wait behind another command gets a monitor (and
// a client) of its own: the engine has several (see engineArguments). Out-of-band commands (`yank`) are answered by the
// monitor's own thread, also when QEMU's main loop is blocked.
import { EventEmitter } from 'node:events';
import net from 'node:net';
import { type EngineVersion, encodeCommand, QmpDecoder, type QmpMessage } from './codec.ts';

/** QEMU refused a command. */
export class QapiError extends Error {
  override name = 'QapiError';
  readonly command: string;
  readonly errorClass: string;
  readonly description: string;

  constructor(command: string, errorClass: string, description: string) {
    super(`engine refused '${command}': ${description} (${errorClass})`);
    this.command = command;
    this.errorClass = errorClass;
    this.description = description;
  }
}

/** No answer in time. The command may still take effect: only a query tells. */
export class QmpTimeoutError extends Error {
  override name = 'QmpTimeoutError';
}

/** The monitor's connection is gone: the engine ended, or its socket never appeared. */
export class QmpConnectionError extends Error {
  override name = 'QmpConnectionError';
}

export interface QmpEvent {
  name: string;
  data: Record<string, unknown>;
  /** The engine's wall clock, ms since 1970: for logs only. */
  timestampMs: number;
}

export interface QmpClientEvents {
  event: [QmpEvent];
  /** Guest CPUs stopped / run again. */
  STOP: [QmpEvent];
  RESUME: [QmpEvent];
  /** data: { guest: boolean, reason: "guest-shutdown" | "guest-reset" | "host-qmp-quit" | ... }. */
  SHUTDOWN: [QmpEvent];
  POWERDOWN: [QmpEvent];
  RESET: [QmpEvent];
  GUEST_PANICKED: [QmpEvent];
  /** data: { mode: "primary" | "secondary", reason: "request" | "error" }. */
  COLO_EXIT: [QmpEvent];
  /** data: { status }: with the capability `events` only. */
  MIGRATION: [QmpEvent];
  BLOCK_IO_ERROR: [QmpEvent];
  /** The connection is gone, with the reason. Once. */
  close: [reason: string];
}

const TYPED_EVENTS = [
  'STOP',
  'RESUME',
  'SHUTDOWN',
  'POWERDOWN',
  'RESET',
  'GUEST_PANICKED',
  'COLO_EXIT',
  'MIGRATION',
  'BLOCK_IO_ERROR',
] as const;

export interface QmpConnectOptions {
  /** The monitor's unix socket. */
  path: string;
  /** Named in errors: which monitor of which engine. */
  name: string;
  /** Until the greeting and the capabilities are exchanged; the socket may appear meanwhile. */
  timeoutMs: number;
  /** How long a command may take that says nothing else. Default: 10 s. */
  answerWithinMs?: number;
  signal?: AbortSignal;
}

export interface ExecuteOptions {
  timeoutMs?: number;
}

/** Long enough for a main loop busy with a checkpoint of a large guest; a command that may take longer says so. */
export const ANSWER_WITHIN_MS = 10_000;
/** Between attempts while the socket does not exist or refuses: QEMU creates it within 30-200 ms. */
const RETRY_MS = 20;
/** QEMU reads at most 8 commands ahead on one monitor when out-of-band is on; more waiting here means nobody answers. */
const MAX_PENDING = 256;

interface Pending {
  command: string;
  resolve(value: unknown): void;
  reject(error: Error): void;
  timer: NodeJS.Timeout;
}

export class QmpClient extends EventEmitter<QmpClientEvents> {
  readonly name: string;
  readonly #answerWithinMs: number;
  #socket: net.Socket;
  #decoder = new QmpDecoder();
  #pending = new Map<number, Pending>();
  #nextId = 1;
  #closedBecause: string | undefined;
  #version: EngineVersion | undefined;
  #outOfBand = false;
  #greeting = Promise.withResolvers<void>();

  private constructor(name: string, socket: net.Socket, answerWithinMs: number) {
    super();
    this.#answerWithinMs = answerWithinMs;
    this.name = name;
    this.#socket = socket;
    this.#greeting.promise.catch(() => {});
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', (error) => this.#end(error.message));
    socket.on('close', () => this.#end('the engine closed the connection'));
  }

  /** Connects, with retries until the time is over. Throws QmpConnectionError naming the socket and the last reason. */
  static async connect(options: QmpConnectOptions): Promise<QmpClient> {
    const deadline = performance.now() + options.timeoutMs;
    for (;;) {
      options.signal?.throwIfAborted();
      const left = Math.max(1, deadline - performance.now());
      try {
        return await attempt(options, left);
      } catch (error) {
        const reason = (error as Error).message;
        if (performance.now() + RETRY_MS >= deadline) {
          throw new QmpConnectionError(`${options.name}: no monitor at ${options.path} within ${options.timeoutMs} ms: ${reason}`);
        }
        await pause(RETRY_MS);
      }
    }

    async function attempt({ path, name, answerWithinMs = ANSWER_WITHIN_MS }: QmpConnectOptions, left: number): Promise<QmpClient> {
      const socket = await open(path, left);
      const client = new QmpClient(name, socket, answerWithinMs);
      const timer = setTimeout(() => client.#end('no greeting'), left);
      try {
        await client.#greeting.promise;
        await client.execute('qmp_capabilities', client.#outOfBand ? { enable: ['oob'] } : {}, { timeoutMs: left });
        return client;
      } catch (error) {
        client.close();
        throw error;
      } finally {
        clearTimeout(timer);
      }
    }
  }

  get version(): EngineVersion {
    if (!this.#version) throw new Error(`${this.name}: no greeting yet`);
    return this.#version;
  }

  get isClosed(): boolean {
    return this.#closedBecause !== undefined;
  }

  /** The command's `return` value. Throws QapiError, QmpTimeoutError, QmpConnectionError. */
  execute(command: string, args?: object, options: ExecuteOptions = {}): Promise<unknown> {
    return this.#send('execute', command, args, options);
  }

  /** As `execute`, for the few commands that QEMU allows out of band (`yank`, `migrate-pause`, `migrate-recover`). */
  executeOob(command: string, args?: object, options: ExecuteOptions = {}): Promise<unknown> {
    if (!this.#outOfBand) return Promise.reject(new QmpConnectionError(`${this.name}: the engine offers no out-of-band commands`));
    return this.#send('exec-oob', command, args, options);
  }

  /** The next event of that name (for which `accept` says true). Call it before the command that causes the event. */
  waitEvent(name: string, options: { timeoutMs: number; accept?: (event: QmpEvent) => boolean }): Promise<QmpEvent> {
    return new Promise((resolve, reject) => {
      const finish = () => {
        clearTimeout(timer);
        this.off('event', onEvent);
        this.off('close', onClose);
      };
      const onEvent = (event: QmpEvent) => {
        if (event.name !== name || options.accept?.(event) === false) return;
        finish();
        resolve(event);
      };
      const onClose = (reason: string) => {
        finish();
        reject(new QmpConnectionError(`${this.name}: waiting for ${name}: ${reason}`));
      };
      const timer = setTimeout(() => {
        finish();
        reject(new QmpTimeoutError(`${this.name}: no event ${name} within ${options.timeoutMs} ms`));
      }, options.timeoutMs);
      if (this.#closedBecause !== undefined) return onClose(this.#closedBecause);
      this.on('event', onEvent);
      this.on('close', onClose);
    });
  }

  /** Ends the connection; the engine runs on. */
  close(): void {
    this.#end('closed by us');
  }

  #send(how: 'execute' | 'exec-oob', command: string, args: object | undefined, options: ExecuteOptions): Promise<unknown> {
    if (this.#closedBecause !== undefined) {
      return Promise.reject(new QmpConnectionError(`${this.name}: '${command}': ${this.#closedBecause}`));
    }
    if (this.#pending.size >= MAX_PENDING) {
      return Promise.reject(new QmpConnectionError(`${this.name}: '${command}': ${MAX_PENDING} commands wait already`));
    }
    const id = this.#nextId++;
    const timeoutMs = options.timeoutMs ?? this.#answerWithinMs;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new QmpTimeoutError(`${this.name}: '${command}' was not answered within ${Math.round(timeoutMs)} ms`));
      }, timeoutMs);
      this.#pending.set(id, { command, resolve, reject, timer });
      this.#socket.write(encodeCommand(how, command, args, id));
    });
  }

  #receive(chunk: Buffer): void {
    let messages: QmpMessage[];
    try {
      messages = this.#decoder.feed(chunk);
    } catch (error) {
      this.#end(`not a QMP monitor: ${(error as Error).message}`);
      return;
    }
    for (const message of messages) this.#handle(message);
  }

  #handle(message: QmpMessage): void {
    switch (message.kind) {
      case 'greeting':
        this.#version = message.version;
        this.#outOfBand = message.capabilities.includes('oob');
        this.#greeting.resolve();
        return;
      case 'answer':
        this.#take(message.id)?.resolve(message.value);
        return;
      case 'failure': {
        const pending = this.#take(message.id);
        pending?.reject(new QapiError(pending.command, message.errorClass, message.description));
        return;
      }
      case 'event': {
        const event: QmpEvent = { name: message.name, data: message.data, timestampMs: message.timestampMs };
        const typed = TYPED_EVENTS.find((name) => name === message.name);
        if (typed) this.emit(typed, event);
        this.emit('event', event);
        return;
      }
      default:
        message satisfies never;
    }
  }

  #take(id: number | undefined): Pending | undefined {
    const pending = id === undefined ? undefined : this.#pending.get(id);
    if (id === undefined || !pending) return undefined;
    this.#pending.delete(id);
    clearTimeout(pending.timer);
    return pending;
  }

  #end(reason: string): void {
    if (this.#closedBecause !== undefined) return;
    this.#closedBecause = reason;
    this.#socket.destroy();
    this.#greeting.reject(new QmpConnectionError(`${this.name}: ${reason}`));
    for (const pending of this.#pending.values()) {
      clearTimeout(pending.timer);
      pending.reject(new QmpConnectionError(`${this.name}: '${pending.command}': ${reason}`));
    }
    this.#pending.clear();
    this.emit('close', reason);
  }
}

function open(path: string, timeoutMs: number): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(path);
    const timer = setTimeout(() => fail(new Error('does not accept connections')), timeoutMs);
    const fail = (error: Error) => {
      clearTimeout(timer);
      socket.destroy();
      reject(error);
    };
    socket.once('error', fail);
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.off('error', fail);
      resolve(socket);
    });
  });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
