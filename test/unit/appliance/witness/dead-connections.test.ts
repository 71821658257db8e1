// A CoServer that loses its power says no farewell: what it leaves at the witness must not keep anybody out. (64 power failures in a row
// had filled the witness's connections, and the 65th takeover found no arbiter.) Nor may strangers that say nothing.
import { once } from 'node:events';
import { connect as connectPlain, type Socket } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import t from 'tap';
import { deriveKey } from '../../../../appliance/wire/keys.ts';
import { startWitness } from '../../../../appliance/witness/server.ts';
import { enrol, newPair, stateFolder, Voice } from './bench-pair.ts';

const POWER_FAILURES = 80;
const STRANGERS = 400;

t.test('many power failures leave the witness reachable, also for the partner that lived all the time', async (t) => {
  const stateDir = stateFolder(t);
  const pair = newPair();
  enrol(stateDir, pair);
  const witness = await startWitness({ host: '127.0.0.1', port: 0, stateDir, log: () => undefined });
  const living = new Voice(witness.port, pair, 'A', { generation: 1, state: 'simplex' });
  const dead: (TLSSocket | Socket)[] = [];
  t.teardown(async () => {
    living.client.close();
    for (const socket of dead) socket.destroy();
    await witness.close();
  });
  await living.confirmed();
  for (let i = 0; i < POWER_FAILURES; i++) {
    const socket = connect({
      host: '127.0.0.1',
      port: witness.port,
      minVersion: 'TLSv1.3',
      ciphers: 'TLS_AES_128_GCM_SHA256',
      pskCallback: () => ({ psk: deriveKey(pair.pairKey, 'witness'), identity: pair.pairId }),
      checkServerIdentity: () => undefined,
    });
    socket.on('error', () => undefined);
    dead.push(socket);
    await once(socket, 'secureConnect');
    // The living one reports every second; here, in between.
    if (i % 2 === 0) t.equal((await living.client.claim(1 + i / 2)).kind, 'granted');
  }
  t.same(living.reasons, [], 'the one that lives was never pushed out');

  for (let i = 0; i < STRANGERS; i++) {
    const socket = connectPlain(witness.port, '127.0.0.1').on('error', () => undefined);
    dead.push(socket);
    await once(socket, 'connect');
  }
  const late = new Voice(witness.port, pair, 'B');
  t.teardown(() => late.client.close());
  await late.reachable();
  t.same(late.reasons, [], 'who has a key is served at its first attempt');
  t.ok(witness.counters.crowded >= STRANGERS - 128, 'the oldest strangers were shown out');
});
