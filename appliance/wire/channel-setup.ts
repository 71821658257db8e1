// What a worker thread needs to open its own PairChannel: one per stream, each over all links.

/** The streams between the CoServers. Each has its own port and its own key, derived from the pair's key. */
export const STREAM_PORTS = { memory: 7401, disk: 7402, network: 7403, control: 7404 } as const;
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
