// What a worker thread needs to open its own PairChannel: one per stream, each over all links.

/** The streams between the CoServers. Each has its own port and its own key, derived from the pair's key. */
export const STREAM_PORTS = { memory: 7401, disk: 7402, network: 7403, control: 7404, update: 7406 } as const;
/** UDP, between the management addresses: `management.ts`. */
export const MANAGEMENT_PORT = 7405;
/**
 * Which stream passes first where a link is full: SO_PRIORITY of its connections. Heartbeats have 7. Output and what decides about it, then disk
 * writes (the guest waits for them), then checkpoints, then
 * updates. A resync shares the disk's connections and bounds what it has under way.
 */
export const STREAM_PRIORITIES = { control: 6, network: 6, disk: 4, memory: 2, update: 1 } as const;
export type StreamName = keyof typeof STREAM_PORTS;

export interface ChannelSetup {
  stream: StreamName;
  /** A connects, B listens. */
  side: 'A' | 'B';
  /** One entry per dedicated link: the local address to bind to, the partner's address. */
  links: { localAddress: string; remoteAddress: string }[];
  /** 32 bytes: the pair's key. */
  pairKey: Uint8Array;
}
