// The addon's functions, loaded at the first use, so that pure parts can be imported on a machine where it is not built.
import { createRequire } from 'node:module';
import type { FrameStatistics } from './types.ts';

/** An open socket of the addon. Opaque. */
export type NativeSocket = { readonly nativeSocket: unique symbol };

export interface Native {
  open(
    nic: string,
    etherType: number,
    promiscuous: boolean,
    priority: number,
    receiveBufferBytes: number,
    sendBufferBytes: number,
    onFrames: (batch: Buffer) => void,
    /** errno 0: writable again. */
    onEvent: (errno: number, name: string) => void,
  ): NativeSocket;
  send(socket: NativeSocket, batch: Buffer): number;
  statistics(socket: NativeSocket): FrameStatistics;
  close(socket: NativeSocket): void;
  /** The call's result; the buffer is changed in place. */
  ioctl(fd: number, request: number, buffer: Buffer): number;
  /** SIOCGIF... requests; the buffer (24 bytes) is what follows the name in struct ifreq. */
  interfaceRequest(nic: string, request: number, buffer: Buffer): void;
  /** Commands with one 32-bit value. */
  ethtool(nic: string, command: number, value: number): number;
  /** struct ethtool_drvinfo into the buffer (196 bytes). */
  driverInfo(nic: string, buffer: Buffer): void;
  realtime(priority: number): void;
  /** The calling thread runs on this CPU only. */
  pin(cpu: number): void;
  /** Three doubles into the buffer, in ns: CLOCK_MONOTONIC_RAW, CLOCK_REALTIME since 2020, how long reading took. */
  clocks(buffer: Buffer): void;
  /** SO_PRIORITY and TCP_NOTSENT_LOWAT. */
  trafficClass(fd: number, priority: number, unsentBytes: number): void;
}

let loaded: Native | undefined;

/** Throws when the addon is not built. */
export function native(): Native {
  if (loaded) return loaded;
  try {
    loaded = createRequire(import.meta.url)('./native/build/packet.node') as Native;
  } catch (cause) {
    throw new Error(`the packet addon cannot be loaded (${(cause as Error).message}): build it with drivers/ethernet/native/build.sh`, {
      cause,
    });
  }
  return loaded;
}
