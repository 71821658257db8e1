// The BMC of this machine, by the kernel's device (/dev/ipmi0; Linux: ipmi_si or ipmi_ssif, and ipmi_devintf).
//
//   answering --no answer within timeoutMs--> silent --any answer--> answering
//
// While it is silent, commands are refused at once, so that nobody queues behind a BMC that hangs; a harmless question is asked every
// probeMs, one at a time, and an answer to that, or a late one to anything, ends the silence. The kernel gives a command to the BMC whatever
// we do: one that was not answered may have been carried out.
import { getSystemErrorName } from 'node:util';
import { Bmc } from './bmc.ts';
import { COMMAND, COMPLETION, commandName, completionText } from './messages.ts';
import { type IpmiNative, NATIVE_EVENT, type NativeHandle, native } from './native.ts';
import { Turns } from './turns.ts';
import { type BmcTransport, type CommandAnswer, type CommandOptions, IpmiError } from './types.ts';

/** BMCs answer in 5 to 100 ms, some need a second for an entry of their log; the kernel gives up on its interface after 5 s. */
const TIMEOUT_MS = 5000;
const OPEN_TIMEOUT_MS = 5000;
const PROBE_MS = 5000;
/** The kernel answers each command in the end, by itself if need be. A probe that got none in so many intervals was lost: another one. */
const PROBE_LOST_INTERVALS = 6;
const MAX_ID = 0x7fffffff;
/**
 * What the kernel, or the interface, answers in the place of a BMC that hangs: table 5-2, "unspecified" and "timeout". The BMC says that of
 * single commands, too, but not after this time, or half of the time-out; and not of its device id.
 */
const STUCK_CODES: readonly number[] = [COMPLETION.unspecified, COMPLETION.timeout];
const STUCK_MS = 2000;

export interface LocalIpmiOptions {
  /** For one answer; 5000 when left out. */
  timeoutMs?: number;
  /** Between two questions to a silent BMC; 5000 when left out. */
  probeMs?: number;
  signal?: AbortSignal;
  /** Instead of the addon: the fake. */
  native?: IpmiNative;
}

/**
 * The BMC of this machine; `device` is /dev/ipmi0 where there is only one. Resolves when the device is open and the BMC has answered. Throws an
 * IpmiError: `unreachable` (no such device, no IPMI device, not allowed: the message says which driver to load), `lost` (the BMC does not
 * answer), `aborted`; an Error when the addon is not built. A signal closes it, now and later.
 */
export async function openLocalIpmi(device = '/dev/ipmi0', options: LocalIpmiOptions = {}): Promise<LocalIpmi> {
  const transport = await LocalTransport.open(device, options);
  const bmc = new LocalIpmi(transport);
  try {
    await bmc.deviceId();
  } catch (error) {
    await transport.close();
    throw error;
  }
  return bmc;
}

export class LocalIpmi extends Bmc {
  readonly #transport: LocalTransport;

  constructor(transport: LocalTransport) {
    super(transport);
    this.#transport = transport;
  }

  /** False while it does not answer: commands are refused at once then. */
  get isAnswering(): boolean {
    return this.#transport.isAnswering;
  }
}

interface Outstanding {
  id: number;
  netFn: number;
  command: number;
  resolve: (data: Buffer) => void;
  reject: (error: IpmiError) => void;
}

class LocalTransport implements BmcTransport {
  readonly name: string;
  readonly #device: string;
  readonly #native: IpmiNative;
  readonly #options: LocalIpmiOptions;
  readonly #turns: Turns;
  #handle: NativeHandle | undefined;
  #nextId = 1;
  #outstanding: Outstanding | undefined;
  /** `performance.now()` of the first command that was not answered. */
  #silentSinceMs: number | undefined;
  #probe: { timer: NodeJS.Timeout; id: number | undefined; intervals: number } | undefined;
  /** Why nothing can be asked any more. */
  #over: IpmiError | undefined;
  readonly #abort = () => this.#end(new IpmiError('aborted', `${this.name}: given up`));

  private constructor(device: string, options: LocalIpmiOptions) {
    this.#device = device;
    this.#options = options;
    this.#native = options.native ?? native();
    this.name = `the BMC of this machine (${device})`;
    this.#turns = new Turns(this.name);
  }

  static async open(device: string, options: LocalIpmiOptions): Promise<LocalTransport> {
    const transport = new LocalTransport(device, options);
    await transport.#open();
    return transport;
  }

  get isAnswering(): boolean {
    return this.#over === undefined && this.#silentSinceMs === undefined;
  }

  async #open(): Promise<void> {
    const { signal } = this.#options;
    let timer: NodeJS.Timeout | undefined;
    try {
      const error = await new Promise<number>((resolve, reject) => {
        if (signal?.aborted) this.#abort();
        if (this.#over !== undefined) throw this.#over;
        this.#outstanding = { id: 0, netFn: 0, command: 0, resolve: () => undefined, reject };
        signal?.addEventListener('abort', this.#abort);
        const late = `${this.#device} is not open after ${OPEN_TIMEOUT_MS} ms: its driver hangs`;
        timer = setTimeout(() => reject(new IpmiError('unreachable', late)), OPEN_TIMEOUT_MS);
        this.#handle = this.#native.open(this.#device, (kind, id, errno, netFn, command, data) => {
          if (kind === NATIVE_EVENT.ready) resolve(errno);
          else this.#hear(kind, id, errno, netFn, command, data);
        });
      });
      if (error !== 0) throw new IpmiError('unreachable', openProblem(this.#device, getSystemErrorName(-error)));
    } catch (error) {
      this.#end(error instanceof IpmiError ? error : new IpmiError('unreachable', (error as Error).message));
      throw error;
    } finally {
      clearTimeout(timer);
      this.#outstanding = undefined;
    }
  }

  command(netFn: number, lun: number, command: number, data: Buffer, options: CommandOptions = {}): Promise<CommandAnswer> {
    return this.#turns.take(() => this.#askNow({ netFn, lun, command, data }, options));
  }

  async #askNow(question: { netFn: number; lun: number; command: number; data: Buffer }, options: CommandOptions): Promise<CommandAnswer> {
    if (this.#over !== undefined) throw this.#over;
    if (options.signal?.aborted) throw new IpmiError('aborted', `${this.name}: given up`);
    if (this.#silentSinceMs !== undefined) throw this.#stillSilent(this.#silentSinceMs);
    const { netFn, lun, command, data } = question;
    const timeoutMs = options.timeoutMs ?? this.#options.timeoutMs ?? TIMEOUT_MS;
    const id = this.#takeId();
    const startedMs = performance.now();
    let timer: NodeJS.Timeout | undefined;
    let abort: () => void = () => undefined;
    try {
      const answer = await new Promise<Buffer>((resolve, reject) => {
        abort = () => reject(new IpmiError('aborted', `${this.name}: given up`));
        options.signal?.addEventListener('abort', abort);
        timer = setTimeout(() => {
          reject(new IpmiError('lost', `${this.name} does not answer ${commandName(netFn, command)} within ${timeoutMs} ms`));
          this.#fallSilent(timeoutMs);
        }, timeoutMs);
        this.#outstanding = { id, netFn, command, resolve, reject };
        const error = this.#send(id, netFn, lun, command, data);
        if (error !== 0) reject(this.#sendProblem(error));
      });
      const completionCode = answer[0] ?? COMPLETION.unspecified;
      const tookMs = Math.round(performance.now() - startedMs);
      const isDeviceId = netFn === COMMAND.getDeviceId[0] && command === COMMAND.getDeviceId[1];
      if (STUCK_CODES.includes(completionCode) && (isDeviceId || tookMs >= Math.min(STUCK_MS, timeoutMs / 2))) {
        this.#fallSilent(tookMs);
        const why = `the kernel gave up on it after ${tookMs} ms (${completionText(completionCode)})`;
        throw new IpmiError('lost', `${this.name} does not answer ${commandName(netFn, command)}: ${why}`);
      }
      return { completionCode, data: answer.subarray(1) };
    } finally {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', abort);
      this.#outstanding = undefined;
    }
  }

  #takeId(): number {
    const id = this.#nextId;
    this.#nextId = id === MAX_ID ? 1 : id + 1;
    return id;
  }

  #send(id: number, netFn: number, lun: number, command: number, data: Buffer): number {
    return this.#handle === undefined ? -1 : this.#native.send(this.#handle, id, netFn, lun, command, data);
  }

  #sendProblem(errno: number): IpmiError {
    return new IpmiError('lost', `${this.#device} does not take a command: ${errno > 0 ? getSystemErrorName(-errno) : 'it is closed'}`);
  }

  #stillSilent(sinceMs: number): IpmiError {
    const seconds = Math.round((performance.now() - sinceMs) / 1000);
    return new IpmiError('lost', `${this.name} has not answered for ${seconds} s: nothing is asked of it until it answers again`);
  }

  #hear(kind: number, id: number, errno: number, netFn: number, command: number, data: Buffer): void {
    const outstanding = this.#outstanding;
    if (kind === NATIVE_EVENT.lost) {
      this.#end(new IpmiError('lost', `${this.#device} has ended (${getSystemErrorName(-errno)}): was its driver unloaded?`));
      return;
    }
    if (kind === NATIVE_EVENT.sendFailed) {
      if (this.#probe?.id === id) this.#probe.id = undefined;
      if (outstanding?.id === id) outstanding.reject(this.#sendProblem(errno));
      return;
    }
    if (kind !== NATIVE_EVENT.answer) return;
    const isProbe = this.#probe?.id === id;
    if (this.#probe !== undefined && isProbe) this.#probe.id = undefined;
    // A kernel that gives up on a stuck interface answers too.
    if (!STUCK_CODES.includes(data[0] ?? COMPLETION.unspecified)) this.#speakAgain();
    // Of another command: the driver or the BMC mixes them up. It runs into its time-out rather than be believed.
    if (outstanding?.id === id && netFn === outstanding.netFn + 1 && command === outstanding.command) outstanding.resolve(data);
  }

  #fallSilent(waitedMs: number): void {
    if (this.#over !== undefined || this.#silentSinceMs !== undefined) return;
    this.#silentSinceMs = performance.now() - waitedMs;
    const timer = setInterval(() => this.#askProbe(), this.#options.probeMs ?? PROBE_MS).unref();
    this.#probe = { timer, id: undefined, intervals: 0 };
  }

  /** One at a time: the kernel would keep them all for a BMC that hangs. */
  #askProbe(): void {
    if (this.#probe === undefined) return;
    if (this.#probe.id !== undefined && ++this.#probe.intervals < PROBE_LOST_INTERVALS) return;
    this.#probe.intervals = 0;
    const id = this.#takeId();
    if (this.#send(id, COMMAND.getDeviceId[0], 0, COMMAND.getDeviceId[1], Buffer.alloc(0)) === 0) this.#probe.id = id;
  }

  #speakAgain(): void {
    this.#silentSinceMs = undefined;
    clearInterval(this.#probe?.timer);
    this.#probe = undefined;
  }

  #end(error: IpmiError): void {
    if (this.#over !== undefined) return;
    this.#over = error;
    this.#speakAgain();
    this.#options.signal?.removeEventListener('abort', this.#abort);
    this.#outstanding?.reject(error);
    if (this.#handle !== undefined) this.#native.close(this.#handle);
    this.#handle = undefined;
  }

  async close(): Promise<void> {
    this.#end(new IpmiError('lost', `${this.name}: it is closed`));
  }
}

/** What the operator does about it. */
function openProblem(device: string, code: string): string {
  switch (code) {
    case 'ENOENT':
    case 'ENODEV':
    case 'ENXIO':
      return `no BMC driver: there is no ${device} (${code}): load ipmi_si (or ipmi_ssif) and ipmi_devintf, if this machine has a BMC`;
    case 'ENOTTY':
    case 'EINVAL':
    case 'EISDIR':
      return `${device} is no IPMI device (${code}): give the kernel's, /dev/ipmi0`;
    case 'EACCES':
    case 'EPERM':
      return `${device} may not be opened (${code}): this needs root`;
    default:
      return `${device} cannot be opened: ${code}`;
  }
}
