import t from 'tap';
import { allFaults, disksPlan, faultName } from '../../../../hwqual/campaigns/disk-faults-plan.ts';

t.test('the same seed gives the same campaign, another one another', async (t) => {
  t.strictSame(disksPlan(60, 7), disksPlan(60, 7));
  t.notSame(disksPlan(60, 7), disksPlan(60, 8));
  t.strictSame(disksPlan(20, 7), disksPlan(60, 7).slice(0, 20), 'a shorter campaign is the beginning of a longer one');
});

t.test('every kind of fault comes as often as every other', async (t) => {
  const all = allFaults();
  const counts = new Map<string, number>();
  for (const { fault } of disksPlan(all.length * 4, 3)) counts.set(JSON.stringify(fault), (counts.get(JSON.stringify(fault)) ?? 0) + 1);
  t.equal(counts.size, all.length);
  t.ok([...counts.values()].every((count) => count === 4));
});

t.test('a second fault never meets the only copy that is whole', async (t) => {
  const seconds = disksPlan(2000, 5).flatMap(({ fault, second }) => (second === null ? [] : [{ fault, second }]));
  t.ok(seconds.length > 300 && seconds.length < 700, `${seconds.length} of 2000 rounds have one`);
  for (const { fault, second } of seconds) {
    const hitsServer = 'side' in second.fault;
    if ('side' in second.fault && second.fault.side !== 'lost') t.fail(`second fault at the ${second.fault.side}`);
    // While a server is gone, the other must be left alone: only links, or the one that is on its way back.
    if (second.when === 'beforeRepair' && hitsServer && fault.kind !== 'cutLink')
      t.fail(`${faultName(second.fault)} during ${faultName(fault)}`);
    if (second.fault.kind === 'cutLink' && fault.kind === 'cutLink' && second.fault.link === fault.link) t.fail('the same link twice');
  }
  t.pass('looked at all');
});

t.test('one kind alone can be asked for, by a part of its name', async (t) => {
  const plan = disksPlan(30, 1, 'disk hang');
  t.strictSame([...new Set(plan.map(({ fault }) => faultName(fault)))].sort(), ['disk hang, primary', 'disk hang, secondary']);
  t.throws(() => disksPlan(3, 1, 'earthquake'), /no fault is called "earthquake": kill the process/);
  t.throws(() => disksPlan(0, 1), /whole number from 1/);
});
