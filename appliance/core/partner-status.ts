// What a CoServer tells its partner of itself: what the other side decides on. Its form on the wire is in wire/partner-status.ts.
import { type PartnerFault, toldFaults } from './faults/told.ts';
import type { DurableRecord } from './record.ts';
import type { CoServerName } from './snapshot.ts';
import type { PhaseKind, ProtectedLevel, State, Wish } from './state.ts';

export type Power = 'mains' | 'battery' | 'low';

/** What a CoServer tells its partner of itself, over the authenticated control stream. */
export interface PartnerStatus {
  coServer: CoServerName;
  /** Random per process life. */
  incarnation: string;
  record: DurableRecord;
  phase: PhaseKind;
  /** Grows with every change of phase: an old picture is never mistaken for a new one. */
  revision: number;
  version: string;
  /** Other versions that its own may run duplex with: the newer release knows the older one, not the other way round. */
  compatibleVersions: readonly string[];
  pairId: string;
  /** duplex: the secondary has proved that it could take over. */
  proved: boolean;
  /** claiming, and no arbiter helps (now): a partner with less to lose should yield. */
  asksYield: boolean;
  /** Which arbiters this side could use: the witness would decide its claim; its way to the partner's BMC is proven. */
  arbiters: { witness: boolean; fence: boolean };
  /** Primary, duplex: the arbiter both should hold next (arbiters.ts); secondary: the last wish that its record follows. */
  wish: Wish | null;
  wishSeen: number;
  power: Power;
  /** Its business NIC has a carrier. */
  businessUp: boolean;
  /** The guest runs here, without a business NIC: the partner should lend its own. */
  needsNic: boolean;
  /** Why it yielded, as a row of the decision table; null: it did not, or for no row of its own. */
  yieldRow: string | null;
  /** Its disk failed: it does not join before its operator, or a restart, has the disk tried again. */
  diskFailed: boolean;
  /** Its configured protection level: both must have the same. */
  level: ProtectedLevel;
  /** Level 2: so long after its last sign of life it may still speak, until its watchdog has ended it. 0: not at all. */
  leaseMs: number;
  /** Its process is about to end and to be started again, as for an update: the partner lets go of it in order. */
  restarting: boolean;
  /** Of its hardware, the worst first; not all. */
  faults: readonly PartnerFault[];
}

export function statusOf(s: State): PartnerStatus {
  return {
    coServer: s.me,
    incarnation: s.incarnation,
    record: s.record,
    phase: s.phase.kind,
    revision: s.revision,
    version: s.version,
    compatibleVersions: s.compatibleVersions,
    pairId: s.pairId,
    proved: s.phase.kind === 'duplex' && (s.level === 2 || s.audit.state === 'proven' || s.audit.state === 'unprovable'),
    asksYield: asksYield(s),
    arbiters: { witness: s.witness.ok, fence: s.fence.ok },
    wish: s.wish,
    wishSeen: s.wishSeen,
    power: s.power,
    businessUp: s.businessUp,
    needsNic: s.redirected,
    yieldRow: s.record.standing === 'outdated' ? s.yieldRow : null,
    diskFailed: s.diskFailed !== null,
    level: s.level,
    leaseMs: s.level === 2 ? s.timing.leaseMs : 0,
    restarting: s.stop === 'wanted' || s.stop === 'ordered',
    faults: toldFaults(s.faults),
  };
}

/** Frozen, or broken over there, or fencing a partner that may still be heard: its own word is the quicker way. */
function asksYield({ phase: { claim }, record, audit }: State): boolean {
  if (!claim) return false;
  if (claim.unreachableSince !== null || claim.by !== 'witness') return true;
  return claim.goal === 'continue' && record.standing === 'duplexPrimary' && audit.state === 'broken';
}
