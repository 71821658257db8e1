// The CoServer's side of the witness: one warm connection, so that a claim costs one round trip and not a handshake.
import { connect, type TLSSocket } from 'node:tls';
import type { WitnessAnswer } from '../core/witness.ts';
import { deriveKey } from '../wire/keys.ts';
import { parseWitnessReply, WITNESS_LINE_BYTES, type WitnessReply, type WitnessRequest } from '../wire/witness.ts';

const PING_EVERY_MS = 1_000;
const RECONNECT_MS = 500;
const ANSWER_WITHIN_MS = 600;

export interface WitnessClientOptions {
  address: string;
  port: number;
  pairId: string;
  pairKey: Uint8Array;
  coServer: 'A' | 'B';
  onReachable: (reachable: boolean, reason: string) => void;
}

export class WitnessClient {
  readonly #options: WitnessClientOptions;
  readonly #key: Buffer;
  readonly #pending = new Map<number, { resolve: (r: WitnessReply) => void; reject: (e: Error) => void; timer: NodeJS.Timeout }>();
  readonly #timer: NodeJS.Timeout;
  #socket: TLSSocket | null = null;
  #next = 1;
  #reachable: boolean | null = null;
  #closed = false;
  #lastError = 'not connected yet';

  constructor(options: WitnessClientOptions) {
    this.#options = options;
    this.#key = deriveKey(options.pairKey, 'witness');
    this.#connect();
    this.#timer = setInterval(() => {
      this.#ask({ kind: 'ping' }).then(
        () => this.#said(true, ''),
        (e: Error) => this.#said(false, e.message),
      );
    }, PING_EVERY_MS);
  }

  /** Asks for the generation after `generation`. Rejects when the witness does not answer in time: that is no refusal. */
  async claim(generation: number): Promise<WitnessAnswer> {
    const reply = await this.#ask({ kind: 'claim', generation, claimant: this.#options.coServer });
    if (reply.kind !== 'answer') throw new Error(`the witness answered '${reply.kind}' to a claim`);
    return reply.answer;
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#socket?.destroy();
    this.#failAll(new Error('closed'));
  }

  #said(reachable: boolean, reason: string): void {
    if (this.#reachable === reachable) return;
    this.#reachable = reachable;
    this.#options.onReachable(reachable, reason);
  }

  #ask(
    request: Omit<Extract<WitnessRequest, { kind: 'ping' }>, 'id'> | Omit<Extract<WitnessRequest, { kind: 'claim' }>, 'id'>,
  ): Promise<WitnessReply> {
    const socket = this.#socket;
    if (!socket)
      return Promise.reject(
        new Error(`the witness at ${this.#options.address}:${this.#options.port} is not reachable: ${this.#lastError}`),
      );
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(new Error(`the witness did not answer within ${ANSWER_WITHIN_MS} ms`));
        // A silent connection may be a dead path: a new one is tried.
        socket.destroy();
      }, ANSWER_WITHIN_MS);
      this.#pending.set(id, { resolve, reject, timer });
      socket.write(`${JSON.stringify({ id, ...request })}\n`);
    });
  }

  #connect(): void {
    if (this.#closed) return;
    const { address, port, pairId } = this.#options;
    const socket = connect({
      host: address,
      port,
      minVersion: 'TLSv1.3',
      ciphers: 'TLS_AES_128_GCM_SHA256',
      pskCallback: () => ({ psk: this.#key, identity: pairId }),
      checkServerIdentity: () => undefined,
    });
    socket.setNoDelay(true);
    const giveUp = setTimeout(() => socket.destroy(new Error('no answer')), 2 * ANSWER_WITHIN_MS);
    let text = '';
    socket.on('secureConnect', () => {
      clearTimeout(giveUp);
      this.#socket = socket;
      this.#said(true, '');
    });
    socket.on('data', (chunk) => {
      text += chunk.toString('utf8');
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        this.#receive(text.slice(0, end));
        text = text.slice(end + 1);
      }
      if (text.length > WITNESS_LINE_BYTES) socket.destroy();
    });
    socket.on('error', (e) => {
      this.#lastError = e.message;
    });
    socket.on('close', () => {
      clearTimeout(giveUp);
      if (this.#socket === socket) {
        this.#socket = null;
        this.#failAll(new Error('the connection to the witness broke'));
        this.#said(false, this.#lastError);
      }
      setTimeout(() => this.#connect(), RECONNECT_MS).unref();
    });
  }

  #receive(line: string): void {
    let reply: WitnessReply;
    try {
      reply = parseWitnessReply(line);
    } catch {
      this.#socket?.destroy();
      return;
    }
    const p = this.#pending.get(reply.id);
    if (!p) return;
    this.#pending.delete(reply.id);
    clearTimeout(p.timer);
    p.resolve(reply);
  }

  #failAll(error: Error): void {
    for (const p of this.#pending.values()) {
      clearTimeout(p.timer);
      p.reject(error);
    }
    this.#pending.clear();
  }
}
