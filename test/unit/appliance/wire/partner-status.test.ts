// What a CoServer says of itself arrives as it was said; what is no status is refused by the name of the field.
import t from 'tap';
import { type PartnerStatus, statusOf } from '../../../../appliance/core/machine.ts';
import { parsePartnerStatus } from '../../../../appliance/wire/partner-status.ts';
import { duplexState } from '../core/duplex-state.ts';

const overTheWire = (status: object): PartnerStatus => parsePartnerStatus(JSON.parse(JSON.stringify(status)));

t.test('every field arrives', async (t) => {
  const state = duplexState({ compatibleVersions: ['0.9.1', '0.9.2'], redirected: true });
  const status = statusOf({ ...state, record: { ...state.record, keep: 7, maintenance: true, forced: true } });
  t.same(overTheWire(status), status);
});

t.test('an earlier release knows less', async (t) => {
  const { compatibleVersions: _, level: _level, leaseMs: _leaseMs, restarting: _restarting, ...status } = statusOf(duplexState());
  const { keep: __, ...record } = status.record;
  const read = overTheWire({ ...status, record });
  t.same([read.compatibleVersions, read.record.keep, read.level, read.leaseMs, read.restarting], [[], null, 3, 0, false]);
});

t.test('what is wrong is named', async (t) => {
  const status = statusOf(duplexState());
  const broken: [object, RegExp][] = [
    [{ ...status, compatibleVersions: 'all' }, /compatibleVersions is no list/],
    [{ ...status, compatibleVersions: Array(17).fill('1') }, /compatibleVersions is no list of at most 16/],
    [{ ...status, compatibleVersions: [7] }, /compatibleVersions is no short text/],
    [{ ...status, record: { ...status.record, keep: -1 } }, /record\.keep is no whole number/],
    [{ ...status, level: 1 }, /level is 1/],
    [{ ...status, leaseMs: -1 }, /leaseMs is no whole number/],
    [{ ...status, phase: 'dancing' }, /phase is "dancing"/],
    [{ ...status, phase: 'dancing'.repeat(1000) }, /^phase is "[a-z]{39}$/],
  ];
  for (const [message, error] of broken) t.throws(() => overTheWire(message), error);
});
