// A BMC faked at the byte: a UDP server that speaks RMCP+ with cipher suites 3 and 17, so that the real client runs against it, and so does
// any other. It lies, hangs, is slow, forgets, and its cable loses, doubles and damages packets, as told.
import { randomBytes, randomInt } from 'node:crypto';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { FakeMachine } from './fake-machine.ts';
import { COMMAND, COMPLETION, decodeMessage, encodeResponse, type IpmiMessage } from './messages.ts';
import { decodePacket, encodePlain, encodeSealed, encodeSigned, encodeVersion15, PAYLOAD, type RmcpPacket } from './rmcp.ts';
import { SequenceWindow } from './sequence-window.ts';
import {
  decodeOpenSessionRequest,
  decodeRakp1,
  decodeRakp3,
  encodeOpenSessionResponse,
  encodeRakp2,
  encodeRakp4,
  SUITE_ALGORITHMS,
} from './session-codec.ts';
import {
  decryptPayload,
  type Exchange,
  encryptPayload,
  integrityCode,
  padKey,
  rakp2Code,
  rakp3Code,
  type SessionKeys,
  sameBytes,
  sessionKeys,
  suiteHash,
} from './session-keys.ts';
import { type CipherSuite, IpmiCodecError } from './types.ts';

/** Real ones have four to eight; the oldest is forgotten. */
const MAX_SESSIONS = 16;

export interface FakeBmcOptions {
  username: string;
  password: string;
  bmcKey?: string;
  /** 0 when left out: any. */
  port?: number;
  suites?: readonly CipherSuite[];
  /** 2 user, 3 operator, 4 administrator (when left out). */
  maxPrivilege?: number;
  /** Answers to an error with its first two bytes only, as some do. */
  shortErrors?: boolean;
}

export type Direction = 'in' | 'out';

interface FakeSession {
  exchange: Exchange;
  keys: SessionKeys | undefined;
  privilege: number;
  outgoing: number;
  window: SequenceWindow;
}

export class FakeBmc {
  readonly machine = new FakeMachine();
  /** Takes everything in and says nothing. */
  hangs = false;
  /** Before each answer. */
  delayMs = 0;
  /** What becomes of a packet: none, one or more in its place. `count` numbers the packets of each direction from 0. */
  fault: (packet: Buffer, direction: Direction, count: number) => readonly Buffer[] = (packet) => [packet];
  /** Open Session requests that were answered. */
  sessionsOpened = 0;
  /** Commands in sessions that were carried out, as "6.1" (network function, command). */
  readonly commands: string[] = [];
  readonly guid = randomBytes(16);
  readonly #socket: Socket;
  readonly #options: FakeBmcOptions;
  readonly #sessions = new Map<number, FakeSession>();
  readonly #counts = { in: 0, out: 0 };
  readonly #timers = new Set<NodeJS.Timeout>();

  private constructor(socket: Socket, options: FakeBmcOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.on('message', (packet, from) => {
      for (const arrived of this.fault(packet, 'in', this.#counts.in++)) this.#receive(arrived, from);
    });
  }

  static async start(options: FakeBmcOptions): Promise<FakeBmc> {
    const socket = createSocket('udp4');
    socket.bind({ address: '127.0.0.1', port: options.port ?? 0 });
    await once(socket, 'listening');
    return new FakeBmc(socket, options);
  }

  get port(): number {
    return this.#socket.address().port;
  }

  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#socket.close();
  }

  /** It starts again: all sessions are forgotten. */
  forgetSessions(): void {
    this.#sessions.clear();
  }

  /** Bytes of somebody who is not the BMC but sends from its address. */
  sendRaw(packet: Buffer, port: number): void {
    this.#socket.send(packet, port, '127.0.0.1');
  }

  #receive(packet: Buffer, from: RemoteInfo): void {
    if (this.hangs) return;
    let answer: Buffer | undefined;
    try {
      answer = this.#answer(packet);
    } catch (error) {
      if (!(error instanceof IpmiCodecError)) throw error;
    }
    if (answer === undefined) return;
    for (const out of this.fault(answer, 'out', this.#counts.out++)) this.#send(out, from);
  }

  #send(packet: Buffer, to: RemoteInfo): void {
    if (this.delayMs === 0) {
      this.#socket.send(packet, to.port, to.address);
      return;
    }
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#socket.send(packet, to.port, to.address);
    }, this.delayMs);
    this.#timers.add(timer);
  }

  #answer(bytes: Buffer): Buffer | undefined {
    const packet = this.#decode(bytes);
    switch (packet.kind) {
      case 'version15':
        return this.#answerOutside(packet.message);
      case 'plain':
        return this.#handshake(packet.payloadType, packet.payload);
      case 'sealed':
        return this.#inSession(packet);
    }
  }

  /** The length of the code is known only when the session is. */
  #decode(bytes: Buffer): RmcpPacket {
    const session = bytes.length >= 10 ? this.#sessions.get(bytes.readUInt32LE(6)) : undefined;
    return decodePacket(bytes, suiteHash(session?.exchange.suite ?? 3).codeBytes);
  }

  /** 22.13: a client asks whether IPMI 2.0 is spoken here. */
  #answerOutside(message: Buffer): Buffer | undefined {
    const m = decodeMessage(message);
    const [netFn, command] = COMMAND.getChannelAuthentication;
    if (m.netFn !== netFn || m.command !== command) return undefined;
    const data = Buffer.from([COMPLETION.ok, 0x01, 0x80, 0x04, 0x02, 0, 0, 0, 0]);
    return encodeVersion15(0, 0, encodeResponse({ ...m, netFn: netFn + 1, data }, m.from));
  }

  #handshake(type: number, payload: Buffer): Buffer | undefined {
    switch (type) {
      case PAYLOAD.openSessionRequest:
        return this.#openSession(payload);
      case PAYLOAD.rakp1:
        return this.#rakp1(payload);
      case PAYLOAD.rakp3:
        return this.#rakp3(payload);
      default:
        return undefined;
    }
  }

  #openSession(payload: Buffer): Buffer {
    const { tag, clientId, privilege, algorithms } = decodeOpenSessionRequest(payload);
    const suite = (this.#options.suites ?? [3, 17]).find(
      (s) =>
        SUITE_ALGORITHMS[s].authentication === algorithms.authentication &&
        SUITE_ALGORITHMS[s].integrity === algorithms.integrity &&
        SUITE_ALGORITHMS[s].confidentiality === algorithms.confidentiality,
    );
    if (suite === undefined) return this.#failure(PAYLOAD.openSessionResponse, tag, 0x11, clientId);
    const bmcId = randomInt(1, 0xffffffff);
    const userKey = padKey(Buffer.from(this.#options.password));
    const bmcKey = this.#options.bmcKey === undefined ? userKey : padKey(Buffer.from(this.#options.bmcKey));
    const empty = Buffer.alloc(0);
    const exchange: Exchange = {
      ...{ suite, clientId, bmcId, userKey, bmcKey, guid: this.guid },
      ...{ clientRandom: empty, bmcRandom: randomBytes(16), role: 0, username: empty },
    };
    const [oldest] = this.#sessions.keys();
    if (this.#sessions.size >= MAX_SESSIONS && oldest !== undefined) this.#sessions.delete(oldest);
    this.#sessions.set(bmcId, { exchange, keys: undefined, privilege: 2, outgoing: 0, window: new SequenceWindow() });
    this.sessionsOpened++;
    const answer = encodeOpenSessionResponse({ tag, status: 0, clientId, bmcId, algorithms }, privilege);
    return encodePlain(PAYLOAD.openSessionResponse, answer);
  }

  #failure(type: number, tag: number, status: number, clientId: number): Buffer {
    const answer = encodeOpenSessionResponse({ tag, status, clientId });
    return encodePlain(type, this.#options.shortErrors ? answer.subarray(0, 2) : answer);
  }

  #rakp1(payload: Buffer): Buffer {
    const { tag, bmcId, clientRandom, role, username } = decodeRakp1(payload);
    const session = this.#sessions.get(bmcId);
    if (session === undefined || session.exchange.clientRandom.length > 0) return this.#failure(PAYLOAD.rakp2, tag, 0x02, 0);
    const { exchange } = session;
    if (username.toString() !== this.#options.username) return this.#failure(PAYLOAD.rakp2, tag, 0x0d, exchange.clientId);
    if ((role & 0x0f) > (this.#options.maxPrivilege ?? 4)) return this.#failure(PAYLOAD.rakp2, tag, 0x0a, exchange.clientId);
    Object.assign(exchange, { clientRandom: Buffer.from(clientRandom), role, username: Buffer.from(username) });
    const { clientId, bmcRandom, guid } = exchange;
    return encodePlain(PAYLOAD.rakp2, encodeRakp2({ tag, status: 0, clientId, bmcRandom, guid, code: rakp2Code(exchange) }));
  }

  #rakp3(payload: Buffer): Buffer | undefined {
    const { tag, status, bmcId, code } = decodeRakp3(payload);
    const session = this.#sessions.get(bmcId);
    if (session === undefined || session.keys !== undefined) return this.#failure(PAYLOAD.rakp4, tag, 0x02, 0);
    const { exchange } = session;
    if (status !== 0) {
      this.#sessions.delete(bmcId);
      return undefined;
    }
    if (!sameBytes(rakp3Code(exchange), code)) {
      this.#sessions.delete(bmcId);
      return this.#failure(PAYLOAD.rakp4, tag, 0x0f, exchange.clientId);
    }
    session.keys = sessionKeys(exchange);
    return encodePlain(PAYLOAD.rakp4, encodeRakp4({ tag, status: 0, clientId: exchange.clientId, code: session.keys.rakp4Code }));
  }

  #inSession(packet: Extract<RmcpPacket, { kind: 'sealed' }>): Buffer | undefined {
    const session = this.#sessions.get(packet.sessionId);
    if (session?.keys === undefined || packet.payloadType !== PAYLOAD.message) return undefined;
    const { keys } = session;
    if (!sameBytes(integrityCode(keys, packet.signed), packet.code) || !session.window.accept(packet.sequence)) return undefined;
    const m = decodeMessage(decryptPayload(keys, packet.payload));
    this.commands.push(`${m.netFn}.${m.command}`);
    const answer = encodeResponse({ ...m, netFn: m.netFn + 1, data: this.#carryOut(session, m) }, m.from);
    session.outgoing++;
    const signed = encodeSigned(PAYLOAD.message, session.exchange.clientId, session.outgoing, encryptPayload(keys, answer));
    return encodeSealed(signed, integrityCode(keys, signed));
  }

  #carryOut(session: FakeSession, m: IpmiMessage): Buffer {
    const is = (name: keyof typeof COMMAND) => m.netFn === COMMAND[name][0] && m.command === COMMAND[name][1];
    if (is('setSessionPrivilege')) {
      const wanted = m.data[0] ?? 0;
      if (wanted > (session.exchange.role & 0x0f)) return Buffer.from([0x81]);
      if (wanted !== 0) session.privilege = wanted;
      return Buffer.from([COMPLETION.ok, session.privilege]);
    }
    if (is('closeSession')) {
      this.#sessions.delete(session.exchange.bmcId);
      return Buffer.from([COMPLETION.ok]);
    }
    if (is('getSystemGuid')) return Buffer.concat([Buffer.from([COMPLETION.ok]), this.guid]);
    // Appendix G: an operator at least.
    if (is('chassisControl') && session.privilege < 3) return Buffer.from([COMPLETION.noPrivilege]);
    return this.machine.answer(m.netFn, m.command, m.data);
  }
}
