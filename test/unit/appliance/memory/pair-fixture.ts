// Two memory workers joined by channels in memory; gate and mirror are a log; the engines play the recorded session.
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MessageChannel } from 'node:worker_threads';
import type { CutCommands } from '../../../../appliance/gate/api.ts';
import type { MemoryCommands, MemoryEvents, MemorySetup } from '../../../../appliance/memory/api.ts';
import { runMemoryWorker } from '../../../../appliance/memory/worker.ts';
import type { CommitCommands } from '../../../../appliance/mirror/api.ts';
import { IntervalCounter } from '../../../../appliance/wire/interval.ts';
import { Caller, serve } from '../../../../appliance/wire/rpc.ts';
import { type FakeChannel, type FakePair, fakePair } from '../../../../drivers/link/fake.ts';
import { recordedForward } from './recorded-session.ts';

export const { synchronisation, request, checkpoints } = recordedForward();

export const WORD = { ready: '00000000', reply: '00000002', received: '00000005', loaded: '00000006' } as const;
export const PREAMBLE = Buffer.from('00020004000000010001000400000000', 'hex');

/** Either engine's end of a socket: collects what it is sent. */
export class FakeEngine {
  readonly socket: net.Socket;
  ended = false;
  #chunks: Buffer[] = [];
  /** Bytes received in all. */
  length = 0;
  readonly #log: (entry: string) => void;
  #waiting: (() => void)[] = [];

  constructor(socket: net.Socket, log: (entry: string) => void) {
    this.socket = socket;
    this.#log = log;
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.length += chunk.length;
      this.#log(`engine ${chunk.length > 16 ? `${chunk.length} bytes` : chunk.toString('hex')}`);
      this.#wake();
    });
    socket.on('end', () => {
      this.ended = true;
      this.#wake();
    });
    socket.on('error', () => {});
  }

  get received(): Buffer {
    this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0] ?? Buffer.alloc(0);
  }

  /** What came so far does not matter. */
  forget(): void {
    this.#chunks = [];
    this.length = 0;
  }

  say(hexOrBytes: string | Buffer): void {
    this.socket.write(typeof hexOrBytes === 'string' ? Buffer.from(hexOrBytes, 'hex') : hexOrBytes);
  }

  /** Until so many bytes have come in all. */
  async until(bytes: number): Promise<void> {
    await this.#until(() => this.length >= bytes, `${bytes} bytes`);
  }

  async untilEnded(): Promise<void> {
    await this.#until(() => this.ended, 'the end');
  }

  async #until(test: () => boolean, what: string): Promise<void> {
    const deadline = performance.now() + 5000;
    while (!test()) {
      if (performance.now() > deadline) throw new Error(`fake engine: waited for ${what}, ${this.length} bytes came`);
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
        setTimeout(resolve, 50);
      });
    }
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

export class FixtureSide {
  readonly interval = new IntervalCounter();
  readonly memory: Caller<MemoryCommands, MemoryEvents>;
  readonly events: { name: string; data: unknown }[] = [];
  readonly setup: MemorySetup;
  /** What the gate and the mirror do; replaced by a test that needs more. */
  cut: (interval: number) => Promise<void> = async () => {};
  decide: (interval: number) => Promise<void> = async () => {};
  replied: (interval: number) => Promise<void> = async () => {};
  ready: () => Promise<void> = async () => {};
  #waiting: (() => void)[] = [];

  constructor(
    name: 'A' | 'B',
    directory: string,
    channel: FakeChannel,
    log: (entry: string) => void,
    options: { earlyAcknowledge: boolean; lockstep?: boolean },
    ports: MessageChannel[],
  ) {
    const [main, cut, commit] = [new MessageChannel(), new MessageChannel(), new MessageChannel()];
    ports.push(main, cut, commit);
    const say = (entry: string) => log(`${name} ${entry} @${this.interval.current}`);
    serve<CutCommands, Record<string, never>>(cut.port1, {
      replied: async (a) => {
        say(`replied ${a.interval}`);
        await this.replied(a.interval);
      },
      ready: async () => {
        say('ready');
        await this.ready();
      },
      cut: async (a) => {
        say(`cut ${a.interval}`);
        await this.cut(a.interval);
        return { heldFrames: 0 };
      },
      commit: (a) => say(`output ${a.interval}`),
    });
    serve<CommitCommands, Record<string, never>>(commit.port1, {
      decide: async (a) => {
        say(`decide ${a.interval}`);
        await this.decide(a.interval);
        say(`decided ${a.interval}`);
      },
      apply: async (a) => say(`apply ${a.interval}`),
    });
    this.setup = {
      channel: { stream: 'memory', side: name, links: [], pairKey: new Uint8Array(32) },
      interval: this.interval.buffer,
      sourceSocketPath: join(directory, `${name}.source`),
      incomingSocketPath: join(directory, `${name}.incoming`),
      ...options,
    };
    this.memory = new Caller(`memory ${name}`, main.port1);
    for (const event of ['phase', 'readyHeld', 'started', 'committed', 'lost', 'checkpoint'] as const) {
      this.memory.on(event, (data) => {
        this.events.push({ name: event, data });
        for (const wake of this.#waiting.splice(0)) wake();
      });
    }
    runMemoryWorker(this.setup, main.port2, cut.port2, commit.port2, () => channel);
  }

  async until(name: string, times = 1): Promise<unknown> {
    const deadline = performance.now() + 5000;
    for (;;) {
      const found = this.events.filter((e) => e.name === name)[times - 1];
      if (found) return found.data;
      if (performance.now() > deadline) throw new Error(`no event '${name}': ${JSON.stringify(this.events)}`);
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
        setTimeout(resolve, 50);
      });
    }
  }

  has(name: string): boolean {
    return this.events.some((e) => e.name === name);
  }
}

export class PairFixture {
  readonly directory = mkdtempSync(join(tmpdir(), 'memory-'));
  readonly link: FakePair = fakePair();
  readonly log: string[] = [];
  readonly a: FixtureSide;
  readonly b: FixtureSide;
  readonly #ports: MessageChannel[] = [];
  #server: net.Server | undefined;
  #primary: FakeEngine | undefined;
  #secondary: FakeEngine | undefined;

  constructor(options: { earlyAcknowledge: boolean; lockstep?: boolean }) {
    const log = (entry: string) => this.log.push(entry);
    this.a = new FixtureSide('A', this.directory, this.link.a, log, options, this.#ports);
    this.b = new FixtureSide('B', this.directory, this.link.b, log, options, this.#ports);
  }

  get primary(): FakeEngine {
    if (!this.#primary) throw new Error('no primary engine');
    return this.#primary;
  }
  get secondary(): FakeEngine {
    if (!this.#secondary) throw new Error('no secondary engine');
    return this.#secondary;
  }

  /** Both sessions begun, both engines connected, nothing sent. */
  async connect(): Promise<void> {
    const incoming = new Promise<net.Socket>((resolve) => {
      this.#server = net.createServer({ allowHalfOpen: true }, resolve).listen(this.b.setup.incomingSocketPath);
    });
    await this.b.memory.call('startTarget', {});
    await this.a.memory.call('startSource', {});
    const socket = net.connect(this.a.setup.sourceSocketPath);
    this.#primary = new FakeEngine(socket, (e) => this.log.push(`A ${e} @${this.a.interval.current}`));
    this.#secondary = new FakeEngine(await incoming, (e) => this.log.push(`B ${e}`));
  }

  /** To the moment when both know that protection has begun. */
  async protect(): Promise<void> {
    await this.connect();
    this.primary.say(synchronisation);
    await this.secondary.until(synchronisation.length);
    this.secondary.say(Buffer.concat([PREAMBLE, Buffer.from(WORD.ready, 'hex')]));
    await this.a.until('readyHeld');
    await this.a.memory.call('releaseReady', {});
    await this.b.until('started');
    await this.primary.until(PREAMBLE.length + 4);
    this.primary.forget();
    this.secondary.forget();
    this.log.length = 0;
  }

  /** Until something that begins so was logged; answers its place. */
  async logged(entry: string): Promise<number> {
    const deadline = performance.now() + 5000;
    for (;;) {
      const index = this.log.findIndex((e) => e.startsWith(entry));
      if (index >= 0) return index;
      if (performance.now() > deadline) throw new Error(`no '${entry}' in ${this.log.join(', ')}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Bytes the primary's engine sends for the n-th recorded checkpoint (from 1), behind REQUEST. */
  checkpoint(n: number): Buffer {
    const bytes = checkpoints[n - 1];
    if (!bytes) throw new Error(`no checkpoint ${n} was recorded`);
    return bytes;
  }

  /** REQUEST out, REPLY back: the primary's engine stops its guest now. */
  async request(): Promise<void> {
    const [atSecondary, atPrimary] = [this.secondary.length, this.primary.length];
    this.primary.say(request);
    await this.secondary.until(atSecondary + 4);
    this.secondary.say(WORD.reply);
    await this.primary.until(atPrimary + 4);
  }

  /** One recorded checkpoint from REQUEST until both engines go on. */
  async wholeCheckpoint(n: number): Promise<void> {
    await this.request();
    const [atSecondary, atPrimary] = [this.secondary.length, this.primary.length];
    this.primary.say(this.checkpoint(n));
    await this.secondary.until(atSecondary + this.checkpoint(n).length);
    this.secondary.say(WORD.received);
    this.secondary.say(WORD.loaded);
    await this.primary.until(atPrimary + 8);
    await this.a.until('checkpoint', n);
  }

  async end(): Promise<void> {
    await this.a.memory.call('stop', {});
    await this.b.memory.call('stop', {});
    this.#primary?.socket.destroy();
    this.#secondary?.socket.destroy();
    this.#server?.close();
    for (const channel of this.#ports) channel.port1.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
