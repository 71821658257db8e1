import fc from 'fast-check';
import t from 'tap';
import { CALM_MS, CATALOGUE } from '../../../../../appliance/core/faults/catalogue.ts';
import { EVIDENCE_LIMIT, FAULT_LIMIT, FRESH_LEDGER, faultsOf, judge, type Ledger } from '../../../../../appliance/core/faults/ledger.ts';
import type { Fault, Reading } from '../../../../../appliance/core/faults/types.ts';
import { fan, NIC, nics, sensors, temperature } from './readings.ts';

const S = 1000;

/** A life: what was raised and cleared, in order, as "raised fanFailed FAN1". */
function live(readings: readonly (readonly [atMs: number, reading: Reading])[]): { told: string[]; ledger: Ledger } {
  let ledger = FRESH_LEDGER;
  const told: string[] = [];
  const word = (what: string, f: Fault): number => told.push(`${what} ${f.code} ${f.where}`.trim());
  for (const [at, reading] of readings) {
    const judged = judge(ledger, reading, at);
    ledger = judged.ledger;
    for (const f of judged.raised) word('raised', f);
    for (const f of judged.cleared) word('cleared', f);
  }
  return { told, ledger };
}

const hot = sensors(temperature('CPU1 Temp', 85, 'critical'));
const cool = sensors(temperature('CPU1 Temp', 45, 'ok'));

t.test('one reading is no fault; the second one in a row is; it clears by itself when it is calm for a while', async (t) => {
  t.strictSame(live([[0, hot]]).told, []);
  t.strictSame(
    live([
      [0, hot],
      [5 * S, cool],
      [10 * S, hot],
    ]).told,
    [],
  );
  const { told, ledger } = live([
    [0, hot],
    [5 * S, hot],
    [10 * S, cool],
    [60 * S, cool],
  ]);
  t.strictSame(told, ['raised temperatureCritical CPU1 Temp']);
  t.match(faultsOf(ledger), [{ code: 'temperatureCritical', raisedAt: 5 * S, detail: '85 C, too high, critical' }]);
  const calm = judge(ledger, cool, 5 * S + CALM_MS);
  t.match(calm.cleared, [{ code: 'temperatureCritical', clearedAt: 5 * S + CALM_MS }]);
  t.strictSame(faultsOf(calm.ledger), []);
});

t.test('a sensor that flickers at its threshold is one fault until it stays calm', async (t) => {
  const readings: [number, Reading][] = [];
  for (let at = 0; at < 600 * S; at += 5 * S) readings.push([at, at % (15 * S) < 10 * S ? hot : cool]);
  for (let at = 600 * S; at < 700 * S; at += 5 * S) readings.push([at, cool]);
  t.strictSame(live(readings).told, ['raised temperatureCritical CPU1 Temp', 'cleared temperatureCritical CPU1 Temp']);
});

t.test('who cannot see does not know: a fault is not cleared by silence, and a first sign is not confirmed by it', async (t) => {
  const silent: Reading = { source: 'unreadable', of: 'sensors', reason: 'the BMC does not answer' };
  const raised = live([
    [0, hot],
    [5 * S, hot],
    ...Array.from({ length: 12 }, (_, i) => [(10 + 5 * i) * S, silent] as const),
    [400 * S, silent],
  ]);
  t.strictSame(raised.told, ['raised temperatureCritical CPU1 Temp', 'raised bmcSilent']);
  t.strictSame(
    live([
      [0, hot],
      [5 * S, silent],
    ]).told,
    [],
  );
  const after = live([...Array.from({ length: 12 }, (_, i) => [i * S, silent] as const), [20 * S, cool], [90 * S, cool]]);
  t.strictSame(after.told, ['raised bmcSilent', 'cleared bmcSilent']);
});

t.test('a BMC that rests for some seconds is no fault, though sensors and log both say that it does not answer', async (t) => {
  const of = (source: 'sensors' | 'sel'): Reading => ({ source: 'unreadable', of: source, reason: 'no answer for 6 s' });
  const { told } = live([
    [0, cool],
    [6 * S, of('sel')],
    [7 * S, of('sensors')],
    [8 * S, of('sel')],
    [10 * S, of('sel')],
    [12 * S, cool],
    [12 * S, { source: 'sel', entries: [] }],
    [40 * S, of('sel')],
    [41 * S, of('sensors')],
    [46 * S, cool],
  ]);
  t.strictSame(told, []);
});

t.test('sources do not clear what others said', async (t) => {
  const { told } = live([
    [0, hot],
    [5 * S, hot],
    [300 * S, nics(NIC)],
    [400 * S, { source: 'smart', disks: [], failed: [] }],
  ]);
  t.strictSame(told, ['raised temperatureCritical CPU1 Temp']);
});

t.test('the worst first; evidence keeps its beginning and the latest', async (t) => {
  let ledger = FRESH_LEDGER;
  for (let i = 0; i < 30; i++)
    ledger = judge(ledger, sensors(temperature('CPU1 Temp', 70 + i, 'nonCritical'), fan('FAN1', 0, 'critical')), i * S).ledger;
  const faults = faultsOf(ledger);
  t.strictSame(
    faults.map((f) => f.code),
    ['fanFailed', 'temperatureHigh'],
  );
  const evidence = faults[1]?.evidence ?? [];
  t.equal(evidence.length, EVIDENCE_LIMIT);
  t.equal(evidence[0], '71 C, too high, not normal');
  t.equal(evidence.at(-1), '99 C, too high, not normal');
});

t.test('however many parts break, so many are told', async (t) => {
  const broken = sensors(...Array.from({ length: 200 }, (_, i) => fan(`FAN${i}`, 0, 'critical')));
  const { told, ledger } = live([
    [0, broken],
    [S, broken],
    [2 * S, broken],
  ]);
  t.equal(told.length, FAULT_LIMIT);
  t.equal(faultsOf(ledger).length, FAULT_LIMIT);
});

t.test('the catalogue: every sentence says what to do, in whole sentences', async (t) => {
  for (const [code, { sentence, remedy }] of Object.entries(CATALOGUE)) {
    t.match(sentence, /^[A-Z].*[^.]$/, code);
    t.match(remedy, /^[A-Z].*\.$/, code);
  }
});

const level = fc.constantFrom(
  'ok' as const,
  'nonCritical' as const,
  'critical' as const,
  'nonRecoverable' as const,
  'absent' as const,
  'unavailable' as const,
);
const number = fc.oneof(fc.constant(null), fc.nat(), fc.double({ noNaN: true, noDefaultInfinity: true, min: 0 }));
const count = fc.nat(1_000_000);
const anyReading: fc.Arbitrary<Reading> = fc.oneof(
  fc.record({
    source: fc.constant('sensors' as const),
    sensors: fc.array(
      fc.record({
        name: fc.constantFrom('a', 'b', 'c', 'd', 'constructor', '__proto__'),
        kind: fc.constantFrom(
          'temperature' as const,
          'fan' as const,
          'voltage' as const,
          'powerSupply' as const,
          'memory' as const,
          'processor' as const,
          'drive' as const,
          'current' as const,
          'other' as const,
        ),
        value: number,
        unit: fc.constantFrom('C', 'RPM', ''),
        level,
        side: fc.constantFrom(null, 'low' as const, 'high' as const),
        states: fc.array(fc.constantFrom('Failure detected', 'Predictive failure', 'Power supply input lost', 'Uncorrectable ECC', ''), {
          maxLength: 2,
        }),
      }),
      { maxLength: 6 },
    ),
  }),
  fc.record({
    source: fc.constant('sel' as const),
    entries: fc.array(
      fc.record({
        id: count,
        timeS: number,
        what: fc.constantFrom(
          'memoryCorrected' as const,
          'memoryUncorrected' as const,
          'memoryLogFull' as const,
          'pcieFatal' as const,
          'fan' as const,
          'logCleared' as const,
        ),
        asserted: fc.boolean(),
        where: fc.constantFrom('DIMM A1', '', '__proto__'),
        text: fc.string(),
      }),
      { maxLength: 20 },
    ),
  }),
  fc.record({
    source: fc.constant('memory' as const),
    rows: fc.array(fc.record({ where: fc.constantFrom('DIMM A1', '__proto__'), corrected: count, uncorrected: fc.nat(2) }), {
      maxLength: 3,
    }),
  }),
  fc.record({
    source: fc.constant('machineChecks' as const),
    checks: fc.array(fc.record({ corrected: fc.boolean(), cpu: fc.nat(3), bank: fc.nat(3), text: fc.string() }), { maxLength: 12 }),
  }),
  fc.record({
    source: fc.constant('cpu' as const),
    cpu: fc.record({ throttled: fc.option(count), clocksource: fc.constantFrom('tsc', 'hpet', '') }),
  }),
  fc.record({
    source: fc.constant('unreadable' as const),
    of: fc.constantFrom('sensors' as const, 'smart' as const, 'cpu' as const),
    reason: fc.string(),
  }),
);

t.test('whatever is read, whenever: bounded, told once, cleared only what was raised', async () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(anyReading, fc.nat(120 * S)), { maxLength: 40 }), (life) => {
      let ledger = FRESH_LEDGER;
      let at = 0;
      const present = new Set<string>();
      for (const [reading, pauseMs] of life) {
        at += pauseMs;
        const judged = judge(ledger, reading, at);
        ledger = judged.ledger;
        for (const f of judged.raised) {
          const key = `${f.code} ${f.where}`;
          if (present.has(key)) throw new Error(`raised twice: ${key}`);
          present.add(key);
        }
        for (const f of judged.cleared) if (!present.delete(`${f.code} ${f.where}`)) throw new Error('cleared what was not there');
        const now = faultsOf(ledger);
        if (now.length !== present.size || now.length > FAULT_LIMIT) throw new Error(`${now.length} faults, ${present.size} told`);
      }
      const size = JSON.stringify(ledger, (_, v: unknown) => (v instanceof Map ? [...v] : v)).length;
      if (size > 200_000) throw new Error('the ledger grows without end');
    }),
    { numRuns: 2_000 },
  );
});
