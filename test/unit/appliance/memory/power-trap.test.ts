import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { ForwardEvent } from '../../../../appliance/memory/codec.ts';
import type { MemoryMessage } from '../../../../appliance/memory/messages.ts';
import { PowerTrap, parseTrapOrder, type TrapOrder } from '../../../../appliance/memory/power-trap.ts';
import type { SessionSurroundings } from '../../../../appliance/memory/session.ts';
import { IntervalCounter } from '../../../../appliance/wire/interval.ts';

const data = (bytes: number): MemoryMessage => ({ kind: 'data', session: 1, bytes: Buffer.alloc(bytes, 7) });
const END: ForwardEvent = { kind: 'checkpointEnd', pages: 1, zeroPages: 0, deviceStateBytes: 1000, bytes: 6000 };

function fixture(t: { teardown: (then: () => void) => void }, role: 'source' | 'target') {
  const folder = mkdtempSync(join(tmpdir(), 'power-trap-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const log: string[] = [];
  const arm = (order: TrapOrder) => {
    writeFileSync(join(folder, 'new'), JSON.stringify(order));
    renameSync(join(folder, 'new'), join(folder, 'trap-A.json'));
  };
  const done = (name: string) => async () => void log.push(name);
  const plain: SessionSurroundings = {
    interval: new IntervalCounter(new SharedArrayBuffer(4)),
    send: (message) => {
      log.push(message.kind === 'data' ? `${message.bytes.length} bytes` : message.kind);
      return true;
    },
    emit: (name) => void log.push(name),
    cut: done('cut'),
    replied: null,
    ready: null,
    commitOutput: done('commit output'),
    decide: done('decide'),
    apply: done('apply'),
    nowMs: () => 0,
  };
  const make = () => {
    const trap = new PowerTrap({ folder, coServer: 'A' }, (delayMs) => void log.push(`STOP after ${delayMs} ms`));
    return { trap, around: trap.around(plain, () => role) };
  };
  const hit = () => JSON.parse(readFileSync(join(folder, 'trap-A.hit'), 'utf8')) as TrapOrder & { byte: number | null };
  return { folder, log, arm, make, hit };
}

function checkpoint(around: SessionSurroundings): void {
  around.seen?.({ kind: 'request' });
  around.send(data(4));
  around.seen?.({ kind: 'sendBegin' });
  around.send(data(5000));
  around.seen?.({ kind: 'deviceState', bytes: 1000 });
  around.send(data(1000));
  around.seen?.(END);
  void around.commitOutput(1);
  around.emit('checkpoint', {
    interval: 1,
    totalMs: 1,
    pauseMs: 1,
    commitMs: 1,
    bytes: 6000,
    sentBytes: 0,
    pages: 1,
    deviceStateBytes: 1000,
  });
}

const NORMAL = ['4 bytes', '5000 bytes', '1000 bytes', 'commit output', 'checkpoint'];

t.test('without an order everything passes unchanged', async (t) => {
  const { log, make } = fixture(t, 'source');
  const { trap, around } = make();
  checkpoint(around);
  t.strictSame(log, NORMAL);
  t.notOk(trap.isArmed);
});

t.test('the device state is cut at the byte that was asked for', async (t) => {
  const { folder, log, arm, make, hit } = fixture(t, 'source');
  arm({ point: 'deviceState', share: 0.25, delayMs: 2 });
  const { around } = make();
  checkpoint(around);
  t.strictSame(log, ['4 bytes', '5000 bytes', '250 bytes', 'STOP after 2 ms', 'commit output', 'checkpoint']);
  t.match(hit(), { point: 'deviceState', byte: 250 });
  t.notOk(existsSync(join(folder, 'trap-A.json')), 'it falls once');
});

t.test('packed pages: the batch in which the byte lies is not sent', async (t) => {
  const { log, arm, make, hit } = fixture(t, 'source');
  const batch = (): MemoryMessage => ({ kind: 'packed', session: 1, batch: Buffer.alloc(40), compressed: Buffer.alloc(960) });
  const pages = (around: SessionSurroundings) => {
    around.seen?.({ kind: 'request' });
    around.seen?.({ kind: 'sendBegin' });
    for (let i = 0; i < 4; i++) around.send(batch());
    around.seen?.({ kind: 'deviceState', bytes: 1000 });
    around.seen?.(END);
  };
  const { trap, around } = make();
  pages(around);
  log.length = 0;
  arm({ point: 'pages', share: 0.6, delayMs: 0 });
  await until(() => trap.isArmed);
  pages(around);
  t.strictSame(log.slice(0, 3), ['packed', 'packed', 'STOP after 0 ms']);
  t.equal(hit().byte, 2400);
});

t.test('pages: as many as the checkpoint before had, or their end', async (t) => {
  const { log, arm, make, hit } = fixture(t, 'source');
  const first = make();
  checkpoint(first.around);
  log.length = 0;
  arm({ point: 'pages', share: 0.5, delayMs: 0 });
  await until(() => first.trap.isArmed);
  checkpoint(first.around);
  t.strictSame(log.slice(0, 3), ['4 bytes', '2500 bytes', 'STOP after 0 ms']);
  t.equal(hit().byte, 2500);
  log.length = 0;
  arm({ point: 'pages', share: 0.9, delayMs: 0 });
  checkpoint(make().around);
  t.strictSame(log.slice(0, 3), ['4 bytes', '5000 bytes', 'STOP after 0 ms']);
});

for (const [point, at] of [
  ['request', 0],
  ['received', 3],
  ['commit', 4],
  ['loaded', 5],
] as const)
  t.test(`source: ${point}`, async (t) => {
    const { log, arm, make } = fixture(t, 'source');
    arm({ point, share: 0, delayMs: 0 });
    checkpoint(make().around);
    t.strictSame(log, NORMAL.toSpliced(at, 0, 'STOP after 0 ms'));
  });

t.test('source: reply', async (t) => {
  const { log, arm, make } = fixture(t, 'source');
  arm({ point: 'reply', share: 0, delayMs: 0 });
  const { trap, around } = make();
  trap.incoming(data(4));
  around.seen?.({ kind: 'request' });
  around.send(data(4));
  t.strictSame(log, ['4 bytes']);
  trap.incoming(data(4));
  t.strictSame(log, ['4 bytes', 'STOP after 0 ms']);
});

t.test('target: every point', async (t) => {
  for (const share of [0.1, 0.9])
    for (const [point, before] of [
      ['request', []],
      ['reply', ['4 bytes']],
      ['pages', ['4 bytes']],
      ['deviceState', ['4 bytes']],
      ['received', ['4 bytes']],
      ['commit', share < 0.5 ? ['4 bytes'] : ['4 bytes', 'committed']],
      ['loaded', ['4 bytes', 'committed', 'commit output']],
    ] as const) {
      const { log, arm, make } = fixture(t, 'target');
      arm({ point, share, delayMs: 0 });
      const { trap, around } = make();
      around.seen?.({ kind: 'request' });
      around.send(data(4));
      around.seen?.({ kind: 'sendBegin' });
      trap.incoming(data(5000));
      around.seen?.({ kind: 'deviceState', bytes: 1000 });
      trap.incoming(data(1000));
      around.seen?.(END);
      around.send({ kind: 'committed', session: 1, interval: 1 });
      void around.commitOutput(1);
      t.strictSame(log.slice(0, log.indexOf('STOP after 0 ms')), [...before], `${point} ${share}`);
      t.ok(log.includes('STOP after 0 ms'), point);
    }
});

t.test('wrong orders are refused', async (t) => {
  t.throws(() => parseTrapOrder('{"point":"later","share":0,"delayMs":0}'), /one of request, reply/);
  t.throws(() => parseTrapOrder('{"point":"pages","share":1,"delayMs":0}'), /0 to 1/);
  t.throws(() => parseTrapOrder('{"point":"pages","share":0,"delayMs":1000}'), /0 to 100/);
  t.throws(() => parseTrapOrder('no'), /JSON/);
});

async function until(isTrue: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !isTrue(); i++) await new Promise((done) => setTimeout(done, 10));
}
