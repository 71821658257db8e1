// Questions to a BMC by name, over whatever way there is: an answer is its data, an error of the BMC's an IpmiError.
import { setTimeout as sleep } from 'node:timers/promises';
import { COMMAND, COMPLETION, type CommandName, completionText } from './messages.ts';
import { type BmcTransport, type CommandOptions, IpmiCodecError, IpmiError } from './types.ts';

/** A BMC that says "busy" is asked again after this time, so often. */
const BUSY_PAUSE_MS = 100;
const BUSY_RETRIES = 3;

export interface AskOptions extends CommandOptions {
  /** 0 when left out. */
  lun?: number;
}

export class Questions {
  readonly #transport: BmcTransport;

  constructor(transport: BmcTransport) {
    this.#transport = transport;
  }

  get name(): string {
    return this.#transport.name;
  }

  /**
   * The answer's data after the completion code. Throws an IpmiError: rejected (with the completion code), refused (the privilege does not
   * suffice), and those of BmcTransport.
   */
  async ask(name: CommandName, data: readonly number[] | Buffer = [], options: AskOptions = {}): Promise<Buffer> {
    const [netFn, command] = COMMAND[name];
    const { lun = 0, ...rest } = options;
    const busyRetries = options.retries ?? BUSY_RETRIES;
    for (let i = 0; ; i++) {
      const answer = await this.#transport.command(netFn, lun, command, Buffer.from(data), rest);
      if (answer.completionCode === COMPLETION.ok) return answer.data;
      if (answer.completionCode !== COMPLETION.busy || i >= busyRetries) throw this.#rejected(name, answer.completionCode);
      await this.#pause(options.signal);
    }
  }

  async #pause(signal: AbortSignal | undefined): Promise<void> {
    try {
      await sleep(BUSY_PAUSE_MS, undefined, signal === undefined ? {} : { signal });
    } catch {
      throw new IpmiError('aborted', `${this.name}: given up`);
    }
  }

  #rejected(name: string, code: number): IpmiError {
    const reason = code === COMPLETION.noPrivilege ? 'refused' : 'rejected';
    return new IpmiError(reason, `${this.name} refused ${name}: ${completionText(code)}`, code);
  }

  /** Decodes an answer; what cannot be decoded is an error of the BMC's. */
  read<T>(decode: () => T): T {
    try {
      return decode();
    } catch (error) {
      if (error instanceof IpmiCodecError) throw new IpmiError('garbled', `${this.name} answered ${error.message}`);
      throw error;
    }
  }
}

/** The BMC itself says no to this one question: the next one may do. */
export function isRejection(error: unknown, ...codes: number[]): error is IpmiError {
  if (!(error instanceof IpmiError) || error.reason !== 'rejected') return false;
  return codes.length === 0 || codes.includes(error.completionCode ?? -1);
}
