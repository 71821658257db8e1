// An open session: one question at a time, repeated with new sequence numbers until it is answered. Every answer is checked: integrity
// code, then sequence window, then decryption, then that it answers what was asked. What fails is as if it had not come.
import type { Opened, Timing } from './handshake.ts';
import { COMPLETION, commandName, decodeMessage, encodeRequest, REQUEST_SEQUENCES } from './messages.ts';
import { decodePacket, encodeSealed, encodeSigned, PAYLOAD } from './rmcp.ts';
import { SequenceWindow } from './sequence-window.ts';
import { decryptPayload, encryptPayload, integrityCode, sameBytes, suiteHash } from './session-keys.ts';
import type { Transport } from './transport.ts';
import { Turns } from './turns.ts';
import { type CommandAnswer, type CommandOptions, IpmiCodecError, IpmiError } from './types.ts';

interface Question {
  netFn: number;
  lun: number;
  command: number;
  data: Buffer;
}

interface Outstanding {
  netFn: number;
  command: number;
  /** One for each time it was asked. */
  sequences: Set<number>;
  resolve: (data: Buffer) => void;
}

export class Session {
  readonly opened: Opened;
  readonly #transport: Transport;
  readonly #timing: Timing;
  readonly #window = new SequenceWindow();
  #outgoing = 0;
  #requestSequence = 0;
  #outstanding: Outstanding | undefined;
  readonly #turns: Turns;
  /** Why nothing can be asked any more. */
  #over: IpmiError | undefined;
  #stop: (error: IpmiError) => void = () => undefined;
  /** `performance.now()` of the last question's end. */
  lastUsedMs = performance.now();

  constructor(transport: Transport, opened: Opened, timing: Timing) {
    this.#transport = transport;
    this.opened = opened;
    this.#timing = timing;
    this.#turns = new Turns(transport.name);
    transport.onPacket = (packet) => this.#receive(packet);
  }

  /** Throws an IpmiError: lost, busy, aborted. */
  command(netFn: number, lun: number, command: number, data: Buffer, options: CommandOptions = {}): Promise<CommandAnswer> {
    return this.#turns.take(async () => {
      try {
        return await this.#askNow({ netFn, lun, command, data }, options);
      } finally {
        this.lastUsedMs = performance.now();
      }
    });
  }

  async #askNow(question: Question, options: CommandOptions): Promise<CommandAnswer> {
    const { timeoutMs = this.#timing.timeoutMs, retries = this.#timing.retries, signal } = options;
    const sequences = new Set<number>();
    for (let i = 0; i <= retries; i++) {
      if (this.#over !== undefined) throw this.#over;
      if (signal?.aborted) throw this.#aborted();
      const answer = await this.#once(question, sequences, timeoutMs, signal);
      if (answer !== undefined) return { completionCode: answer[0] ?? COMPLETION.unspecified, data: answer.subarray(1) };
    }
    if (this.#over !== undefined) throw this.#over;
    const name = commandName(question.netFn, question.command);
    throw new IpmiError('lost', `${this.name} answered before, and does not answer ${name} within ${timeoutMs * (retries + 1)} ms`);
  }

  #aborted(): IpmiError {
    return new IpmiError('aborted', `${this.name}: given up`);
  }

  /** Undefined: no answer in time. */
  async #once(question: Question, sequences: Set<number>, timeoutMs: number, signal?: AbortSignal): Promise<Buffer | undefined> {
    this.#requestSequence = (this.#requestSequence + 1) % REQUEST_SEQUENCES;
    sequences.add(this.#requestSequence);
    let timer: NodeJS.Timeout | undefined;
    const abort = () => this.#stop(this.#aborted());
    try {
      return await new Promise<Buffer | undefined>((resolve, reject) => {
        timer = setTimeout(() => resolve(undefined), timeoutMs);
        signal?.addEventListener('abort', abort);
        this.#stop = reject;
        this.#outstanding = { netFn: question.netFn, command: question.command, sequences, resolve };
        this.#send(encodeRequest({ ...question, sequence: this.#requestSequence }));
      });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      this.#outstanding = undefined;
      this.#stop = () => undefined;
    }
  }

  #send(message: Buffer): void {
    const { keys, bmcId } = this.opened;
    // 0 is for packets outside of a session. A session does not live for 2^32 packets.
    this.#outgoing = (this.#outgoing % 0xffffffff) + 1;
    const signed = encodeSigned(PAYLOAD.message, bmcId, this.#outgoing, encryptPayload(keys, message));
    this.#transport.send(encodeSealed(signed, integrityCode(keys, signed)));
  }

  #receive(packet: Buffer): void {
    try {
      const answer = this.#open(packet);
      const outstanding = this.#outstanding;
      if (answer === undefined || outstanding === undefined) return;
      const { netFn, command, sequence, data } = answer;
      if (netFn === outstanding.netFn + 1 && command === outstanding.command && outstanding.sequences.has(sequence))
        outstanding.resolve(data);
    } catch (error) {
      if (!(error instanceof IpmiCodecError)) throw error;
    }
  }

  #open(packet: Buffer): ReturnType<typeof decodeMessage> | undefined {
    const { keys, clientId, suite } = this.opened;
    const p = decodePacket(packet, suiteHash(suite).codeBytes);
    if (p.kind !== 'sealed' || p.payloadType !== PAYLOAD.message || p.sessionId !== clientId) return undefined;
    if (!sameBytes(integrityCode(keys, p.signed), p.code)) return undefined;
    if (!this.#window.accept(p.sequence)) return undefined;
    return decodeMessage(decryptPayload(keys, p.payload));
  }

  /** Whatever is under way, and all later questions, end with this error. */
  end(error: IpmiError): void {
    this.#over ??= error;
    this.#stop(this.#over);
    this.#transport.close();
  }

  get isOver(): boolean {
    return this.#over !== undefined;
  }

  get name(): string {
    return this.#transport.name;
  }
}
