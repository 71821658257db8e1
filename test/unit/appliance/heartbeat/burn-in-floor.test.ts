// What the last burn-in found of the jitter, at the next start: a time-out below it is raised and told, one above it stays.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { CoServerConfig } from '../../../../appliance/config.ts';
import { BURN_IN_FILE, readBurnInFloor, withBurnInFloor } from '../../../../appliance/heartbeat/burn-in-floor.ts';

const stateDir = mkdtempSync(join(tmpdir(), 'burn-in-floor-'));
t.teardown(() => rmSync(stateDir, { recursive: true, force: true }));
const file = join(stateDir, BURN_IN_FILE);
const configured = (timeoutMs: number) => ({ heartbeat: { intervalMs: 20, timeoutMs }, stateDir }) as CoServerConfig;
const started = (timeoutMs: number) => withBurnInFloor(configured(timeoutMs), readBurnInFloor(stateDir));

t.test('no burn-in: as it is configured', async (t) => {
  t.same(started(200), { config: configured(200), told: null });
});

t.test('a smaller time-out is raised, and told with the remedy', async (t) => {
  writeFileSync(file, JSON.stringify({ startedAt: '2026-11-20T22:00:00.000Z', smallestHeartbeatTimeoutMs: 350 }));
  const raised = started(200);
  t.match(raised.config.heartbeat, { intervalMs: 20, timeoutMs: 350, smallestTimeoutMs: 350 });
  t.match(
    raised.told,
    /heartbeat\.timeoutMs is 200, but in the burn-in of 2026-11-20 .* needs 350: that is used\. Set it on both CoServers/,
  );
  t.same(started(350), { config: { heartbeat: { intervalMs: 20, timeoutMs: 350, smallestTimeoutMs: 350 }, stateDir }, told: null });
  t.equal(started(400).config.heartbeat.timeoutMs, 400);
});

t.test('never beyond what may be configured', async (t) => {
  writeFileSync(file, JSON.stringify({ startedAt: '2026-11-20T22:00:00.000Z', smallestHeartbeatTimeoutMs: 86_000 }));
  t.equal(started(200).config.heartbeat.timeoutMs, 10_000);
});

t.test('a file that holds none changes nothing, and is told', async (t) => {
  for (const text of [
    '',
    '{',
    '[]',
    'null',
    '{"startedAt":"2026-11-20T22:00:00Z"}',
    '{"startedAt":"x","smallestHeartbeatTimeoutMs":300}',
  ]) {
    writeFileSync(file, text);
    t.match(started(200), { config: { heartbeat: { timeoutMs: 200 } }, told: /holds no result of a burn-in/ }, text);
  }
  rmSync(file);
  mkdirSync(file);
  t.match(started(200), { config: { heartbeat: { timeoutMs: 200 } }, told: /cannot read/ });
});
