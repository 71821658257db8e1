// One CoServer's connection, from its hello on: lines in, replies out, in the order of the requests.
import type { TLSSocket } from 'node:tls';
import {
  parseWitnessHello,
  parseWitnessRequest,
  WITNESS_LINE_BYTES,
  WITNESS_PROTOCOL,
  type WitnessClientHello,
  type WitnessErrorCode,
  type WitnessReply,
  type WitnessRequest,
} from '../wire/witness.ts';
import type { Groups } from './groups.ts';
import type { SeldomLog } from './seldom-log.ts';

/** Counted since the start. */
export interface WitnessCounters {
  unknownPair: number;
  wrongKey: number;
  otherProtocol: number;
  malformed: number;
  /** Connections ended because too many had not shown a key. */
  crowded: number;
}

/** What all connections share. */
export interface Shared {
  groups: Groups;
  seldom: SeldomLog;
  counters: WitnessCounters;
  log: (severity: 'info' | 'warning', line: string) => void;
  /** The connections of each pair, the least recently heard first. */
  heard: Map<string, Set<TLSSocket>>;
  /** The one connection of each CoServer ('pair A') whose reports count. */
  speakers: Map<string, Connection>;
}

/** Of one pair: its two CoServers, and what their last power failures left behind. The least recently heard makes room. */
export const CONNECTIONS_PER_PAIR = 4;
/** A CoServer that lost its power says no farewell. Its successor reports every second: whoever is silent for so long is dead. */
const SILENT_MS = 10_000;
/** Requests that wait for their answers: a CoServer has one or two. */
const MAXIMUM_WAITING = 16;
/** Replies that a CoServer has not taken: hundreds. One that asks and does not listen must not take the memory of the others' witness. */
export const UNREAD_BYTES = 64 * 1024;

export class Connection {
  readonly #socket: TLSSocket;
  readonly #pairId: string;
  readonly #shared: Shared;
  #hello: WitnessClientHello | null = null;
  #text = '';
  #waiting = 0;
  #lastAnswer = '';

  /** Serves it until it ends. */
  static serve(socket: TLSSocket, pairId: string, shared: Shared): void {
    const connection = new Connection(socket, pairId, shared);
    const all = shared.heard.get(pairId) ?? new Set();
    shared.heard.set(pairId, all);
    const [longestSilent] = all;
    if (longestSilent && all.size >= CONNECTIONS_PER_PAIR) longestSilent.destroy();
    all.add(socket);
    socket.setNoDelay(true);
    socket.setTimeout(SILENT_MS, () => socket.destroy());
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => {
      all.delete(socket);
      all.add(socket);
      connection.#receive(chunk);
    });
    socket.on('close', () => {
      all.delete(socket);
      if (all.size === 0 && shared.heard.get(pairId) === all) shared.heard.delete(pairId);
      connection.#fallSilent();
    });
  }

  private constructor(socket: TLSSocket, pairId: string, shared: Shared) {
    this.#socket = socket;
    this.#pairId = pairId;
    this.#shared = shared;
  }

  #receive(chunk: Buffer): void {
    this.#text += chunk.toString('latin1');
    for (let end = this.#text.indexOf('\n'); end >= 0; end = this.#text.indexOf('\n')) {
      const line = this.#text.slice(0, end);
      this.#text = this.#text.slice(end + 1);
      if (line.length > WITNESS_LINE_BYTES || !this.#obey(line)) {
        this.#text = '';
        return;
      }
    }
    if (this.#text.length > WITNESS_LINE_BYTES) this.#end('malformed', `a line is longer than ${WITNESS_LINE_BYTES} bytes`);
  }

  /** False: the connection is over. */
  #obey(line: string): boolean {
    let request: WitnessRequest;
    try {
      if (!this.#hello) return this.#greet(parseWitnessHello(line));
      request = parseWitnessRequest(line);
    } catch (e) {
      return this.#end(this.#hello ? 'malformed' : 'protocol', (e as Error).message);
    }
    if (this.#waiting >= MAXIMUM_WAITING) return this.#end('malformed', `more than ${MAXIMUM_WAITING} requests wait for their answers`);
    this.#waiting++;
    this.#decide(request, this.#hello)
      .catch((e: Error): WitnessReply => {
        this.#shared.seldom.say('storage', `nothing can be granted, the memory cannot be written: ${e.message}`);
        return { id: request.id, kind: 'error', code: 'storage', reason: `the witness cannot write its memory: ${e.message}` };
      })
      .then((reply) => {
        this.#waiting--;
        this.#reply(reply);
      });
    return true;
  }

  #greet(hello: WitnessClientHello): boolean {
    this.#reply({ kind: 'hello', protocol: WITNESS_PROTOCOL });
    if (hello.protocol !== WITNESS_PROTOCOL)
      return this.#end('protocol', `this witness speaks protocol ${WITNESS_PROTOCOL}, the CoServer ${hello.protocol}`);
    this.#hello = hello;
    const { speakers, groups } = this.#shared;
    const name = this.#name(hello);
    const before = speakers.get(name);
    speakers.set(name, this);
    groups.drop(this.#pairId, hello.coServer);
    if (before) before.#socket.destroy();
    return true;
  }

  async #decide(request: WitnessRequest, { coServer, incarnation }: WitnessClientHello): Promise<WitnessReply> {
    const { groups, log } = this.#shared;
    const { id, generation, seen } = request;
    if (request.kind === 'report') {
      const report = { coServer, incarnation, generation, state: request.state, seen, at: performance.now() };
      const { memory, confirmed, doubt, mark } = await groups.report(this.#pairId, report);
      return { id, kind: 'noted', confirmed, doubt, generation: memory?.generation ?? 0, owner: memory?.owner ?? null, mark };
    }
    const { answer, mark } = await groups.claim(this.#pairId, { claimant: coServer, generation, seen });
    const text = `${this.#pairId.slice(0, 8)}: ${coServer} claims after generation ${generation}: ${answer.kind}${'reason' in answer ? `, ${answer.reason}` : ''}`;
    // Whoever waits asks four times a second.
    if (text !== this.#lastAnswer) log('info', text);
    this.#lastAnswer = text;
    return { id, kind: 'answer', answer, mark };
  }

  #fallSilent(): void {
    const { speakers, groups } = this.#shared;
    if (!this.#hello || speakers.get(this.#name(this.#hello)) !== this) return;
    speakers.delete(this.#name(this.#hello));
    groups.drop(this.#pairId, this.#hello.coServer);
  }

  #name({ coServer }: WitnessClientHello): string {
    return `${this.#pairId} ${coServer}`;
  }

  #reply(reply: WitnessReply): void {
    if (!this.#socket.writable) return;
    this.#socket.write(`${JSON.stringify(reply)}\n`);
    if (this.#socket.writableLength > UNREAD_BYTES) this.#socket.destroy();
  }

  #end(code: WitnessErrorCode, reason: string): false {
    const { counters, seldom } = this.#shared;
    if (code === 'protocol') counters.otherProtocol++;
    else counters.malformed++;
    seldom.say(`${code} ${this.#pairId}`, `${this.#pairId.slice(0, 8)}: ${this.#socket.remoteAddress}: ${reason}`);
    this.#reply({ id: 0, kind: 'error', code, reason });
    this.#socket.end();
    // Whoever goes on talking is not listened to any more.
    this.#socket.removeAllListeners('data').resume();
    return false;
  }
}
