// The witness: the third voice, on any third machine, for many pairs. Here: who may connect, how many at once, and what is said
// to whom. What is granted is decided in core/witness.ts and durable before it is said (groups.ts, memory-store.ts).
import { randomBytes } from 'node:crypto';
import { statSync, watch } from 'node:fs';
import { type AddressInfo, createServer as createServerOfNothing, type Socket } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import { CONNECTIONS_PER_PAIR, Connection, type Shared, type WitnessCounters } from './connection.ts';
import { isPairId, MAXIMUM_PAIRS, PairFolder, WitnessSetupError } from './enrolment.ts';
import { Groups } from './groups.ts';
import { MemoryStore } from './memory-store.ts';
import { SeldomLog } from './seldom-log.ts';

export interface WitnessOptions {
  host: string;
  port: number;
  /** Directory of the enrolled pairs and of what was granted. */
  stateDir: string;
  log: (severity: 'info' | 'warning', line: string) => void;
}

export interface Witness {
  port: number;
  counters: Readonly<WitnessCounters>;
  close: () => Promise<void>;
}

/**
 * That have not shown a key yet, in all and from one address: the oldest makes room. A thousand CoServers that come back at the same
 * moment fit; a stranger's thousand do not keep them out, because whoever has a key needs its place for milliseconds only.
 */
const STRANGERS = 1_024;
const STRANGERS_PER_ADDRESS = 128;
/** A stranger that says nothing holds a place no longer than this. */
const HANDSHAKE_WITHIN_MS = 3_000;
export async function startWitness(options: WitnessOptions): Promise<Witness> {
  const pairs = new PairFolder(options.stateDir);
  const unlock = await lock(options.stateDir);
  const store = await MemoryStore.open(options.stateDir).catch((e: Error) => {
    unlock();
    throw e;
  });
  if (store.damage) options.log('warning', `${store.damage}. Every pair has to tell where it stands, as after each start.`);
  const counters: WitnessCounters = { unknownPair: 0, wrongKey: 0, otherProtocol: 0, malformed: 0, crowded: 0 };
  const groups = new Groups(store, randomBytes(8).toString('hex'));
  const seldom = new SeldomLog(
    (text) => options.log('warning', text),
    () => performance.now(),
  );
  const shared: Shared = { groups, seldom, counters, log: options.log, heard: new Map(), speakers: new Map() };
  const identities = new WeakMap<TLSSocket, string>();
  const strangers = new Strangers(() => {
    counters.crowded++;
    seldom.say('crowded', 'more connections without a key than are served at once: the oldest are ended');
  });
  const server = createServer(
    {
      handshakeTimeout: HANDSHAKE_WITHIN_MS,
      minVersion: 'TLSv1.3',
      ciphers: 'TLS_AES_128_GCM_SHA256',
      pskCallback: (socket, identity) => {
        const key = keyOf(pairs, identity, shared);
        if (key) identities.set(socket, identity);
        return key;
      },
    },
    (socket) => {
      const pairId = identities.get(socket);
      if (pairId) Connection.serve(socket, pairId, shared);
      else socket.destroy();
    },
  );
  server.maxConnections = MAXIMUM_PAIRS * CONNECTIONS_PER_PAIR + 2 * STRANGERS;
  server.on('connection', (socket: Socket) => strangers.add(socket));
  server.on('secureConnection', (socket) => strangers.remove(socket));
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
    const from = socket.remoteAddress ?? 'an address that is gone';
    // An unknown pair was counted when its name was looked up.
    if (error.code !== 'ERR_SSL_BINDER_DOES_NOT_VERIFY') return;
    counters.wrongKey++;
    const pairId = identities.get(socket) ?? '?';
    seldom.say(`key ${pairId}`, `pair ${pairId.slice(0, 8)}: somebody at ${from} has another key than the enrolled one`);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
  }).catch(async (e: Error) => {
    await store.close();
    unlock();
    throw e;
  });
  const watcher = watch(pairs.path, () => {
    for (const [pairId, connections] of shared.heard) if (!pairs.has(pairId)) for (const c of connections) c.destroy();
  });
  server.on('error', (e) => options.log('warning', `listening: ${e.message}`));
  return {
    port: (server.address() as AddressInfo).port,
    counters,
    close: async () => {
      watcher.close();
      for (const connections of shared.heard.values()) for (const c of connections) c.destroy();
      strangers.destroyAll();
      await new Promise((resolve) => server.close(resolve));
      await store.close();
      unlock();
    },
  };
}

function keyOf(pairs: PairFolder, identity: string, { seldom, counters }: Shared): Buffer | null {
  try {
    const key = isPairId(identity) ? pairs.key(identity) : null;
    if (key) return key;
    seldom.say('unknown', `pair ${isPairId(identity) ? identity : '(no pair id)'} is not enrolled here: twinstep witness enrol`);
  } catch (e) {
    seldom.say(`file ${identity}`, (e as Error).message);
  }
  counters.unknownPair++;
  return null;
}

/** Connections that have not shown a key yet. */
class Strangers {
  /** By their remote address and port, the oldest first. */
  readonly #sockets = new Map<string, Socket>();
  readonly #perAddress = new Map<string, number>();
  readonly #crowded: () => void;

  constructor(crowded: () => void) {
    this.#crowded = crowded;
  }

  add(socket: Socket): void {
    const address = socket.remoteAddress;
    if (address === undefined) {
      socket.destroy();
      return;
    }
    const key = keyOfSocket(socket);
    const ofAddress = this.#perAddress.get(address) ?? 0;
    const crowding = ofAddress >= STRANGERS_PER_ADDRESS ? address : this.#sockets.size >= STRANGERS ? '' : null;
    if (crowding !== null) {
      this.#crowded();
      for (const oldest of this.#sockets.values())
        if (crowding === '' || oldest.remoteAddress === crowding) {
          this.#forget(keyOfSocket(oldest), oldest.remoteAddress);
          oldest.destroy();
          break;
        }
    }
    this.#sockets.set(key, socket);
    this.#perAddress.set(address, (this.#perAddress.get(address) ?? 0) + 1);
    socket.once('close', () => this.#forget(key, address));
  }

  /** It has shown a key. */
  remove(socket: TLSSocket): void {
    this.#forget(keyOfSocket(socket), socket.remoteAddress);
  }

  destroyAll(): void {
    for (const socket of this.#sockets.values()) socket.destroy();
  }

  #forget(key: string, address: string | undefined): void {
    if (!this.#sockets.delete(key) || address === undefined) return;
    const left = (this.#perAddress.get(address) ?? 1) - 1;
    if (left > 0) this.#perAddress.set(address, left);
    else this.#perAddress.delete(address);
  }
}

function keyOfSocket({ remoteAddress, remotePort }: { remoteAddress?: string | undefined; remotePort?: number | undefined }): string {
  return `${remoteAddress} ${remotePort}`;
}

/** Two witnesses over one memory would each grant without the other. The name goes away with the process, whatever ends it. */
async function lock(stateDir: string): Promise<() => void> {
  const { dev, ino } = statSync(stateDir);
  const held = createServerOfNothing();
  await new Promise<void>((resolve, reject) => {
    held.once('error', () => reject(new WitnessSetupError(`another witness runs with the state in ${stateDir}: end it first`)));
    held.listen(`\0twinstep-witness-${dev}-${ino}`, resolve);
  });
  held.unref();
  return () => held.close();
}
