import t from 'tap';
import { signToMoveFor } from '../../../../appliance/core/hardware.ts';
import { type Event, initialState, type State, step } from '../../../../appliance/core/machine.ts';
import { whyNotQualified } from '../../../../appliance/core/qualification.ts';
import { FRESH_RECORD } from '../../../../appliance/core/record.ts';
import type { NewEvent } from '../../../../appliance/runtime/pump.ts';
import { OUTDATED_STATUS } from '../outdated-status.ts';
import { someFault } from '../some-fault.ts';

/** CoServer A, duplex as primary at generation 9, beside a partner with these faults. */
function duplex(more: Partial<State> = {}, partnerFaults: { code: string; where: string }[] = []): State {
  const s = initialState({
    me: 'A',
    incarnation: 'a1',
    pairId: OUTDATED_STATUS.pairId,
    version: OUTDATED_STATUS.version,
    record: { ...FRESH_RECORD, generation: 9, standing: 'duplexPrimary' },
    links: 1,
    now: 0,
    adoptable: false,
    canCompare: false,
  });
  const partner = {
    ...OUTDATED_STATUS,
    record: { ...OUTDATED_STATUS.record, standing: 'duplexSecondary' as const },
    phase: 'secondary' as const,
    faults: partnerFaults,
  };
  const links = [{ up: true, since: 0 }];
  const audit = { ...s.audit, state: 'proven' as const };
  return {
    ...s,
    links,
    audit,
    partnerHeard: true,
    partner,
    newest: partner,
    partnerPromotable: true,
    phase: { ...s.phase, kind: 'duplex' },
    ...more,
  };
}

function feed(state: State, event: NewEvent) {
  const { state: next, commands } = step(state, { at: 10, ...event } as Event);
  const rows = commands.flatMap((c) => (c.kind === 'record' ? [`${c.row ?? '-'} ${c.severity}`] : []));
  return { state: next, kinds: commands.map((c) => c.kind), rows, texts: commands.flatMap((c) => (c.kind === 'record' ? [c.text] : [])) };
}

t.test('row 16: the role moves to a partner that is well, and stays where the partner is no better', async (t) => {
  const faults = [someFault('fanFailed', 'FAN1')];
  const moved = feed(duplex(), { kind: 'faultsObserved', faults });
  t.equal(moved.state.phase.kind, 'acting');
  t.strictSame(moved.rows, ['16 critical', '16 warning']);
  const stays = feed(duplex({}, [{ code: 'diskPreFail', where: '/dev/sda' }]), { kind: 'faultsObserved', faults });
  t.equal(stays.state.phase.kind, 'duplex');
  t.strictSame(stays.rows, ['16 critical']);
  for (const harmless of ['diskWorn', 'unheardOf', 'constructor'])
    t.equal(feed(duplex({}, [{ code: harmless, where: '' }]), { kind: 'faultsObserved', faults }).state.phase.kind, 'acting', harmless);
});

t.test('a disk that says that it has failed is detached like one that answers with errors (row 12)', async (t) => {
  const { state, rows } = feed(duplex(), { kind: 'faultsObserved', faults: [someFault('diskFailing', '/dev/sda')] });
  t.match(state.diskFailed, /A disk says that it has failed/);
  t.ok(rows.includes('12 critical'));
});

t.test('the only good copy is not given up for what a disk says; the role moves once there is another', async (t) => {
  const faults = [someFault('diskFailing', '/dev/nvme0n1')];
  for (const kind of ['running', 'starting', 'resyncing'] as const) {
    const alone = duplex();
    const simplex = { ...alone, record: { ...alone.record, standing: 'simplex' as const }, phase: { ...alone.phase, kind } };
    const { state, kinds, texts } = feed(simplex, { kind: 'faultsObserved', faults });
    t.equal(state.diskFailed, null, kind);
    t.equal(state.phase.kind, kind);
    t.notOk(kinds.includes('freeze'), kind);
    t.match(texts.at(-1), /used until a request of it really fails/);
  }
  t.equal(signToMoveFor(duplex({ faults }))?.code, 'diskFailing');
});

t.test('told once, and told when it is over; the partner hears of the worst', async (t) => {
  const hot = someFault('temperatureHigh', 'CPU1 Temp');
  const first = feed(duplex(), { kind: 'faultsObserved', faults: [hot] });
  t.strictSame(first.rows, ['- warning']);
  const say = step(duplex(), { at: 10, kind: 'faultsObserved', faults: [hot] }).commands.find((c) => c.kind === 'say');
  t.match(say, { status: { faults: [{ code: 'temperatureHigh', where: 'CPU1 Temp' }] } });
  const again = feed(first.state, { kind: 'faultsObserved', faults: [{ ...hot, detail: '71 C' }] });
  t.strictSame(again.rows, []);
  t.match(feed(again.state, { kind: 'faultsObserved', faults: [] }).texts, [/^It is over: It gets too warm \(CPU1 Temp: 71 C\)\.$/]);
});

t.test('without a pass of both there is no joining at level 3; level 2 needs none', async (t) => {
  const ready = { ...OUTDATED_STATUS, phase: 'standby' as const };
  const running = (more: Partial<State>): State => {
    const s = duplex({ partner: ready, newest: ready, mustQualify: true, ...more });
    return { ...s, record: { ...s.record, generation: 10, standing: 'simplex' }, phase: { ...s.phase, kind: 'running' } };
  };
  const joins = (s: State): boolean => step(s, { at: 10_000, kind: 'tick' }).state.phase.kind === 'resyncing';
  t.notOk(joins(running({})), 'nothing is known yet');
  const refused = feed(running({}), {
    kind: 'qualificationJudged',
    qualification: { verdict: 'refused', sentence: 'BIOS 1.2 here, 1.3 there' },
  });
  t.match(refused.texts, [/do not qualify for lockstep: BIOS 1\.2 here, 1\.3 there/]);
  t.strictSame(refused.rows, ['- critical']);
  t.notOk(joins(refused.state));
  const engines = { verdict: 'refused', sentence: 'QEMU 11.1.3 on A, 11.1.4 on B' } as const;
  const level2 = feed(running({ level: 2, partner: { ...ready, level: 2 } }), { kind: 'qualificationJudged', qualification: engines });
  t.match(level2.texts, [/do not qualify for lockstep, which protection level 2 does not need: QEMU 11\.1\.3 on A/]);
  t.strictSame(level2.rows.slice(0, 1), ['- info']);
  t.equal(level2.state.phase.kind, 'resyncing');
  const passed = feed(refused.state, { kind: 'qualificationJudged', qualification: { verdict: 'passed', sentence: '31 items the same' } });
  t.equal(passed.state.phase.kind, 'resyncing');
  t.ok(joins(running({ mustQualify: false })));
});

t.test('what a restarted partner was made of counts no more: it has to tell again', async (t) => {
  const judged = (s: State, qualification: State['qualification']) => feed(s, { kind: 'qualificationJudged', qualification });
  const passed = judged(duplex({ mustQualify: true }), { verdict: 'passed', sentence: '50 items compared' });
  t.equal(whyNotQualified(passed.state), null);
  const forgotten = judged(passed.state, null);
  t.match(whyNotQualified(forgotten.state), /not known yet/);
  t.same(forgotten.texts, [], 'nothing to say before it has told');
  const silent = judged(forgotten.state, { verdict: 'unknown', sentence: 'CoServer B has not told what it is made of' });
  t.match(silent.texts, [/do not qualify for lockstep: CoServer B has not told/], 'what is unknown is said');
});

t.test('a disk that does not hold the copy is an early sign only: no copy is given up for it', async (t) => {
  const fault = { ...someFault('diskFailing', '/dev/nvme0n1'), holdsCopy: false };
  const moved = feed(duplex(), { kind: 'faultsObserved', faults: [fault] });
  t.equal(moved.state.diskFailed, null);
  t.equal(moved.state.phase.kind, 'acting');
  t.strictSame(moved.rows, ['16 critical', '16 warning']);
  const secondary = duplex({ phase: { ...duplex().phase, kind: 'secondary' } });
  t.equal(feed(secondary, { kind: 'faultsObserved', faults: [fault] }).state.phase.kind, 'secondary');
  const alone = duplex({ phase: { ...duplex().phase, kind: 'running' } });
  const kept = feed(alone, { kind: 'faultsObserved', faults: [fault] });
  t.equal(kept.state.phase.kind, 'running', 'and no guest is frozen for it');
  for (const code of ['diskFailing', 'diskWriteErrors'] as const) {
    const lost = feed(duplex(), { kind: 'faultsObserved', faults: [{ ...someFault(code, '/dev/sda'), holdsCopy: true }] });
    t.not(lost.state.diskFailed, null, code);
    t.ok(lost.rows.includes('12 critical'), code);
  }
  const reads = feed(duplex(), { kind: 'faultsObserved', faults: [{ ...someFault('diskReadErrors', '/dev/sda'), holdsCopy: true }] });
  t.equal(reads.state.diskFailed, null, 'blocks that cannot be read are served from the other copy');
  t.equal(reads.state.phase.kind, 'acting');
});

t.test('row 17: a server that ends itself yields first, so that the partner needs no arbiter; alone it only ends', async (t) => {
  const faults = [someFault('memoryUncorrected', 'DIMM A3')];
  const end = feed(duplex(), { kind: 'faultsObserved', faults });
  t.same(end.kinds.filter((kind) => kind !== 'record').slice(0, 4), ['freeze', 'persist', 'say', 'endServer']);
  t.match(end.state, { phase: { kind: 'failed' }, yieldRow: '17', record: { standing: 'outdated', generation: 9, wasPrimary: true } });
  const secondary = duplex({ record: { ...FRESH_RECORD, generation: 9, standing: 'duplexSecondary' } });
  const ended = feed({ ...secondary, phase: { ...secondary.phase, kind: 'secondary' } }, { kind: 'faultsObserved', faults });
  t.match(ended.state.record, { standing: 'outdated', wasPrimary: false });
  const alone = duplex({ partnerHeard: false, partner: null, record: { ...FRESH_RECORD, generation: 10, standing: 'simplex' } });
  const lost = feed({ ...alone, phase: { ...alone.phase, kind: 'running' } }, { kind: 'faultsObserved', faults });
  t.equal(lost.state.record.standing, 'simplex', 'nobody else has the copy');
  t.notOk(lost.kinds.includes('persist'));
});
