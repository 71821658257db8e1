// Faults in words, and as the partner is told of them.
import { CATALOGUE, type CatalogueEntry, type FaultCode } from './catalogue.ts';
import type { Fault, FaultEffect } from './types.ts';

/** A fault as the partner is told of it. The code may be one that this release does not know. */
export interface PartnerFault {
  code: string;
  where: string;
}

/** What the partner is told at once, the worst first: it fits a datagram, and shows why to look there. */
export const TOLD_FAULTS = 4;
export const TOLD_WHERE_LIMIT = 48;

export function entryOf(code: string): CatalogueEntry | null {
  return Object.hasOwn(CATALOGUE, code) ? CATALOGUE[code as FaultCode] : null;
}

/** What a fault of this server does to the pair: the copy is given up for the disk that it is on. Another's failure is an early sign of worse. */
export function effectOf(fault: Pick<Fault, 'code' | 'holdsCopy'>): FaultEffect {
  const { effect } = CATALOGUE[fault.code];
  return effect === 'detachDisk' && fault.holdsCopy === false ? 'preFail' : effect;
}

/** "A fan has failed (FAN2: 0 RPM, too low, critical)" */
export function describe(f: { code: FaultCode; where: string; detail: string }): string {
  const more = [f.where, f.detail].filter((x) => x !== '').join(': ');
  return more === '' ? CATALOGUE[f.code].sentence : `${CATALOGUE[f.code].sentence} (${more})`;
}

export function toldFaults(faults: readonly Fault[]): PartnerFault[] {
  return faults.slice(0, TOLD_FAULTS).map(({ code, where }) => ({ code, where: where.slice(0, TOLD_WHERE_LIMIT) }));
}
