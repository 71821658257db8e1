import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { decideClaim } from '../../../../appliance/core/witness.ts';
import { WitnessClient } from '../../../../appliance/witness/client.ts';
import { startWitness } from '../../../../appliance/witness/server.ts';

const PAIR = '00112233445566778899aabbccddeeff';

t.test('the decision', async (t) => {
  t.ok(decideClaim(null, { generation: 0, claimant: 'A' }).granted, 'a new pair');
  t.notOk(decideClaim(null, { generation: 4, claimant: 'A' }).granted, 'a witness without memory refuses a pair that has a past');
  const grant = { generation: 5, owner: 'A' as const };
  t.ok(decideClaim(grant, { generation: 4, claimant: 'A' }).granted, 'its own grant again: the answer was lost');
  t.notOk(decideClaim(grant, { generation: 4, claimant: 'B' }).granted, 'the other came first');
  t.ok(decideClaim(grant, { generation: 5, claimant: 'B' }).granted, 'the next generation');
  t.ok(decideClaim(grant, { generation: 7, claimant: 'B' }).granted, 'generations that a yield brought without the witness');
  t.notOk(decideClaim(grant, { generation: 3, claimant: 'A' }).granted, 'an old record');
});

t.test('grants over the wire, durable before they are said', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'twinstep-witness-'));
  const pairKey = randomBytes(32);
  const lines: string[] = [];
  const open = (port: number) => startWitness({ host: '127.0.0.1', port, stateDir: directory, pairKey, log: (l) => lines.push(l) });
  let server = await open(0);
  const port = (server.address() as AddressInfo).port;
  const client = (coServer: 'A' | 'B', key = pairKey) => {
    let reachable: (r: boolean) => void = () => undefined;
    const next = () =>
      new Promise<boolean>((resolve) => {
        reachable = resolve;
      });
    const first = next();
    const c = new WitnessClient({ address: '127.0.0.1', port, pairId: PAIR, pairKey: key, coServer, onReachable: (r) => reachable(r) });
    return { c, first, next };
  };
  const a = client('A');
  const b = client('B');
  t.teardown(() => {
    a.c.close();
    b.c.close();
    server.close();
    rmSync(directory, { recursive: true });
  });
  t.equal(await a.first, true);
  t.equal(await b.first, true);
  const answers = await Promise.all([a.c.claim(0), b.c.claim(0)]);
  t.equal(answers.filter((x) => x.granted).length, 1, 'exactly one of two simultaneous claims');
  t.match(JSON.parse(readFileSync(join(directory, `${PAIR}.json`), 'utf8')), { generation: 1 });
  t.notOk(existsSync(join(directory, `${PAIR}.json.new`)));

  const gone = a.next();
  server.close();
  for (const c of [a, b]) c.c.close();
  await Promise.race([gone, new Promise((resolve) => server.once('close', resolve))]);
  server = await open(port);
  const again = client('B');
  t.teardown(() => again.c.close());
  t.equal(await again.first, true);
  const owner = answers[1]?.granted ? 'B' : 'A';
  t.equal((await again.c.claim(0)).granted, owner === 'B', 'it remembers over a restart');

  const stranger = client('B', randomBytes(32));
  t.teardown(() => stranger.c.close());
  t.equal(await stranger.first, false, "another pair's key gets nowhere");
  await t.rejects(stranger.c.claim(9), /not reachable/);
  writeFileSync(join(directory, `${PAIR}.json`), '{}');
  await t.rejects(again.c.claim(1), /'error'|broke|damaged/);
});
