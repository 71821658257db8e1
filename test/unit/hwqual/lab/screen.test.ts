import t from 'tap';
import type { Snapshot } from '../../../../appliance/core/snapshot.ts';
import { describePowerOff, describeStatus, type LabStatus, leadingPicture } from '../../../../hwqual/lab/describe.ts';
import { renderScreen } from '../../../../hwqual/lab/screen.ts';
import { waitDuplex, whyNotDuplex } from '../../../../hwqual/lab/wait-duplex.ts';

const CALM = { maintenance: false, power: 'mains', forced: false } as const;

function picture(name: 'A' | 'B', role: 'primary' | 'secondary', redundancy: Snapshot['redundancy'] = 'duplex'): Snapshot {
  return {
    coServer: name,
    at: 0,
    uptimeMs: 1000,
    redundancy,
    redundancySentence: redundancy === 'duplex' ? 'Duplex: either server may fail now.' : 'Simplex: the workload runs on A alone.',
    singlePoints: redundancy === 'duplex' ? [] : ['CoServer A: the workload runs there alone.'],
    generation: 1,
    arbiter: {
      applies: true,
      kind: 'witness',
      named: null,
      sentence: '',
      changingTo: null,
      witness: { configured: true, usable: true, reason: '', sinceMs: 1 },
      fencePath: { configured: false, proven: false, reason: '', sinceMs: 1 },
      partnerWitness: null,
      partnerFencePath: null,
    },
    attention: [],
    coServers: [
      { name, present: true, role, phase: redundancy, sentence: `${name} works.`, generation: 1, copy: 'upToDate', version: '1', ...CALM },
      {
        name: name === 'A' ? 'B' : 'A',
        present: true,
        role: 'none',
        phase: 'x',
        sentence: 'as told by its partner',
        generation: 1,
        copy: 'unknown',
        version: '1',
        ...CALM,
      },
    ],
    links: [1, 2].map((l) => ({ name: `link ${l}`, nic: `link${l}`, up: true, carrier: true, rttMs: 0.25, since: 0 })),
    workload: { name: 'shop', state: 'running', level: 'faultTolerant', addresses: [], acceleration: 'tcg', sentence: 'Runs on both.' },
    progress: null,
    checkpoints: { mode: 'passive', interval: 9, perSecond: 20, pauseP50Ms: 5, pauseP99Ms: 9, recent: [] },
    heartbeat: { timeoutMs: 400, floorMs: 100, jitterP99Ms: 3, jitterMaxMs: 9 },
    gate: { heldFrames: 0, oldestHeldMs: 0, bytesInPerS: 0, bytesOutPerS: 0 },
    timeline: [{ at: 5000, atMs: 1, coServer: name, severity: 'critical', row: '5', text: `${name} saw something` }],
    lockstep: null,
    audit: null,
    incidents: [],
    takeovers: [],
    process: { rssBytes: 1, cpuPercent: 1 },
    actions: [],
    lab: true,
  };
}

function status(A: Snapshot | null, B: Snapshot | null, powered = { A: true, B: true }): LabStatus {
  const coServer = (name: 'A' | 'B') => ({
    powered: powered[name],
    frozen: 'no' as const,
    bmc: 'ok' as const,
    disk: 'does what it should',
    web: `https://127.0.0.1:844${name === 'A' ? 3 : 4}/`,
  });
  return {
    coServers: { A, B },
    lab: {
      instance: '0',
      pid: 1,
      since: 0,
      coServers: { A: coServer('A'), B: coServer('B') },
      links: { 1: 'up', 2: 'down' },
      lastPowerOff: null,
    },
  };
}

t.test('the picture of the primary leads', (t) => {
  t.equal(leadingPicture(status(picture('A', 'secondary'), picture('B', 'primary')))?.coServer, 'B');
  t.equal(leadingPicture(status(null, picture('B', 'secondary')))?.coServer, 'B');
  t.equal(leadingPicture(status(null, null)), null);
  t.end();
});

t.test('the state in words', (t) => {
  const text = describeStatus(status(picture('A', 'primary'), picture('B', 'secondary')));
  t.match(text, /^A {2}primary .*A works\.$/m);
  t.match(text, /^B {2}secondary .*B works\.$/m);
  t.match(text, /link 1 {2}up, 0\.25 ms/);
  t.match(text, /link 2 .*\[cut\]/);
  t.match(text, /Duplex: either server may fail now\./);
  t.match(describeStatus(status(picture('A', 'primary', 'simplex'), null, { A: true, B: false })), /^B {2}no power$/m);
  t.match(describeStatus(status(picture('A', 'primary'), null)), /^B {2}does not answer {2}\(its partner: as told by its partner\)$/m);
  t.match(describeStatus(status(null, null)), /neither CoServer answers/);
  t.end();
});

t.test('the screen fits the terminal and tells the keys as they are now', (t) => {
  const facts = {
    status: status(picture('A', 'primary', 'simplex'), null, { A: true, B: false }),
    password: 'pw',
    labEvents: [{ at: 6000, text: 'cut' }],
  };
  const lines = renderScreen(facts, 60, 12);
  t.ok(lines.length <= 12);
  t.ok(lines.every((l) => l.length <= 60));
  const wide = renderScreen(facts, 200, 40).join('\n');
  t.match(wide, /a power A off {3}b power B on {3}1 cut link 1 {3}2 mend link 2/);
  t.match(wide, /\* A {4}A saw something\n.* {2}lab {2}cut/);
  t.match(wide, /! CoServer A: the workload runs there alone\./);
  t.end();
});

t.test('why the pair is not duplex', async (t) => {
  t.equal(whyNotDuplex({ A: picture('A', 'primary'), B: picture('B', 'secondary') }), null);
  t.match(whyNotDuplex({ A: picture('A', 'primary', 'simplex'), B: null }), /^A: Simplex: .* \(simplex: A works\.\); B does not answer$/);
  let looks = 0;
  await waitDuplex(async () => (++looks < 3 ? { A: null, B: null } : { A: picture('A', 'primary'), B: picture('B', 'secondary') }), 10_000);
  t.equal(looks, 3);
  await t.rejects(
    waitDuplex(async () => ({ A: null, B: picture('B', 'primary', 'simplex') }), 1),
    /not duplex after 0\.001 s: A does not answer; B: Simplex/,
  );
});

t.test('a power failure in words', (t) => {
  const report = { processes: 4, stoppedMs: 1, cablesDeadMs: 5.25, endedMs: 9, seed: 7 };
  t.match(describePowerOff({ ...report, files: [] }), /^4 processes .* cables dead after 5\.3 ms, .*\nnothing was unflushed/);
  const files = [{ path: '/d', unflushedSectors: 4, lostSectors: 2, sizeBefore: 10, sizeAfter: 8 }];
  t.match(
    describePowerOff({ ...report, files }),
    /the disks lost 2 of 4 unflushed sectors \(seed 7\)\n {2}\/d: 2 of 4 sectors, 10 -> 8 bytes/,
  );
  t.end();
});
