// A guest whose protection level is changed under it, as the update of a pair does while its two engines differ (appliance/update/rolling.ts): the
// process without the guest is ended and started at the other level, then the one with it. The real pair with the real engine, a client that
// writes all the time, both directions; and what level 3 is good for once it is back: a power failure that nobody notices.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import type { CoServerName, Snapshot } from '../../appliance/core/snapshot.ts';
import { partnerOf, primaryOf } from '../../hwqual/campaigns/pair-picture.ts';
import { ClientsProcess } from '../../hwqual/lab/clients/controller.ts';
import { labControl } from '../../hwqual/lab/control.ts';
import { holdLab } from '../../hwqual/lab/holder.ts';
import { prepareParts } from '../../hwqual/lab/prepare.ts';
import { CO_SERVERS, coServerPaths, labSettings } from '../../hwqual/lab/settings.ts';
import { engineRootPath } from '../../image/engine/engine-root.ts';

const WITHIN_MS = 120_000;
t.setTimeout(12 * 60_000);

const why =
  process.getuid?.() !== 0
    ? 'needs root'
    : existsSync(join(engineRootPath(), 'usr/bin/busybox'))
      ? false
      : `needs the engine's root file system, ${engineRootPath()}`;

const settings = labSettings({ instance: 'lc', webPort: 18943 });
const SHOWN = { 2: 'highlyAvailable', 3: 'faultTolerant' } as const;
type Level = keyof typeof SHOWN;

t.test('the level changes under the guest', { skip: why, timeout: 11 * 60_000 }, async (t) => {
  const lines: string[] = [];
  const say = (line: string) => lines.push(line);
  const held = await holdLab(settings, await prepareParts(settings, { acceleration: 'tcg', level: 3 }, say), say);
  const lab = labControl(settings, say);
  const clients = new ClientsProcess({ spawn: (command) => lab.spawnLan(command), onIncident: (i) => say(JSON.stringify(i)) });
  t.teardown(async () => {
    await clients.close().catch(() => undefined);
    await held.takeDown();
  });

  const until = async <T>(what: string, look: () => Promise<T | null> | T | null): Promise<T> => {
    const end = performance.now() + WITHIN_MS;
    for (;;) {
      const found = await look();
      if (found !== null) return found;
      if (performance.now() > end) throw new Error(`${what}: not within ${WITHIN_MS} ms\n${lines.slice(-30).join('\n')}`);
      await pause(100);
    }
  };
  const primary = () => until('one runs the guest', async () => primaryOf(await lab.status()));
  /** Pid, and when that process began: another engine is another guest, or the same one started anew. */
  const engineOf = (name: CoServerName) => readFileSync(join(coServerPaths(settings, name).run, 'engine.pid'), 'utf8');
  const restartAt = async (name: CoServerName, level: Level) => {
    const file = join(coServerPaths(settings, name).etc, 'config.yaml');
    const config = readFileSync(file, 'utf8');
    writeFileSync(file, config.replace(/^( +level:) [23]$/m, `$1 ${level}`));
    const before = performance.now();
    await lab.restartProcess?.(name, 'asked');
    const isNew = (picture: Snapshot | null) => picture !== null && picture.uptimeMs < performance.now() - before;
    await until(`the process of ${name} is back`, async () => (isNew((await lab.status())[name]) ? true : null));
  };
  /** Both are whole at that level. */
  const whole = (level: Level) =>
    until(`whole at level ${level}`, async () => {
      const now = await lab.status();
      const fits = (picture: Snapshot | null) => picture?.redundancy === 'duplex' && picture.workload.level === SHOWN[level];
      return CO_SERVERS.every((name) => fits(now[name])) ? now : null;
    });
  /** Its network and its disk work. */
  const writes = () => until('it writes', async () => ((await clients.mark('writes')).kinds.record?.operations ? true : null));
  const change = async (level: Level) => {
    const at = await primary();
    const engine = engineOf(at);
    await clients.mark('before');
    await restartAt(partnerOf(at), level);
    await restartAt(at, level);
    await whole(level);
    const { kinds } = await clients.mark('after');
    t.comment(`to level ${level}: writes stood still for ${Math.round(kinds.record?.stallMs ?? 0)} ms`);
    t.equal(await primary(), at, `to level ${level}: the guest is where it was`);
    t.equal(engineOf(at), engine, 'in the same engine');
    await writes();
  };
  const lostNothing = async (what: string) => {
    const { lostCount, acknowledged } = await clients.verifyRecords();
    t.ok(acknowledged > 0 && lostCount === 0, `${what}: all ${acknowledged} records that were acknowledged are there`);
    t.strictSame(clients.incidents, [], `${what}: no connection broke`);
  };
  const open = () =>
    clients.open([
      { kind: 'record', family: 4, everyMs: 20 },
      { kind: 'echoTcp', family: 4, everyMs: 50 },
    ]);

  await whole(3);
  await open();
  await change(2);
  await change(3);
  await lostNothing('down and up again');

  // As in an update: the guest moves at level 2, where that is a restart, and the engine that was started there goes to level 3.
  await change(2);
  await lostNothing('down again');
  await clients.stop();
  const from = await primary();
  await lab.act?.(from, 'move-workload');
  const to = partnerOf(from);
  await until('the guest is on the other one', async () => (primaryOf(await lab.status()) === to ? true : null));
  await whole(2);
  await open();
  await change(3);

  // What the level is for: the guest was never started anew where it goes on.
  const replica = engineOf(from);
  await lab.powerOff(to);
  await until('the partner has taken over', async () => (primaryOf(await lab.status()) === from ? true : null));
  await clients.mark('taken over');
  await writes();
  t.equal(engineOf(from), replica, 'the replica goes on');
  await lostNothing('a power failure at level 3');
});
