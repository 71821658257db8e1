// The business network dies on one CoServer of a real pair (row 13): one client's connection outlives every step.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import type { CoServerName, Snapshot } from '../../appliance/core/snapshot.ts';
import { partnerOf, primaryOf } from '../../hwqual/campaigns/pair-picture.ts';
import { labControl } from '../../hwqual/lab/control.ts';
import { holdLab } from '../../hwqual/lab/holder.ts';
import { prepareParts } from '../../hwqual/lab/prepare.ts';
import { coServerPaths, labSettings } from '../../hwqual/lab/settings.ts';
import { requestAction } from '../../hwqual/lab/snapshot-client.ts';
import { engineRootPath } from '../../image/engine/engine-root.ts';

const LIMIT_MS = 400_000;
t.setTimeout(LIMIT_MS);

const engine = engineRootPath();
const why =
  process.getuid?.() !== 0
    ? 'needs root'
    : existsSync(join(engine, 'usr/bin/busybox'))
      ? false
      : `needs the engine's root file system, ${engine}`;

/** One connection to the guest's echo for ever; says "n" for the n-th answer, and ends with the reason when the connection does. */
const CLIENT = `const s = require('net').connect(7, '10.77.0.10'); let n = 0; s.setNoDelay(true);
s.on('connect', () => s.write('x')).on('data', () => { console.log(++n); setTimeout(() => s.write('x'), 20); });
s.on('error', (e) => { console.log(e.message); process.exit(1); }).on('close', () => process.exit(1));`;

t.test('a dead business network on one CoServer', { skip: why, timeout: LIMIT_MS }, async (t) => {
  const lines: string[] = [];
  const settings = labSettings({ instance: 'bn', webPort: 18743 });
  const parts = await prepareParts(settings, { acceleration: 'tcg' }, (line) => lines.push(line));
  const held = await holdLab(settings, parts, (line) => lines.push(line));
  t.teardown(() => held.takeDown());
  const lab = labControl(settings, (line) => lines.push(line));
  const until = async (what: string, fits: (pair: Awaited<ReturnType<typeof lab.status>>) => boolean) => {
    const end = performance.now() + 120_000;
    for (;;) {
      const pair = await lab.status();
      if (fits(pair)) return;
      if (performance.now() > end)
        throw new Error(
          `${what}: not within 120 s: ${JSON.stringify(Object.values(pair).map((s) => s?.timeline.slice(-6).map((e) => e.text)))}`,
        );
      await pause(100);
    }
  };
  const row13 = (s: Snapshot | null) => s?.timeline.filter((e) => e.row === '13').map((e) => e.text) ?? [];
  const primary = async (): Promise<CoServerName> => {
    const found = primaryOf(await lab.status());
    if (!found) throw new Error('nobody is the primary');
    return found;
  };

  await lab.waitDuplex(120);
  const client = lab.spawnLan([process.execPath, '-e', CLIENT]);
  t.teardown(() => client.kill('SIGKILL'));
  let said = '';
  if (client.stdout) createInterface({ input: client.stdout }).on('line', (line) => (said = line));
  const goesOn = async (what: string) => {
    const before = Number(said);
    await until(`the client goes on: ${what} (${said})`, () => Number(said) > before + 20);
    t.equal(client.exitCode, null, what);
  };
  await goesOn('duplex');

  const first = await primary();
  const second = partnerOf(first);
  await held.lab.setLan(first, 'down');
  await until(
    'the role moves',
    (pair) => primaryOf(pair) === second && row13(pair[first]).some((text) => text.includes('moves to the partner')),
  );
  await goesOn('over the other CoServer');
  await held.lab.setLan(first, 'up');
  await lab.waitDuplex(120);

  await requestAction(coServerPaths(settings, first).consoleSocket, 'enter-maintenance');
  await until('alone', (pair) => pair[second]?.coServers.find((c) => c.name === second)?.phase === 'running');
  await held.lab.setLan(second, 'down');
  await until('lent', (pair) => row13(pair[second]).some((text) => text.includes('over the NIC of the partner')));
  await goesOn("over the partner's NIC");
  await held.lab.setLan(second, 'up');
  await until('own again', (pair) => row13(pair[second]).some((text) => text.includes('of this CoServer again')));
  await goesOn('over its own NIC again');
});
