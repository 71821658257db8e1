// A CoServer that loses its power says no farewell: what it leaves at the witness must not keep anybody out. (64 power failures in a row
// had filled the witness's connections, and the 65th takeover found no arbiter.)
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import t from 'tap';
import { deriveKey } from '../../../../appliance/wire/keys.ts';
import { WitnessClient } from '../../../../appliance/witness/client.ts';
import { startWitness } from '../../../../appliance/witness/server.ts';

const PAIR = '00112233445566778899aabbccddeeff';
const POWER_FAILURES = 80;

t.test('many power failures leave the witness reachable, also for the partner that lived all the time', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'twinstep-witness-'));
  const pairKey = randomBytes(32);
  const server = await startWitness({ host: '127.0.0.1', port: 0, stateDir: directory, pairKey, log: () => undefined });
  const { port } = server.address() as AddressInfo;
  const dead: TLSSocket[] = [];
  let lost = 0;
  const living = await new Promise<WitnessClient>((resolve) => {
    const client: WitnessClient = new WitnessClient({
      address: '127.0.0.1',
      port,
      pairId: PAIR,
      pairKey,
      coServer: 'A',
      onReachable: (reachable) => {
        if (reachable) resolve(client);
        else lost++;
      },
    });
  });
  t.teardown(() => {
    living.close();
    for (const socket of dead) socket.destroy();
    server.close();
    rmSync(directory, { recursive: true });
  });
  const key = deriveKey(pairKey, 'witness');
  for (let i = 0; i < POWER_FAILURES; i++) {
    const socket = connect({
      host: '127.0.0.1',
      port,
      minVersion: 'TLSv1.3',
      ciphers: 'TLS_AES_128_GCM_SHA256',
      pskCallback: () => ({ psk: key, identity: PAIR }),
      checkServerIdentity: () => undefined,
    });
    socket.on('error', () => undefined);
    dead.push(socket);
    await once(socket, 'secureConnect');
    // The living one asks every second; here, in between.
    if (i % 2 === 0) t.ok((await living.claim(i / 2)).granted);
  }
  t.equal(lost, 0, 'the one that lives was never pushed out');
});
