// A CoServer that has yielded, as it tells its partner: for the tests of what carries a status.
import { FRESH_RECORD, type PartnerStatus } from '../../../appliance/core/machine.ts';

export const OUTDATED_STATUS: PartnerStatus = {
  coServer: 'B',
  incarnation: '1122334455667788',
  record: { ...FRESH_RECORD, generation: 9, standing: 'outdated' },
  phase: 'standby',
  revision: 77,
  version: '0.3.0',
  pairId: '000102030405060708090a0b0c0d0e0f',
  proved: false,
  asksYield: false,
  arbiters: { witness: true, fence: false },
  wish: null,
  wishSeen: 0,
  power: 'mains',
  businessUp: true,
  needsNic: false,
  yieldRow: null,
  diskFailed: false,
  compatibleVersions: [],
  level: 3,
  leaseMs: 0,
  restarting: false,
  faults: [],
};
