// The witness: the third voice, on any third machine. It grants at most one CoServer the next generation and never
// forgets what it granted: a grant is on disk before it is said.
import { mkdirSync, readFileSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { decideClaim, type Grant, type WitnessAnswer } from '../core/witness.ts';
import { deriveKey } from '../wire/keys.ts';
import { parseWitnessRequest, WITNESS_LINE_BYTES, type WitnessReply } from '../wire/witness.ts';

export interface WitnessOptions {
  host: string;
  port: number;
  /** Directory of the grants: one file per pair. */
  stateDir: string;
  /** The pair's key, 32 bytes. */
  pairKey: Uint8Array;
  log: (line: string) => void;
}

/** Connections at once: two per pair, and room for reconnects and strangers. */
const MAXIMUM_CONNECTIONS = 64;
/** Of one pair: its two CoServers, and what their last power failures left behind. The least recently heard makes room. */
const CONNECTIONS_PER_PAIR = 4;
/** A CoServer that lost its power says no farewell. Its successor asks every second: whoever is silent for so long is dead. */
const SILENT_MS = 10_000;
/** A stranger that says nothing holds a place no longer than this. */
const HANDSHAKE_WITHIN_MS = 3_000;

export async function startWitness(options: WitnessOptions): Promise<Server> {
  mkdirSync(options.stateDir, { recursive: true, mode: 0o700 });
  const key = deriveKey(options.pairKey, 'witness');
  const identities = new WeakMap<TLSSocket, string>();
  const grants = new GrantStore(options.stateDir);
  /** By pair, the least recently heard first. */
  const connections = new Map<string, Set<TLSSocket>>();
  const server = createServer(
    {
      handshakeTimeout: HANDSHAKE_WITHIN_MS,
      minVersion: 'TLSv1.3',
      ciphers: 'TLS_AES_128_GCM_SHA256',
      pskCallback: (socket, identity) => {
        identities.set(socket, identity);
        return /^[0-9a-f]{32}$/.test(identity) ? key : null;
      },
    },
    (socket) => {
      const group = identities.get(socket);
      if (!group) {
        socket.destroy();
        return;
      }
      const ofPair = connections.get(group) ?? new Set();
      connections.set(group, ofPair);
      const heard = () => {
        ofPair.delete(socket);
        ofPair.add(socket);
      };
      const [longestSilent] = ofPair;
      if (longestSilent && ofPair.size >= CONNECTIONS_PER_PAIR) longestSilent.destroy();
      heard();
      socket.on('data', heard);
      socket.on('close', () => ofPair.delete(socket));
      socket.setTimeout(SILENT_MS, () => socket.destroy());
      serveConnection(socket, group, grants, options.log);
    },
  );
  server.maxConnections = MAXIMUM_CONNECTIONS;
  server.on('tlsClientError', (error, socket) =>
    options.log(`refused ${socket.remoteAddress ?? 'a stranger'}: ${error.message} (another pair's key?)`),
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
  });
  return server;
}

function serveConnection(socket: TLSSocket, group: string, grants: GrantStore, log: (line: string) => void): void {
  socket.setNoDelay(true);
  socket.on('error', () => socket.destroy());
  let text = '';
  const reply = (r: WitnessReply) => socket.writable && socket.write(`${JSON.stringify(r)}\n`);
  socket.on('data', async (chunk) => {
    text += chunk.toString('utf8');
    for (;;) {
      const end = text.indexOf('\n');
      if (end < 0) break;
      const line = text.slice(0, end);
      text = text.slice(end + 1);
      try {
        const request = parseWitnessRequest(line);
        if (request.kind === 'ping') {
          reply({ id: request.id, kind: 'pong' });
          continue;
        }
        const answer = await grants.claim(group, { generation: request.generation, claimant: request.claimant });
        log(
          `${group.slice(0, 8)}: ${request.claimant} claims after generation ${request.generation}: ${answer.granted ? 'granted' : `refused, ${answer.reason}`}`,
        );
        reply({ id: request.id, kind: 'answer', answer });
      } catch (e) {
        reply({ id: 0, kind: 'error', reason: (e as Error).message });
        socket.end();
        return;
      }
    }
    if (text.length > WITNESS_LINE_BYTES) socket.destroy();
  });
}

/** Grants on disk: written to a new file, flushed, renamed, the directory flushed. One claim at a time. */
export class GrantStore {
  readonly #directory: string;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(directory: string) {
    this.#directory = directory;
  }

  claim(group: string, claim: { generation: number; claimant: 'A' | 'B' }): Promise<WitnessAnswer> {
    const next = this.#queue.then(async () => {
      const stored = this.#read(group);
      const answer = decideClaim(stored, claim);
      if (answer.granted && (stored?.generation !== answer.grant.generation || stored.owner !== answer.grant.owner))
        await this.#write(group, answer.grant);
      return answer;
    });
    this.#queue = next.catch(() => undefined);
    return next;
  }

  #path(group: string): string {
    return join(this.#directory, `${group}.json`);
  }

  #read(group: string): Grant | null {
    let text: string;
    try {
      text = readFileSync(this.#path(group), 'utf8');
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw e;
    }
    const g = JSON.parse(text) as Grant;
    if (!Number.isSafeInteger(g.generation) || (g.owner !== 'A' && g.owner !== 'B'))
      throw new Error(`${this.#path(group)} is damaged: enrol the pair again`);
    return { generation: g.generation, owner: g.owner };
  }

  async #write(group: string, grant: Grant): Promise<void> {
    const path = this.#path(group);
    const file = await open(`${path}.new`, 'w', 0o600);
    try {
      await file.writeFile(`${JSON.stringify(grant)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(`${path}.new`, path);
    const directory = await open(this.#directory, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }
}
