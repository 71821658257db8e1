// What a stream needs of a channel between two machines: so that tests can put an in-memory pair in its place.
import type { EventEmitter } from 'node:events';

export interface ChannelEvents {
  /** One whole message, in order, exactly once per session. */
  message: [Buffer];
  /** After `send` answered false: there is room again. */
  drain: [];
  /** At least one link carries the session. */
  up: [];
  /** No link carries it. Unacknowledged messages are kept: if the partner still knows the session, it goes on. */
  down: [reason: string];
  /** The session ended (either side called `reset`, or the partner restarted): unacknowledged messages are lost. A new session starts empty. */
  reset: [reason: string];
  /** Someone connected who does not have the key, or nobody there has ours. At most once per 5 s. */
  stranger: [remoteAddress: string, message: string];
}

export interface Channel extends EventEmitter<ChannelEvents> {
  /** Sends the parts as one message. False: the window is full, wait for `drain` (the message was taken all the same). Parts must not be changed afterwards. */
  send(...parts: Uint8Array[]): boolean;
  readonly isUp: boolean;
  /** The heartbeat's verdict: a link that is down is closed at once and what it carried is sent again on the others. */
  linkVerdict(link: number, up: boolean): void;
  /** Ends the session on both sides. */
  reset(): void;
  close(): Promise<void>;
}

export interface ChannelOptions {
  /** A connects, B listens. */
  side: 'A' | 'B';
  port: number;
  links: { localAddress: string; remoteAddress: string }[];
  /** 32 bytes; TLS 1.3 with this pre-shared key. */
  key: Uint8Array;
  /** Unacknowledged bytes before `send` answers false. */
  windowBytes?: number;
  /**
   * Called with the descriptor of every new connection, before anything of ours is sent on it: gives it its traffic class. Answers why that
   * failed, or nothing.
   */
  onSocket?: (fd: number) => string;
}

export interface ChannelStats {
  links: {
    connected: boolean;
    sentBytes: number;
    receivedBytes: number;
    resentMessages: number /** Why it is not connected, or what it lacks, one sentence; empty: nothing. */;
    problem: string;
  }[];
  unacknowledgedBytes: number;
}
