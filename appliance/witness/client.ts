// The CoServer's side of the witness: one warm connection, so that a claim costs one round trip and not a handshake. It tells
// the witness every second, and at each change, where this CoServer stands (core/witness.ts says why).
import { connect, type TLSSocket } from 'node:tls';
import type { CoServerName } from '../core/snapshot.ts';
import type { ReportedState, WitnessAnswer, WitnessMark } from '../core/witness.ts';
import { deriveKey } from '../wire/keys.ts';
import {
  parseWitnessReply,
  WITNESS_LINE_BYTES,
  WITNESS_PROTOCOL,
  type WitnessClientHello,
  type WitnessReply,
  type WitnessRequest,
} from '../wire/witness.ts';

const REPORT_EVERY_MS = 1_000;
const RECONNECT_MS = 500;
const ANSWER_WITHIN_MS = 600;
/** Requests that wait for their answers; each waits ANSWER_WITHIN_MS at most. Below the witness's own limit. */
const MAXIMUM_WAITING = 12;

export interface WitnessClientOptions {
  address: string;
  port: number;
  pairId: string;
  pairKey: Uint8Array;
  coServer: CoServerName;
  /** 16 hex digits, random per life of this process. */
  incarnation: string;
  /** `reason`, when not reachable: why, and what helps. */
  onReachable: (reachable: boolean, reason: string) => void;
  /** What the witness knows of this pair has changed. */
  onStanding?: (standing: WitnessStanding) => void;
}

/** What the witness said last. */
export interface WitnessStanding {
  /** It grants claims. */
  confirmed: boolean;
  /** Why it does not. */
  doubt: string;
  generation: number;
  owner: CoServerName | null;
}

interface Pending {
  resolve: (reply: WitnessReply) => void;
  reject: (error: Error) => void;
  timer: NodeJS.Timeout;
}

/** A request without what the client adds. */
type Asked = { kind: 'report'; generation: number; state: ReportedState } | { kind: 'claim'; generation: number };

export class WitnessClient {
  readonly #options: WitnessClientOptions;
  readonly #key: Buffer;
  readonly #pending = new Map<number, Pending>();
  readonly #timer: NodeJS.Timeout;
  #socket: TLSSocket | null = null;
  #next = 1;
  #reachable: boolean | null = null;
  #closed = false;
  #lastError = 'not connected yet';
  #lastReason = '';
  #report: { generation: number; state: ReportedState } | null = null;
  #seen: WitnessMark | null = null;
  #standing: WitnessStanding | null = null;

  constructor(options: WitnessClientOptions) {
    this.#options = options;
    this.#key = deriveKey(options.pairKey, 'witness');
    this.#connect();
    this.#timer = setInterval(() => this.#tell(), REPORT_EVERY_MS);
  }

  get standing(): WitnessStanding | null {
    return this.#standing;
  }

  /** Where this CoServer stands now, see witnessReportOf: to be called at each step of the core, before its commands are obeyed. */
  setReport(report: { generation: number; state: ReportedState }): void {
    const before = this.#report;
    if (before && before.generation === report.generation && before.state === report.state) return;
    this.#report = report;
    this.#tell();
  }

  /** Asks for the generation after `generation`. Rejects when the witness does not answer in time: that is no refusal. */
  async claim(generation: number): Promise<WitnessAnswer> {
    const reply = await this.#ask({ kind: 'claim', generation });
    if (reply.kind !== 'answer') throw new Error(`the witness answered '${reply.kind}' to a claim`);
    return reply.answer;
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#socket?.destroy();
    this.#failAll(new Error('closed'));
  }

  get #where(): string {
    return `the witness at ${this.#options.address}:${this.#options.port}`;
  }

  #said(reachable: boolean, reason: string): void {
    if (this.#reachable === reachable && (reachable || reason === this.#lastReason)) return;
    this.#reachable = reachable;
    this.#lastReason = reason;
    this.#options.onReachable(reachable, reason);
  }

  #tell(): void {
    if (!this.#report || !this.#socket) return;
    const known = this.#seen?.memoryId;
    this.#ask({ kind: 'report', ...this.#report }).then(
      (reply) => {
        if (reply.kind !== 'noted') return;
        // It had lost time, and has just found out by this report: the next one counts.
        if (known !== undefined && known !== reply.mark.memoryId) this.#tell();
        const { confirmed, doubt, generation, owner } = reply;
        const before = this.#standing;
        this.#standing = { confirmed, doubt, generation, owner };
        this.#said(true, '');
        if (before?.confirmed !== confirmed || before.generation !== generation || before.owner !== owner || before.doubt !== doubt)
          this.#options.onStanding?.(this.#standing);
      },
      (e: Error) => this.#said(false, e.message),
    );
  }

  #ask(asked: Asked): Promise<WitnessReply> {
    const socket = this.#socket;
    if (!socket) return Promise.reject(new Error(this.#lastError));
    if (this.#pending.size >= MAXIMUM_WAITING)
      return Promise.reject(new Error(`${this.#where} is too slow: ${MAXIMUM_WAITING} questions wait for it`));
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        this.#lastError = `${this.#where} did not answer within ${ANSWER_WITHIN_MS} ms`;
        reject(new Error(this.#lastError));
        // A silent connection may be a dead path: a new one is tried. A late answer to a claim can then not arrive any more.
        socket.destroy();
      }, ANSWER_WITHIN_MS);
      this.#pending.set(id, { resolve, reject, timer });
      const request: WitnessRequest = { id, ...asked, seen: this.#seen };
      socket.write(`${JSON.stringify(request)}\n`);
    });
  }

  #connect(): void {
    if (this.#closed) return;
    const { address, port, pairId, coServer, incarnation } = this.#options;
    const socket = connect({
      host: address,
      port,
      minVersion: 'TLSv1.3',
      ciphers: 'TLS_AES_128_GCM_SHA256',
      pskCallback: () => ({ psk: this.#key, identity: pairId }),
      // Asked only about a certificate, and no certificate stands in for the key: whoever has one that the world trusts is a stranger too.
      rejectUnauthorized: true,
      checkServerIdentity: () => new Error('it shows a certificate instead of the key of this pair: another program listens there'),
    });
    socket.setNoDelay(true);
    const giveUp = setTimeout(() => socket.destroy(new Error(`no answer within ${2 * ANSWER_WITHIN_MS} ms`)), 2 * ANSWER_WITHIN_MS);
    let text = '';
    socket.on('secureConnect', () => {
      if (this.#closed) {
        socket.destroy();
        return;
      }
      const hello: WitnessClientHello = { kind: 'hello', protocol: WITNESS_PROTOCOL, coServer, incarnation };
      socket.write(`${JSON.stringify(hello)}\n`);
    });
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        const line = text.slice(0, end);
        text = text.slice(end + 1);
        const wrong = line.length > WITNESS_LINE_BYTES ? `${this.#where}: a line of its reply is too long` : this.#receive(socket, line);
        if (wrong) {
          this.#lastError = wrong;
          socket.destroy();
          return;
        }
        clearTimeout(giveUp);
      }
      if (text.length > WITNESS_LINE_BYTES) socket.destroy(new Error('a line of its reply is too long'));
    });
    socket.on('error', (e: NodeJS.ErrnoException) => {
      this.#lastError = this.#explain(e);
    });
    socket.on('close', () => {
      clearTimeout(giveUp);
      if (this.#closed) return;
      if (this.#socket === socket) {
        this.#socket = null;
        // The next one may have restarted meanwhile: what it knows is said anew.
        this.#standing = null;
        this.#failAll(new Error('the connection to the witness broke'));
      }
      this.#said(false, this.#lastError);
      setTimeout(() => this.#connect(), RECONNECT_MS).unref();
    });
  }

  /** Answers what is wrong with the line: the connection must end. */
  #receive(socket: TLSSocket, line: string): string | null {
    let reply: WitnessReply;
    try {
      reply = parseWitnessReply(line);
    } catch (e) {
      return `${this.#where} answers what this CoServer does not understand: ${(e as Error).message}`;
    }
    if (reply.kind === 'hello') {
      if (reply.protocol !== WITNESS_PROTOCOL) {
        const older = reply.protocol > WITNESS_PROTOCOL ? 'this CoServer' : 'the witness';
        return `${this.#where} speaks protocol ${reply.protocol}, this CoServer ${WITNESS_PROTOCOL}: update ${older}`;
      }
      this.#socket = socket;
      this.#lastError = `${this.#where} ended the connection`;
      this.#said(true, '');
      this.#tell();
      return null;
    }
    if (reply.kind === 'error') {
      const error = `${this.#where}: ${reply.reason}`;
      if (reply.id === 0) return error;
      this.#take(reply.id)?.reject(new Error(error));
      return null;
    }
    const { memoryId, count } = reply.mark;
    if (this.#seen?.memoryId !== memoryId || this.#seen.count < count) this.#seen = { memoryId, count };
    this.#take(reply.id)?.resolve(reply);
    return null;
  }

  /** TLS says by its alerts what the witness thinks of us. */
  #explain(e: NodeJS.ErrnoException): string {
    const code = e.code ?? '';
    if (code.includes('ALERT_HANDSHAKE_FAILURE'))
      return `${this.#where} does not know this pair: enrol it there with 'twinstep witness enrol', fed with what 'twinstep witness-key' prints here`;
    if (code.includes('ALERT_DECRYPT_ERROR'))
      return `${this.#where} has another key for this pair: remove the pair there and enrol it again with what 'twinstep witness-key' prints here`;
    return `${this.#where} is not reachable: ${e.message}`;
  }

  #take(id: number): Pending | undefined {
    const p = this.#pending.get(id);
    this.#pending.delete(id);
    clearTimeout(p?.timer);
    return p;
  }

  #failAll(error: Error): void {
    for (const id of [...this.#pending.keys()]) this.#take(id)?.reject(error);
  }
}
