// What happens when a CoServer has to be ended from outside, on the real pair: its BMC, its watchdog; and the second way by which the two
// hear each other. One pair for all of it, because its start is what takes time.
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import t from 'tap';
import type { Event } from '../../appliance/core/machine.ts';
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import { BMC_USERNAME } from '../../hwqual/lab/configuration.ts';
import { labControl } from '../../hwqual/lab/control.ts';
import { holdLab } from '../../hwqual/lab/holder.ts';
import { prepareParts } from '../../hwqual/lab/prepare.ts';
import { ADDRESSES, coServerPaths, labPaths, labSettings, partnerOf } from '../../hwqual/lab/settings.ts';
import { engineRootPath } from '../../image/engine/engine-root.ts';

const MINUTE_MS = 60_000;
/** More than a busy machine keeps a CoServer waiting, little enough to wait for. */
const WATCHDOG_S = 8;
t.setTimeout(8 * MINUTE_MS);

const engine = engineRootPath();
const why =
  process.getuid?.() !== 0
    ? 'needs root'
    : existsSync(join(engine, 'usr/bin/busybox'))
      ? false
      : `needs the engine's root file system, ${engine}`;

const run = promisify(execFile);
const settings = labSettings({ instance: 'pw', webPort: 18743 });
const AGENT = join(import.meta.dirname, 'fence-agent.ts');

async function until(what: string, condition: () => boolean | Promise<boolean>, withinMs = MINUTE_MS): Promise<void> {
  const end = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${withinMs} ms: ${what}`);
    await pause(50);
  }
}

/** What the core of a CoServer was fed since its start, of one kind. */
function eventsOf<K extends Event['kind']>(name: CoServerName, kind: K): Extract<Event, { kind: K }>[] {
  const path = join(coServerPaths(settings, name).state, 'events.jsonl');
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line.includes(`"kind":"${kind}"`) && line.endsWith('}'))
    .map((line) => (JSON.parse(line) as { event: Event }).event)
    .filter((event): event is Extract<Event, { kind: K }> => event.kind === kind);
}

/** From A's place in the network to B's BMC. */
async function agent(what: 'fence' | 'path'): Promise<{ ok: boolean; said: string; ms: number }> {
  const config = {
    address: ADDRESSES.bmc.B,
    port: ADDRESSES.bmcPort,
    username: BMC_USERNAME,
    passwordFile: join(coServerPaths(settings, 'A').etc, 'bmc.password'),
    cipherSuite: 3,
  };
  const program = [process.execPath, '--no-warnings', AGENT, what, JSON.stringify(config)];
  const { stdout } = await run('nsenter', [`--net=/run/netns/${settings.namespaces.A}`, '--', ...program], { timeout: MINUTE_MS });
  return JSON.parse(stdout) as { ok: boolean; said: string; ms: number };
}

t.test('ended from outside', { skip: why, timeout: 7 * MINUTE_MS }, async (t) => {
  const parts = await prepareParts(settings, { acceleration: 'tcg', watchdogS: WATCHDOG_S }, () => undefined);
  const held = await holdLab(settings, parts, () => undefined);
  t.teardown(() => held.takeDown());
  const lab = labControl(settings, () => undefined);
  const phaseOf = async (name: CoServerName) => (await lab.status())[name]?.coServers.find((c) => c.name === name)?.phase;
  await lab.waitDuplex(120);

  await t.test('both have proven that they could fence', async (t) => {
    for (const name of ['A', 'B'] as const) await until(`${name} knows`, () => eventsOf(name, 'fencePathObserved').at(-1)?.proven === true);
    t.pass('proven by a reading of "on" for a partner that is heard');
    t.notMatch(readFileSync(join(coServerPaths(settings, 'A').log, 'twinstep.log'), 'utf8'), secret('A'), 'no password in the log');
  });

  await t.test('a BMC that is broken is named, and nothing counts', async (t) => {
    await held.lab.breakBmc('B', 'lie');
    const lied = await agent('fence');
    t.match(lied, { ok: false, said: /links 1 and 2 still have their carrier after 5 s: it lies/ });
    t.match(await agent('path'), { ok: false, said: /says that the power is off, and the partner is heard/ });
    await held.lab.breakBmc('B', 'password');
    t.match(await agent('fence'), { ok: false, said: /10\.78\.0\.12/ });
    await held.lab.breakBmc('B', 'unplug');
    t.match(await agent('path'), { ok: false, said: /10\.78\.0\.12/ });
    await held.lab.breakBmc('B', 'hang');
    const hung = await agent('fence');
    t.match(hung, { ok: false, said: /10\.78\.0\.12/ });
    t.comment(`hanging: ${hung.said}, after ${hung.ms} ms`);
    t.equal(held.lab.view().coServers.B.powered, true);
    await held.lab.breakBmc('B', 'ok');
    t.match(await agent('path'), { ok: true });
    t.equal(await phaseOf('A'), 'duplex', 'nothing of it was noticed by the pair');
  });

  await t.test('fenced: the power is off, read twice, and the links are dark', async (t) => {
    const fenced = await agent('fence');
    t.match(fenced, {
      ok: true,
      said: /10\.78\.0\.12 read as off \d+ and \d+ ms .*; carrier of links 1 and 2 gone \d+ ms after the order/,
    });
    t.comment(`${fenced.said}; ${fenced.ms} ms in all`);
    t.equal(held.lab.view().coServers.B.powered, false);
    await until('A runs alone', async () => (await phaseOf('A')) === 'running');
    await lab.powerOn('B');
    await lab.waitDuplex(120);
  });

  await t.test('without links they still hear each other', async (t) => {
    for (const name of ['A', 'B'] as const)
      await until(`${name}: the other path`, () => eventsOf(name, 'otherPathObserved').at(-1)?.up === true);
    const before = { A: managementSaid('A'), B: managementSaid('B') };
    await Promise.all([lab.link(1, 'down'), lab.link(2, 'down')]);
    for (const name of ['A', 'B'] as const) await until(`${name} hears`, () => managementSaid(name) >= before[name] + 10, 10_000);
    t.pass('five times a second');
    await Promise.all([lab.link(1, 'up'), lab.link(2, 'up')]);
    await lab.waitDuplex(120);
  });

  await t.test('a process that stands still is ended by its watchdog, and the partner goes on', async (t) => {
    const primary: CoServerName = (await phaseOf('A')) === 'duplex' ? 'A' : 'B';
    const resets = () => logged(new RegExp(`CoServer ${primary}: reset by its watchdog: not renewed for ${WATCHDOG_S * 1000} ms`, 'g'));
    await held.lab.freeze(primary, 'process');
    const began = performance.now();
    await until('the partner runs alone', async () => (await phaseOf(partnerOf(primary))) === 'running');
    await until('its watchdog has ended it', () => resets() === 1);
    t.comment(`ended ${Math.round(performance.now() - began)} ms after it stood still`);
    await until(
      'it has started again',
      () => held.lab.view().coServers[primary].powered && held.lab.view().coServers[primary].frozen === 'no',
    );
    await t.rejects(held.lab.thaw(primary), /is not frozen|has no power/, 'nothing of it is left that could go on');
    await lab.thaw(primary);
    await lab.waitDuplex(120);
  });
});

function logged(what: RegExp): number {
  return [...readFileSync(labPaths(settings).log, 'utf8').matchAll(what)].length;
}

function managementSaid(name: CoServerName): number {
  return eventsOf(name, 'partnerSaid').filter((e) => e.path === 'management').length;
}

function secret(name: CoServerName): RegExp {
  return new RegExp(readFileSync(join(coServerPaths(settings, name).etc, 'bmc.password'), 'utf8').trim());
}
