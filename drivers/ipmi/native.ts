// The addon's functions, loaded at the first use, so that pure parts can be imported on a machine where it is not built.
import { createRequire } from 'node:module';

/** What the addon calls back with; the numbers are those of ipmi.c. */
export const NATIVE_EVENT = {
  /** First: 0, or the errno of why the device cannot be used. */
  ready: 0,
  /** To the command with this id: `data` begins with the completion code. */
  answer: 1,
  /** The kernel did not take the command with this id: `error` is the errno. */
  sendFailed: 2,
  /** The device has ended with this errno: nothing comes any more. */
  lost: 3,
} as const;

export type NativeCallback = (kind: number, id: number, error: number, netFn: number, command: number, data: Buffer) => void;

/** An open device of the addon, or of the fake. */
export type NativeHandle = object;

/** Messages to and from the kernel's IPMI device. None of these waits: a thread of the addon's own does. */
export interface IpmiNative {
  open(path: string, callback: NativeCallback): NativeHandle;
  /** 0, or the errno of why it cannot even be queued. `netFn` is the request's, `id` comes back with the answer. */
  send(handle: NativeHandle, id: number, netFn: number, lun: number, command: number, data: Buffer): number;
  close(handle: NativeHandle): void;
}

let loaded: IpmiNative | undefined;

/** Throws when the addon is not built. */
export function native(): IpmiNative {
  if (loaded) return loaded;
  try {
    loaded = createRequire(import.meta.url)('./native/build/ipmi.node') as IpmiNative;
  } catch (cause) {
    throw new Error(`the IPMI addon cannot be loaded (${(cause as Error).message}): build it with drivers/ipmi/native/build.sh`, { cause });
  }
  return loaded;
}
