// A BMC over LAN: opens the session, keeps it open, closes it. What it can be asked: bmc.ts.
import { Bmc } from './bmc.ts';
import { openSession, type Timing } from './handshake.ts';
import { guidText } from './messages.ts';
import { Questions } from './questions.ts';
import { Session } from './session.ts';
import { PRIVILEGE } from './session-codec.ts';
import { Transport } from './transport.ts';
import { type BmcTransport, type CipherSuite, type CommandAnswer, type CommandOptions, IpmiError, type IpmiOptions } from './types.ts';

const PORT = 623;
export const DEFAULT_TIMEOUT_MS = 1000;
const RETRIES = 3;
/** BMCs close a session after 60 s without a word (6.12.15), less 3 s. */
const KEEP_ALIVE_MS = 20_000;
const KEEP_ALIVE_CHECKS = 4;
/** A BMC over LAN. `close` never rejects, and takes at most one timeoutMs. */
export interface IpmiSession extends Bmc {
  /** The one that was agreed on. */
  readonly cipherSuite: CipherSuite;
  /** The BMC's, from the handshake. */
  readonly guid: string;
}

/**
 * A session with a BMC over LAN. Throws an IpmiError whose message an operator understands: `unreachable` (after timeoutMs x (retries + 1)),
 * `refused`, `cipherSuite`, `busy`, `aborted`. All methods throw IpmiErrors: rejected, refused, lost, garbled, aborted.
 */
export async function openIpmi(options: IpmiOptions): Promise<IpmiSession> {
  const timing: Timing = { timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS, retries: options.retries ?? RETRIES };
  const wanted = options.cipherSuite ?? 'best';
  const suites: CipherSuite[] = wanted === 'best' ? [17, 3] : [wanted];
  const transport = await Transport.open(options.address, options.port ?? PORT, options.localAddress);
  try {
    for (const suite of suites) {
      try {
        const session = new Session(transport, await openSession(transport, options, suite, timing, options.signal), timing);
        const way = new SessionTransport(session, options);
        await way.raisePrivilege();
        return new LanBmc(way, session);
      } catch (error) {
        const next = error instanceof IpmiError && error.reason === 'cipherSuite' && suite !== suites.at(-1);
        if (!next) throw error;
      }
    }
    throw new Error('no cipher suite was asked for');
  } catch (error) {
    transport.close();
    throw error;
  }
}

class LanBmc extends Bmc implements IpmiSession {
  readonly cipherSuite: CipherSuite;
  readonly guid: string;

  constructor(way: SessionTransport, session: Session) {
    super(way);
    this.cipherSuite = session.opened.suite;
    this.guid = guidText(session.opened.guid);
  }
}

/** Keeps the session open while it is silent, and ends it by the caller's signal. */
class SessionTransport implements BmcTransport {
  readonly name: string;
  readonly #session: Session;
  readonly #options: IpmiOptions;
  readonly #keepAlive: NodeJS.Timeout | undefined;
  readonly #abort: () => void;
  readonly #questions: Questions;

  constructor(session: Session, options: IpmiOptions) {
    this.#session = session;
    this.#options = options;
    this.name = session.name;
    this.#questions = new Questions(this);
    this.#abort = () => this.#end(new IpmiError('aborted', `${this.name}: given up`));
    options.signal?.addEventListener('abort', this.#abort);
    if (options.signal?.aborted) this.#abort();
    const keepAliveMs = options.keepAliveMs ?? KEEP_ALIVE_MS;
    if (keepAliveMs > 0) this.#keepAlive = setInterval(() => this.#keepOpen(keepAliveMs), keepAliveMs / KEEP_ALIVE_CHECKS).unref();
  }

  command(netFn: number, lun: number, command: number, data: Buffer, options?: CommandOptions): Promise<CommandAnswer> {
    return this.#session.command(netFn, lun, command, data, options);
  }

  /** A session starts as user, whatever was agreed on (22.18). */
  async raisePrivilege(): Promise<void> {
    const privilege = this.#options.privilege ?? 'operator';
    try {
      await this.#questions.ask('setSessionPrivilege', [PRIVILEGE[privilege]]);
    } catch (error) {
      await this.close();
      if (error instanceof IpmiError && (error.reason === 'rejected' || error.reason === 'refused'))
        throw new IpmiError('refused', `${this.name} does not let '${this.#options.username}' be ${privilege}`, error.completionCode);
      throw error;
    }
  }

  #keepOpen(keepAliveMs: number): void {
    if (performance.now() - this.#session.lastUsedMs < keepAliveMs) return;
    this.#questions.ask('getDeviceId').catch((error: unknown) => {
      if (error instanceof IpmiError && error.reason === 'lost') this.#end(error);
    });
  }

  #end(error: IpmiError): void {
    clearInterval(this.#keepAlive);
    this.#options.signal?.removeEventListener('abort', this.#abort);
    this.#session.end(error);
  }

  async close(): Promise<void> {
    if (this.#session.isOver) return;
    const id = Buffer.alloc(4);
    id.writeUInt32LE(this.#session.opened.bmcId);
    // One that does not hear this closes it by itself after a minute.
    await this.#questions.ask('closeSession', id, { retries: 0 }).catch(() => undefined);
    this.#end(new IpmiError('lost', `${this.name}: the session is closed`));
  }
}
