// A CoServer that asks and never reads the answers, over a socket whose buffer has no end: only what the witness keeps for it counts.
import { once } from 'node:events';
import { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import t from 'tap';
import { Connection, type Shared, UNREAD_BYTES } from '../../../../appliance/witness/connection.ts';
import { Groups } from '../../../../appliance/witness/groups.ts';
import { MemoryStore } from '../../../../appliance/witness/memory-store.ts';
import { SeldomLog } from '../../../../appliance/witness/seldom-log.ts';
import { newPair, stateFolder } from './bench-pair.ts';

class DeafSocket extends Duplex {
  override _read(): void {}
  /** Never done: nobody takes it. */
  override _write(): void {}
  setNoDelay(): this {
    return this;
  }
  setTimeout(): this {
    return this;
  }
}

t.test('one that does not listen is hung up on', { timeout: 60_000 }, async (t) => {
  const store = await MemoryStore.open(stateFolder(t));
  t.teardown(() => store.close());
  const log = () => undefined;
  const shared: Shared = {
    groups: new Groups(store, '0'.repeat(16)),
    seldom: new SeldomLog(log, () => performance.now()),
    counters: { unknownPair: 0, wrongKey: 0, otherProtocol: 0, malformed: 0, crowded: 0 },
    log,
    heard: new Map(),
    speakers: new Map(),
  };
  const socket = new DeafSocket();
  const closed = once(socket, 'close');
  Connection.serve(socket as unknown as TLSSocket, newPair().pairId, shared);
  socket.push('{"kind":"hello","protocol":2,"coServer":"A","incarnation":"0011223344556677"}\n');
  let most = 0;
  for (let id = 1; id <= 5_000 && !socket.destroyed; id++) {
    socket.push(`{"id":${id},"kind":"report","generation":0,"state":"fresh","seen":null}\n`);
    await new Promise((resolve) => setImmediate(resolve));
    most = Math.max(most, socket.writableLength);
  }
  t.equal(socket.destroyed, true, `after ${most} bytes`);
  await closed;
  t.ok(most < 2 * UNREAD_BYTES);
  t.same([shared.heard.size, shared.speakers.size], [0, 0], 'and nothing of it is left');
});
