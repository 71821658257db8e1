// The real pair, with the real engine, guest, clients and witness: what the README promises, in a few minutes.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import type { Snapshot } from '../../appliance/core/snapshot.ts';
import { runStory } from '../../hwqual/campaigns/story.ts';
import { ClientsProcess } from '../../hwqual/lab/clients/controller.ts';
import { labControl } from '../../hwqual/lab/control.ts';
import { holdLab } from '../../hwqual/lab/holder.ts';
import { prepareParts } from '../../hwqual/lab/prepare.ts';
import { coServerPaths, labSettings } from '../../hwqual/lab/settings.ts';
import { engineRootPath } from '../../image/engine/engine-root.ts';

const MINUTE_MS = 60_000;
t.setTimeout(12 * MINUTE_MS);

const engine = engineRootPath();
const why =
  process.getuid?.() !== 0
    ? 'needs root'
    : existsSync(join(engine, 'usr/bin/busybox'))
      ? false
      : `needs the engine's root file system, ${engine}`;

const settings = labSettings({ instance: 'pt', webPort: 18643 });
const lines: string[] = [];
const say = (line: string) => lines.push(line);

/** Waits for a picture that fits, looking often. Throws with the last one. */
async function until(
  what: string,
  look: () => Promise<Snapshot | null>,
  fits: (s: Snapshot) => boolean,
  withinMs = MINUTE_MS,
): Promise<Snapshot> {
  const end = performance.now() + withinMs;
  let last: Snapshot | null = null;
  for (;;) {
    last = await look();
    if (last && fits(last)) return last;
    if (performance.now() > end)
      throw new Error(
        `${what}: not within ${withinMs} ms; last picture: ${JSON.stringify(last?.coServers)} ${JSON.stringify(last?.timeline.slice(-6).map((e) => e.text))}`,
      );
    await pause(100);
  }
}

t.test('a pair', { skip: why, timeout: 11 * MINUTE_MS }, async (t) => {
  const parts = await prepareParts(settings, { acceleration: 'tcg' }, say);
  const held = await holdLab(settings, parts, say);
  const lab = labControl(settings, say);
  const clients = new ClientsProcess({ spawn: (command) => lab.spawnLan(command), onIncident: (i) => say(JSON.stringify(i)) });
  t.teardown(async () => {
    await clients.close().catch(() => undefined);
    await held.takeDown();
  });
  const look = (name: 'A' | 'B') => async () => (await lab.status())[name];
  const logOf = (name: 'A' | 'B') => readFileSync(join(coServerPaths(settings, name).log, 'twinstep.log'), 'utf8');

  await t.test('a process that dies under a running guest takes it up again', async (t) => {
    await lab.waitDuplex(120);
    await lab.powerOff('B');
    await until('A runs alone', look('A'), (s) => s.coServers.find((c) => c.name === 'A')?.phase === 'running');
    const pidFile = join(coServerPaths(settings, 'A').run, 'engine.pid');
    const before = readFileSync(pidFile, 'utf8');
    const restarts = logOf('A').split('CoServer A').length;
    const killed = await lab.execLan(['true']);
    t.equal(killed.status, 0);
    held.lab.killProduct('A');
    await until('taken up', look('A'), (s) => s.uptimeMs < 30_000 && s.coServers.find((c) => c.name === 'A')?.phase === 'running');
    t.ok(logOf('A').split('CoServer A').length > restarts, 'the process did start again');
    t.equal(readFileSync(pidFile, 'utf8'), before, 'the same engine runs on');
    const answer = await lab.execLan(['bash', '-c', 'exec 3<>/dev/tcp/10.77.0.10/9009; echo "append 7" >&3; read -t 10 -u 3 a; echo "$a"']);
    t.equal(answer.stdout.trim(), 'ok 7', 'its network and its disk work');
  });

  await t.test("a CoServer with another pair's key is kept out, and both say so", async (t) => {
    const keyFile = join(coServerPaths(settings, 'B').etc, 'pair.key');
    const key = readFileSync(keyFile, 'utf8');
    writeFileSync(keyFile, `${'5a'.repeat(32)}\n`, { mode: 0o600 });
    await lab.powerOn('B');
    const picture = await until('said', look('A'), (s) => s.timeline.some((e) => /another pair's key|stranger/i.test(e.text)));
    t.equal(picture.redundancy, 'simplex', 'A goes on alone');
    await lab.powerOff('B');
    writeFileSync(keyFile, key, { mode: 0o600 });
  });

  await t.test('an engine of another version is refused by name', async (t) => {
    const file = join(coServerPaths(settings, 'B').etc, 'config.yaml');
    const config = readFileSync(file, 'utf8');
    writeFileSync(file, config.replace(/version: "?11\.1"?/, 'version: "9.9"'));
    t.not(readFileSync(file, 'utf8'), config);
    await lab.powerOn('B');
    const picture = await until(
      'refused',
      look('B'),
      (s) => s.timeline.some((e) => e.text.includes('was qualified with 9.9')),
      2 * MINUTE_MS,
    );
    t.match(picture.timeline.find((e) => e.text.includes('9.9'))?.text, /engine 11\.1\.\d+ .*found/);
    await lab.powerOff('B');
    writeFileSync(file, config);
    await lab.powerOn('B');
    await lab.waitDuplex(120);
  });

  await t.test('both servers fail in turn, the links are cut: nothing is lost', async (t) => {
    const report = await runStory({ rounds: 5, lab, clients });
    t.same(report.problems, [], lines.slice(-40).join('\n'));
    t.ok(report.ok);
    t.equal(report.copiesIdentical, true);
  });
});
