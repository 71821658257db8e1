// The clients against a guest that misbehaves: what must be noticed is noticed, and nothing else is.
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { CrowdOfClients } from '../../../../hwqual/lab/clients/crowd.ts';
import type { ClientKind, ClientSpec, Incident, WindowReport } from '../../../../hwqual/lab/clients/protocol.ts';
import { FakeGuest, type Misbehaviour } from './fake-guest.ts';

if (process.getuid?.() !== 0) t.bailout('these tests listen on ports 7 and 80: run them as root');

const ALL: ClientSpec[] = [
  { kind: 'download', family: 4, bytes: 100_000, rateBytesPerS: 1_000_000 },
  { kind: 'upload', family: 4, bytes: 50_000, rateBytesPerS: 1_000_000, chunked: false },
  { kind: 'upload', family: 4, bytes: 50_001, rateBytesPerS: 1_000_000, chunked: true },
  { kind: 'echoTcp', family: 4, everyMs: 5 },
  { kind: 'echoUdp', family: 4, everyMs: 5 },
  { kind: 'short', family: 4, everyMs: 5, bytes: 1000 },
  { kind: 'record', family: 4, everyMs: 5 },
];

let hosts = 0;

async function withCrowd(
  specs: readonly ClientSpec[],
  use: (guest: FakeGuest, crowd: CrowdOfClients, incidents: Incident[]) => Promise<void>,
): Promise<void> {
  const guest = await FakeGuest.start(`127.77.1.${++hosts}`);
  const incidents: Incident[] = [];
  const crowd = new CrowdOfClients((incident) => incidents.push(incident));
  try {
    await crowd.open({ ipv4: guest.host, ipv6: '::1' }, specs);
    await use(guest, crowd, incidents);
  } finally {
    await crowd.stop();
    await guest.close();
  }
}

async function until(isDone: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 1000; i++) {
    if (isDone()) return;
    await sleep(10);
  }
  throw new Error(`not within 10 s: ${what}`);
}

/** Waits until every kind has done this many operations in the current window; leaves that window open. */
async function untilOperations(crowd: CrowdOfClients, kinds: readonly ClientKind[]): Promise<void> {
  const done = new Set<ClientKind>();
  await until(
    () => {
      const sample = crowd.sample();
      for (const kind of kinds) if ((sample.kinds[kind]?.operations ?? 0) > 0) done.add(kind);
      return done.size === kinds.length;
    },
    `operations of ${kinds.join(', ')}`,
  );
}

const KINDS: ClientKind[] = ['download', 'upload', 'echoTcp', 'echoUdp', 'short', 'record'];

function bad(report: WindowReport): Record<string, number> {
  return Object.fromEntries(
    Object.entries(report.kinds)
      .map(([kind, counts]): [string, number] => [kind, counts.hung + counts.broken + counts.wrong])
      .filter(([, count]) => count > 0),
  );
}

t.test('a guest that serves well', async (t) => {
  await withCrowd(ALL, async (guest, crowd, incidents) => {
    await untilOperations(crowd, KINDS);
    const report = await crowd.mark('next');
    t.strictSame(bad(report), {});
    t.strictSame(incidents, []);
    t.equal(report.label, 'start');
    for (const kind of KINDS) t.ok((report.kinds[kind]?.operations ?? 0) > 0, `${kind} works`);
    const records = await crowd.verifyRecords();
    t.equal(records.lostCount, 0);
    t.equal(records.unknownCount, 0);
    t.ok(records.acknowledged > 0 && guest.records.length >= records.acknowledged);
    const next = await crowd.mark('last');
    t.equal(next.label, 'next');
    t.ok((next.kinds.download?.bytes ?? 0) < (report.kinds.download?.bytes ?? 0) + 1e9, 'counts start again');
  });
});

const WRONG: [Misbehaviour, ClientKind[]][] = [
  ['wrongByte', ['download', 'short']],
  ['wrongHash', ['upload']],
  ['wrongEcho', ['echoTcp', 'echoUdp']],
];
for (const [misbehaviour, kinds] of WRONG) {
  t.test(`${misbehaviour} is counted as wrong, by ${kinds.join(' and ')} only`, async (t) => {
    await withCrowd(ALL, async (guest, crowd, incidents) => {
      guest.misbehaviour = misbehaviour;
      await until(() => kinds.every((kind) => incidents.some((i) => i.kind === kind && i.what === 'wrong')), misbehaviour);
      const report = await crowd.mark('next');
      t.strictSame(Object.keys(bad(report)).sort(), [...kinds].sort());
      for (const kind of kinds) t.ok((report.kinds[kind]?.wrong ?? 0) > 0);
      guest.misbehaviour = 'none';
      await untilOperations(crowd, KINDS);
      t.pass('all go on afterwards');
    });
  });
}

t.test('a reset is counted as broken, by everything that has a connection', async (t) => {
  await withCrowd(ALL, async (guest, crowd, incidents) => {
    await untilOperations(crowd, KINDS);
    await crowd.mark('reset');
    guest.resetAll();
    await until(
      () => ['download', 'upload', 'echoTcp', 'record'].every((kind) => incidents.some((i) => i.kind === kind && i.what === 'broken')),
      'resets noticed',
    );
    const report = await crowd.mark('after');
    t.equal(report.kinds.echoTcp?.broken, 1);
    t.equal(report.kinds.upload?.broken, 2);
    t.equal(report.kinds.echoUdp?.broken, 0);
    await untilOperations(crowd, KINDS);
    t.pass('all have connected again');
  });
});

t.test('silence is a stall, and after 20 s hung', async (t) => {
  await withCrowd(ALL, async (guest, crowd, incidents) => {
    await untilOperations(crowd, KINDS);
    await crowd.mark('silent');
    guest.misbehaviour = 'silent';
    await sleep(300);
    crowd.check();
    t.strictSame(incidents, [], 'not hung yet');
    const soon = await crowd.mark('later');
    for (const kind of ['echoTcp', 'echoUdp', 'record'] as const) t.ok((soon.kinds[kind]?.stallMs ?? 0) >= 250, `${kind} stalls`);
    const real = performance.now.bind(performance);
    performance.now = () => real() + 20_000;
    t.teardown(() => {
      performance.now = real;
    });
    crowd.check();
    const hung = [...new Set(incidents.filter((i) => i.what === 'hung').map((i) => i.kind))].sort();
    t.strictSame(hung, ['download', 'echoTcp', 'record', 'short', 'upload'], 'UDP is never hung');
    const report = await crowd.mark('after');
    t.equal(report.kinds.upload?.hung, 2);
    t.ok((report.kinds.echoUdp?.stallMs ?? 0) >= 20_000, 'but its silence is measured');
    t.ok((report.kinds.echoUdp?.resent ?? 0) + (soon.kinds.echoUdp?.resent ?? 0) > 0);
    crowd.check();
    t.equal((await crowd.mark('end')).kinds.echoTcp?.hung, 0, 'one hung connection is counted once');
  });
});

t.test('an acknowledged record that is not on the disk is lost', async (t) => {
  await withCrowd([{ kind: 'record', family: 4, everyMs: 1 }], async (guest, crowd) => {
    await untilOperations(crowd, ['record']);
    guest.misbehaviour = 'loseRecord';
    await untilOperations(crowd, ['record']);
    guest.misbehaviour = 'none';
    guest.records.push(42);
    const report = await crowd.verifyRecords();
    t.ok(report.lostCount > 0);
    t.equal(report.lost.length, Math.min(50, report.lostCount));
    t.equal(report.unknownCount, 1, 'and one that nobody wrote is noticed');
    const acknowledged = await crowd.acknowledged();
    t.ok(report.lost.every((number) => acknowledged.includes(number) && !guest.records.includes(number)));
  });
});

t.test('a refused append is broken, not lost', async (t) => {
  await withCrowd([{ kind: 'record', family: 4, everyMs: 1 }], async (guest, crowd, incidents) => {
    guest.misbehaviour = 'refuseAppend';
    await until(() => incidents.length > 0, 'refusal noticed');
    t.match(incidents[0]?.text, /No space left/);
    guest.misbehaviour = 'none';
    t.equal((await crowd.verifyRecords()).lostCount, 0);
  });
});

t.test('records from before are neither lost nor unknown', async (t) => {
  const guest = await FakeGuest.start('127.77.1.200');
  guest.records.push(1, 2, 3);
  const crowd = new CrowdOfClients(() => {});
  await crowd.open({ ipv4: guest.host, ipv6: '::1' }, []);
  const report = await crowd.verifyRecords();
  t.strictSame(report, { acknowledged: 0, onDisk: 3, lostCount: 0, lost: [], unknownCount: 0 });
  await guest.close();
});

const CALLED: ClientSpec[] = [
  { kind: 'download', family: 4, bytes: 100_000, rateBytesPerS: 1_000_000, by: 'guest' },
  { kind: 'upload', family: 4, bytes: 50_000, rateBytesPerS: 1_000_000, chunked: false, by: 'guest' },
  { kind: 'echoTcp', family: 4, everyMs: 5, by: 'guest' },
  { kind: 'short', family: 4, everyMs: 5, bytes: 1000, by: 'guest' },
  { kind: 'record', family: 4, everyMs: 5, by: 'guest' },
];
const CALLED_KINDS: ClientKind[] = ['guestDownload', 'guestUpload', 'guestEcho', 'guestShort', 'guestRecord'];

t.test('the guest opens the connections', async (t) => {
  await withCrowd(CALLED, async (_, crowd, incidents) => {
    await untilOperations(crowd, CALLED_KINDS);
    const report = await crowd.mark('end');
    for (const kind of CALLED_KINDS) t.ok((report.kinds[kind]?.operations ?? 0) > 0, kind);
    t.strictSame(incidents, []);
  });
});

for (const [misbehaviour, text] of [
  ['reset', /ECONNRESET|closed the connection/],
  ['refuseAppend', /the guest cannot connect: error no route to host/],
] as const)
  t.test(`a call that fails is broken: ${misbehaviour}`, async (t) => {
    await withCrowd([], async (guest, crowd, incidents) => {
      guest.misbehaviour = misbehaviour;
      await crowd.open({ ipv4: guest.host, ipv6: '::1' }, [{ kind: 'echoTcp', family: 4, everyMs: 5, by: 'guest' }]);
      await until(() => incidents.length > 0, 'an incident');
      t.match(incidents[0], { kind: 'guestEcho', what: 'broken', text });
    });
  });

t.test('ages: a connection outlives a takeover when something comes after it', async (t) => {
  await withCrowd(ALL.concat(CALLED), async (_, crowd) => {
    await until(() => crowd.ages().length === 9, 'all long connections');
    crowd.takeover(Date.now() - 60_000);
    await untilOperations(crowd, KINDS);
    t.ok(
      crowd.ages().every(({ takeovers }) => takeovers === 0),
      'a takeover before a connection was opened is none of its own',
    );
    await sleep(2);
    crowd.takeover(Date.now());
    await until(() => crowd.ages().some(({ takeovers }) => takeovers === 1), 'one that goes on');
    const [age] = crowd.ages();
    t.match(age, { cohort: 'first', family: 4 });
    t.notOk(crowd.ages().some(({ kind }) => kind === 'short' || kind === 'guestShort'));
  });
});

t.test('a cohort is retired; what it counted stays in its window', async (t) => {
  await withCrowd(ALL, async (guest, crowd) => {
    await crowd.open({ ipv4: guest.host, ipv6: '::1' }, CALLED.slice(2, 3), 'round 2');
    await untilOperations(crowd, ['guestEcho']);
    const retired = crowd.retire('round 2');
    t.match(retired, [{ kind: 'guestEcho', cohort: 'round 2', takeovers: 0 }]);
    t.ok(((await crowd.mark('next')).kinds.guestEcho?.operations ?? 0) > 0);
    t.equal((await crowd.mark('end')).kinds.guestEcho, undefined);
  });
});
