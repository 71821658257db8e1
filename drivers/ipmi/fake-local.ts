// The kernel's IPMI device faked at its messages: what the addon gives and takes, with the fake machine's BMC behind it. Answers come later
// than `send` returns, as from the addon's thread.
import { constants } from 'node:os';
import { FakeMachine } from './fake-machine.ts';
import { type IpmiNative, NATIVE_EVENT, type NativeCallback, type NativeHandle } from './native.ts';

const { ENOENT, ENODEV, EIO } = constants.errno;

interface FakeHandle {
  callback: NativeCallback;
  isOpen: boolean;
}

interface Waiting {
  handle: FakeHandle;
  id: number;
  netFn: number;
  command: number;
  data: Buffer;
}

export class FakeIpmiDevice implements IpmiNative {
  readonly machine = new FakeMachine();
  readonly path: string;
  /** There is no such device. */
  absent = false;
  /** Opening it fails with this errno. */
  openError = 0;
  /** The kernel does not take commands. */
  refusesSend = false;
  /** What becomes of an answer (completion code first): `id` and the numbers of the command can be changed, too. Undefined: no answer. */
  garble: (answer: { id: number; netFn: number; command: number; data: Buffer }) => typeof answer | undefined = (answer) => answer;
  /** Commands that the BMC was given, as "6.1". */
  readonly commands: string[] = [];
  readonly luns: number[] = [];
  #hangs = false;
  readonly #waiting: Waiting[] = [];
  readonly #handles = new Set<FakeHandle>();

  constructor(path = '/dev/ipmi0') {
    this.path = path;
  }

  /** The BMC takes commands and says nothing. Once it is mended, it answers all of them, late. */
  set hangs(hangs: boolean) {
    this.#hangs = hangs;
    if (!hangs) for (const waiting of this.#waiting.splice(0)) this.#answer(waiting);
  }

  /** Commands that a hanging BMC holds. */
  get held(): number {
    return this.#waiting.length;
  }

  get openHandles(): number {
    return this.#handles.size;
  }

  open(path: string, callback: NativeCallback): NativeHandle {
    const handle: FakeHandle = { callback, isOpen: true };
    const error = this.absent || path !== this.path ? ENOENT : this.openError;
    if (error === 0) this.#handles.add(handle);
    this.#tell(handle, NATIVE_EVENT.ready, 0, error, 0, 0, Buffer.alloc(0));
    return handle;
  }

  send(handle: NativeHandle, id: number, netFn: number, lun: number, command: number, data: Buffer): number {
    const to = [...this.#handles].find((h) => h === handle);
    if (to === undefined) return EIO;
    if (this.refusesSend) {
      this.#tell(to, NATIVE_EVENT.sendFailed, id, EIO, 0, 0, Buffer.alloc(0));
      return 0;
    }
    this.luns.push(lun);
    const waiting: Waiting = { handle: to, id, netFn, command, data: Buffer.from(data) };
    if (this.#hangs) this.#waiting.push(waiting);
    else this.#answer(waiting);
    return 0;
  }

  close(handle: NativeHandle): void {
    for (const h of this.#handles) {
      if (h !== handle) continue;
      h.isOpen = false;
      this.#handles.delete(h);
    }
  }

  /** Somebody unloads the driver. */
  unload(): void {
    this.absent = true;
    for (const handle of this.#handles) this.#tell(handle, NATIVE_EVENT.lost, 0, ENODEV, 0, 0, Buffer.alloc(0));
  }

  #answer({ handle, id, netFn, command, data }: Waiting): void {
    this.commands.push(`${netFn}.${command}`);
    const answer = this.garble({ id, netFn: netFn + 1, command, data: this.machine.answer(netFn, command, data) });
    if (answer !== undefined) this.#tell(handle, NATIVE_EVENT.answer, answer.id, 0, answer.netFn, answer.command, answer.data);
  }

  #tell(handle: FakeHandle, ...event: Parameters<NativeCallback>): void {
    setImmediate(() => {
      if (handle.isOpen) handle.callback(...event);
    });
  }
}
