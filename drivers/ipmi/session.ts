// An open session: one question at a time, repeated with new sequence numbers until it is answered. Every answer is checked: integrity
// code, then sequence window, then decryption, then that it answers what was asked. What fails is as if it had not come.
import type { Opened, Timing } from './handshake.ts';
import { COMMAND, COMPLETION, type CommandName, completionText, decodeMessage, encodeRequest, REQUEST_SEQUENCES } from './messages.ts';
import { decodePacket, encodeSealed, encodeSigned, PAYLOAD } from './rmcp.ts';
import { SequenceWindow } from './sequence-window.ts';
import { decryptPayload, encryptPayload, integrityCode, sameBytes, suiteHash } from './session-keys.ts';
import type { Transport } from './transport.ts';
import { IpmiCodecError, IpmiError } from './types.ts';

/** Questions that wait for their turn: more is a caller that does not listen to the answers. */
const MAX_WAITING = 64;
/** A BMC that says "busy" is asked again after this time, as often as a silent one. */
const BUSY_PAUSE_MS = 100;

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
  #turn: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  /** Why nothing can be asked any more. */
  #over: IpmiError | undefined;
  #stop: (error: IpmiError) => void = () => undefined;
  /** `performance.now()` of the last question's end. */
  lastUsedMs = performance.now();

  constructor(transport: Transport, opened: Opened, timing: Timing) {
    this.#transport = transport;
    this.opened = opened;
    this.#timing = timing;
    transport.onPacket = (packet) => this.#receive(packet);
  }

  /**
   * The answer's data after the completion code. Throws an IpmiError: rejected (with the completion code), refused (the privilege does not
   * suffice), lost, aborted.
   */
  ask(name: CommandName, data: readonly number[] | Buffer = [], retries: number = this.#timing.retries): Promise<Buffer> {
    if (this.#waiting >= MAX_WAITING)
      return Promise.reject(new IpmiError('busy', `${this.#transport.name}: ${MAX_WAITING} questions wait already`));
    this.#waiting++;
    const answer = this.#turn.then(() => this.#askNow(name, Buffer.from(data), retries));
    this.#turn = answer
      .catch(() => undefined)
      .finally(() => {
        this.#waiting--;
        this.lastUsedMs = performance.now();
      });
    return answer;
  }

  async #askNow(name: CommandName, data: Buffer, retries: number): Promise<Buffer> {
    const [netFn, command] = COMMAND[name];
    const sequences = new Set<number>();
    for (let i = 0; i <= retries; i++) {
      if (this.#over !== undefined) throw this.#over;
      const answer = await this.#once(netFn, command, data, sequences);
      if (answer === undefined) continue;
      const code = answer[0] ?? COMPLETION.unspecified;
      if (code === COMPLETION.ok) return answer.subarray(1);
      if (code !== COMPLETION.busy || i === retries) throw this.#rejected(name, code);
      await this.#pause(BUSY_PAUSE_MS);
    }
    if (this.#over !== undefined) throw this.#over;
    const total = this.#timing.timeoutMs * (retries + 1);
    throw new IpmiError('lost', `${this.#transport.name} answered before, and does not answer ${name} within ${total} ms`);
  }

  #rejected(name: string, code: number): IpmiError {
    const reason = code === COMPLETION.noPrivilege ? 'refused' : 'rejected';
    return new IpmiError(reason, `${this.#transport.name} refused ${name}: ${completionText(code)}`, code);
  }

  /** Undefined: no answer in time. */
  async #once(netFn: number, command: number, data: Buffer, sequences: Set<number>): Promise<Buffer | undefined> {
    this.#requestSequence = (this.#requestSequence + 1) % REQUEST_SEQUENCES;
    sequences.add(this.#requestSequence);
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<Buffer | undefined>((resolve, reject) => {
        timer = setTimeout(() => resolve(undefined), this.#timing.timeoutMs);
        this.#stop = reject;
        this.#outstanding = { netFn, command, sequences, resolve };
        this.#send(encodeRequest({ netFn, command, sequence: this.#requestSequence, data }));
      });
    } finally {
      clearTimeout(timer);
      this.#outstanding = undefined;
      this.#stop = () => undefined;
    }
  }

  async #pause(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        timer = setTimeout(resolve, ms);
        this.#stop = reject;
      });
    } finally {
      clearTimeout(timer);
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
