// Numbered messages over several links: kept until acknowledged, put in order, delivered exactly once per session.
//
//   send -> Outbox -> [link 0] -> Inbox -> 'message'      a lost link's messages go over the others at once;
//                  -> [link 1] ->                         with no link left they wait
//
// A session is a pair of numbers, one made by each side. Every connection begins with a hello that names both; data counts
// only under a hello that names exactly the pair the receiver has. Either number changes (a restart, `reset`): both sides
// start empty under the new pair. A pair never returns, so nothing old can be taken for new. README.md draws the cases.
import { randomBytes } from 'node:crypto';
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { ChannelLink } from './channel-link.ts';
import {
  decodeHello,
  FRAME_DATA,
  FRAME_HELLO,
  FrameError,
  type FrameHeader,
  type Hello,
  MAX_MESSAGE_BYTES,
  type SessionId,
} from './codec.ts';
import { CONNECTION_QUEUE_BYTES, Connection } from './connection.ts';
import { createEndpoint, RETRY_MS, RETRY_SLOW_MS } from './endpoint.ts';
import { Inbox, Outbox } from './session.ts';
import type { Channel, ChannelEvents, ChannelOptions, ChannelStats } from './types.ts';

const DEFAULT_WINDOW_BYTES = 8 * 1024 * 1024;
/** What may wait here for an earlier message. Told to the partner, who keeps below it; above the default window of any partner. */
const RECEIVE_WINDOW_BYTES = 32 * 1024 * 1024;
/** Beyond it a sender that ignores `send`'s answer is a fault of ours, not a reason to use up the memory. */
const OVERRUN_WINDOWS = 16;
/** A link gets this much in a row before the next one is asked: small bursts stay on one link, and so in order. */
const LINK_SHARE_BYTES = 64 * 1024;
/** Acknowledged in the same turn when this much was received, otherwise with the next message or after ACK_DELAY_MS. */
const ACK_BYTES = 64 * 1024;
const ACK_DELAY_MS = 5;
const STRANGER_QUIET_MS = 5_000;
const DOWN_QUIET_MS = 5_000;
/** Earlier lives of the partner that are remembered, to refuse what still arrives from them. */
const RETIRED_INCARNATIONS = 16;
const CLOSE_LIMIT_MS = 300;

const NOBODY: SessionId = { incarnation: 0n, resets: 0 };

function same(a: SessionId, b: SessionId): boolean {
  return a === b || (a.incarnation === b.incarnation && a.resets === b.resets);
}

export class PairChannel extends EventEmitter<ChannelEvents> implements Channel {
  readonly #windowBytes: number;
  readonly #onSocket: ((fd: number) => string) | undefined;
  readonly #links: ChannelLink[];
  readonly #outbox: Outbox;
  readonly #inbox = new Inbox(RECEIVE_WINDOW_BYTES);
  #own: SessionId = { incarnation: randomBytes(8).readBigUInt64BE() | 1n, resets: 0 };
  #partner: SessionId = NOBODY;
  /** This session was begun by the partner and nothing happened in it: see `reset`. */
  #freshByPartner = false;
  readonly #retired: bigint[] = [];
  #up = false;
  #closed = false;
  #full = false;
  #flushScheduled = false;
  #ackBytes = 0;
  #ackTimer: NodeJS.Timeout | undefined;
  #lastStrangerMs = Number.NEGATIVE_INFINITY;
  #lastDownReason = '';
  #lastDownMs = Number.NEGATIVE_INFINITY;

  /** @param makeEndpoint Another than TLS is for measurements of what TLS costs; no configuration leads there. */
  constructor(options: ChannelOptions, makeEndpoint: typeof createEndpoint = createEndpoint) {
    super();
    this.#windowBytes = options.windowBytes ?? DEFAULT_WINDOW_BYTES;
    this.#onSocket = options.onSocket;
    this.#outbox = new Outbox(this.#windowBytes);
    this.#links = options.links.map((addresses, index) => {
      const link: ChannelLink = new ChannelLink(
        makeEndpoint(
          options.side,
          { ...addresses, port: options.port, key: options.key },
          {
            onSocket: (socket) => this.#connected(index, socket),
            onStranger: (address, message) => this.#stranger(address, message),
            onProblem: (message) => this.#problem(link, message),
          },
        ),
      );
      return link;
    });
    for (const link of this.#links) link.endpoint.open(0);
  }

  get isUp(): boolean {
    return this.#up;
  }

  send(...parts: Uint8Array[]): boolean {
    if (this.#closed) return true;
    let bytes = 0;
    for (const part of parts) bytes += part.length;
    if (bytes > MAX_MESSAGE_BYTES) throw new RangeError(`a message of ${bytes} bytes, allowed are ${MAX_MESSAGE_BYTES}`);
    if (this.#outbox.cost > this.#windowBytes * OVERRUN_WINDOWS + MAX_MESSAGE_BYTES) {
      throw new Error(`${this.#outbox.cost} bytes were sent without waiting for 'drain', the window is ${this.#windowBytes}`);
    }
    this.#outbox.add(parts);
    this.#freshByPartner = false;
    this.#scheduleFlush();
    this.#full ||= this.#outbox.cost >= this.#windowBytes;
    return !this.#full;
  }

  linkVerdict(link: number, up: boolean): void {
    const entry = this.#links[link];
    if (!entry) throw new RangeError(`no link ${link}: there are ${this.#links.length}`);
    if (this.#closed || entry.allowed === up) return;
    if (up) entry.allow();
    else entry.forbid();
  }

  /**
   * Ends the session on both sides; 'reset' is emitted on both, here before this returns. Does nothing in a session that the
   * partner just began by its own reset and in which nothing was sent or received: answering a reset by a reset ends nothing.
   */
  reset(): void {
    if (this.#closed || this.#freshByPartner) return;
    this.#own = { incarnation: this.#own.incarnation, resets: this.#own.resets + 1 };
    this.#begin(false, 'this side ended the session');
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#flush();
    this.#closed = true;
    clearTimeout(this.#ackTimer);
    await Promise.all(this.#links.map((link) => link.close(CLOSE_LIMIT_MS)));
    this.#outbox.clear();
    this.#inbox.clear();
    if (this.#up) {
      this.#up = false;
      this.emit('down', 'closed');
    }
  }

  stats(): ChannelStats {
    return {
      links: this.#links.map((link) => link.stats()),
      unacknowledgedBytes: this.#outbox.cost,
    };
  }

  // --- connections ---

  #connected(index: number, socket: Socket): void {
    const link = this.#links[index];
    if (this.#closed || !link?.allowed) {
      socket.on('error', () => undefined).destroy();
      return;
    }
    link.equip(socket, this.#onSocket);
    const connection = new Connection(index, socket, {
      onFrame: (c, header, payload) => this.#frame(link, c, header, payload),
      onWritable: () => this.#flush(),
      onEnd: (c, reason, violation) => this.#ended(link, c, reason, violation),
    });
    link.admit(connection);
    connection.sendHello(this.#hello(index));
  }

  #ended(link: ChannelLink, connection: Connection, reason: string, violation: boolean): void {
    const place = link.ended(connection);
    if (place === 'replaced') return;
    if (place === 'present') {
      link.resentMessages += this.#outbox.loseLink(connection.link);
      // What it delivered may not be acknowledged yet: say so on another link.
      this.#ackBytes = Math.max(this.#ackBytes, ACK_BYTES);
      this.#scheduleFlush();
    }
    if (this.#closed) return;
    link.problem = reason;
    if (link.allowed && !link.connection) link.endpoint.open(violation ? RETRY_SLOW_MS : RETRY_MS);
    this.#checkDown(reason);
  }

  #checkDown(reason: string): void {
    if (!this.#up || this.#links.some((l) => l.isEstablished)) return;
    this.#up = false;
    this.emit('down', reason);
  }

  #problem(link: ChannelLink, message: string): void {
    if (this.#closed) return;
    link.problem = message;
    // While nothing is connected, whoever listens learns why: another reason, and not often (the attempts are 100 ms apart).
    const now = performance.now();
    if (this.#up || message === this.#lastDownReason || now - this.#lastDownMs < DOWN_QUIET_MS) return;
    this.#lastDownMs = now;
    this.#lastDownReason = message;
    this.emit('down', message);
  }

  #stranger(address: string, message: string): void {
    const now = performance.now();
    if (this.#closed || now - this.#lastStrangerMs < STRANGER_QUIET_MS) return;
    this.#lastStrangerMs = now;
    this.emit('stranger', address, message);
  }

  // --- sessions ---

  #hello(link: number): Hello {
    return { link, own: this.#own, partner: this.#partner, receiveWindowBytes: RECEIVE_WINDOW_BYTES, maxMessageBytes: MAX_MESSAGE_BYTES };
  }

  #tellAll(): void {
    for (const [index, link] of this.#links.entries()) {
      for (const connection of link.connections()) this.#tell(connection, index);
    }
  }

  #tell(connection: Connection, index: number): void {
    const told = connection.told;
    if (told && same(told.own, this.#own) && same(told.partner, this.#partner)) return;
    connection.sendHello(this.#hello(index));
  }

  /** The pair of session numbers changed: both directions start empty. */
  #begin(byPartner: boolean, reason: string): void {
    this.#outbox.clear();
    this.#inbox.clear();
    this.#ackBytes = 0;
    this.#freshByPartner = byPartner;
    this.#tellAll();
    this.emit('reset', reason);
    this.#freeWindow();
  }

  #heardHello(link: ChannelLink, connection: Connection, hello: Hello): boolean {
    if (hello.link !== connection.link) {
      connection.end(`link ${connection.link + 1} here is link ${hello.link + 1} at the partner: the cables are crossed`, true);
      return false;
    }
    if (hello.maxMessageBytes < MAX_MESSAGE_BYTES) {
      connection.end(`the partner takes messages of ${hello.maxMessageBytes} bytes only, ${MAX_MESSAGE_BYTES} are needed`, true);
      return false;
    }
    if (this.#retired.includes(hello.own.incarnation)) {
      connection.end('the partner restarted');
      return false;
    }
    const known = this.#partner;
    if (known.incarnation === hello.own.incarnation && hello.own.resets < known.resets) return true; // overtaken by a newer one on another link
    connection.heard = hello;
    if (link.isPending(connection)) this.#adopt(link, connection);
    if (known.incarnation === 0n) {
      this.#partner = hello.own;
      this.#outbox.windowBytes = Math.min(this.#windowBytes, hello.receiveWindowBytes);
      this.#tellAll();
    } else if (!same(known, hello.own)) {
      const restarted = known.incarnation !== hello.own.incarnation;
      this.#partner = hello.own;
      this.#outbox.windowBytes = Math.min(this.#windowBytes, hello.receiveWindowBytes);
      if (restarted) this.#retire(known.incarnation, connection);
      this.#begin(true, restarted ? 'the partner restarted' : 'the partner ended the session');
    } else {
      this.#tell(connection, connection.link);
    }
    if (connection.ended || this.#closed) return false;
    if (!connection.established && same(hello.partner, this.#own) && same(hello.own, this.#partner)) {
      connection.established = true;
      link.problem = '';
      this.#ackBytes = Math.max(this.#ackBytes, ACK_BYTES); // tells the partner what it need not send again
      this.#scheduleFlush();
      if (!this.#up) {
        this.#up = true;
        this.#lastDownReason = '';
        this.emit('up');
      }
    }
    return !connection.ended && !this.#closed;
  }

  /** It has said hello: it replaces the link's earlier connection, which the partner has given up. */
  #adopt(link: ChannelLink, connection: Connection): void {
    const earlier = link.adopt(connection);
    if (!earlier) return;
    link.resentMessages += this.#outbox.loseLink(connection.link);
    this.#ackBytes = Math.max(this.#ackBytes, ACK_BYTES);
    this.#scheduleFlush();
    earlier.end('replaced by a newer connection');
  }

  #retire(incarnation: bigint, except: Connection): void {
    this.#retired.push(incarnation);
    if (this.#retired.length > RETIRED_INCARNATIONS) this.#retired.shift();
    for (const link of this.#links) {
      const connection = link.connection;
      if (connection && connection !== except && connection.heard?.own.incarnation === incarnation) connection.end('the partner restarted');
    }
  }

  // --- frames ---

  #frame(link: ChannelLink, connection: Connection, header: FrameHeader, payload: Buffer): boolean {
    if (header.type === FRAME_HELLO) return this.#heardHello(link, connection, decodeHello(payload));
    const heard = connection.heard;
    if (!heard) throw new FrameError('a frame before the hello');
    // Of a session that is over here: its hello is still under way.
    if (!same(heard.own, this.#partner) || !same(heard.partner, this.#own)) return true;
    if (header.acknowledged > 0 && this.#outbox.acknowledge(header.acknowledged)) {
      this.#scheduleFlush();
      this.#freeWindow();
      if (connection.ended || this.#closed) return false;
    }
    if (header.type !== FRAME_DATA) return true;
    this.#freshByPartner = false;
    this.#ackBytes += header.length + 1;
    const verdict = this.#inbox.offer(header.sequence, payload);
    if (verdict === 'duplicate')
      this.#ackBytes += ACK_BYTES; // the partner lacks our acknowledgement
    else this.#deliver();
    if (this.#ackBytes >= ACK_BYTES) this.#scheduleFlush();
    else this.#ackTimer ??= setTimeout(() => this.#ackLater(), ACK_DELAY_MS);
    return !connection.ended && !this.#closed;
  }

  #deliver(): void {
    // A listener may call `reset` or `close`: the inbox is then empty.
    for (let message = this.#inbox.take(); message; message = this.#inbox.take()) this.emit('message', message);
  }

  #ackLater(): void {
    this.#ackTimer = undefined;
    if (this.#ackBytes > 0) {
      this.#ackBytes = Math.max(this.#ackBytes, ACK_BYTES);
      this.#flush();
    }
  }

  #freeWindow(): void {
    if (!this.#full || this.#outbox.cost >= this.#windowBytes) return;
    this.#full = false;
    this.emit('drain');
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled || this.#closed) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  /** The established connection with the least queued, if it has room. */
  #leastQueued(): Connection | undefined {
    let best: Connection | undefined;
    let least = CONNECTION_QUEUE_BYTES;
    for (const { connection } of this.#links) {
      if (!connection?.established || connection.ended) continue;
      const queued = connection.queuedBytes;
      if (queued < least) {
        best = connection;
        least = queued;
      }
    }
    return best;
  }

  #flush(): void {
    if (this.#closed) return;
    const used: Connection[] = [];
    const acknowledged = this.#inbox.delivered;
    let connection = this.#leastQueued();
    let share = 0;
    while (connection) {
      const message = this.#outbox.take(connection.link);
      if (!message) break;
      if (!used.includes(connection)) used.push(connection);
      connection.sendMessage(message, acknowledged);
      share += message.bytes;
      if (share >= LINK_SHARE_BYTES) {
        share = 0;
        connection = this.#leastQueued();
      }
    }
    if (used.length > 0) this.#ackBytes = 0;
    else if (this.#ackBytes >= ACK_BYTES) {
      const quiet = this.#leastQueued() ?? this.#links.find((l) => l.isEstablished)?.connection;
      if (quiet) {
        quiet.sendAcknowledgement(acknowledged);
        this.#ackBytes = 0;
      }
    }
    for (const c of used) c.leave();
  }
}
