// A fault of a server's hardware, for tests of what is done about it.
import type { FaultCode } from '../../../appliance/core/faults/catalogue.ts';
import type { Fault } from '../../../appliance/core/faults/types.ts';

export function someFault(code: FaultCode, where: string, detail = 'as read'): Fault {
  return { code, where, detail, raisedAt: 0, clearedAt: null, evidence: [detail] };
}
