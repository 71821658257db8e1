// Proves that the lab's faults arrive: each is made, looked for in the machine until it is seen, taken back, and looked for until it is gone.
import { setTimeout as sleep } from 'node:timers/promises';
import type { CoServerName } from '../../../appliance/core/snapshot.ts';
import { messageOf } from '../lab-error.ts';
import type { LabFault } from '../lab-interface.ts';
import type { MachinesLab } from './lab.ts';
import { look } from './visible.ts';

/** Emulated machines are slow, and their kernels look for some of it each second only. */
const VISIBLE_TIMEOUT_MS = 120_000;
/** A machine that died of its fault starts again. */
const BOOT_TIMEOUT_MS = 600_000;
const CLEAR_TIMEOUT_MS = 60_000;
const LOOK_MS = 300;

export interface Proof {
  fault: LabFault;
  how: string;
  /** Seconds from the injection until it was seen; null: never. */
  seenS: number | null;
  /** Seconds from taking it back until it was gone; null: never; 'event': nothing to take back. */
  goneS: number | 'event' | null;
  detail: string;
}

export async function prove(lab: MachinesLab, fault: LabFault, server: CoServerName): Promise<Proof> {
  const proof: Proof = { fault, how: '', seenS: null, goneS: null, detail: '' };
  try {
    // What an event leaves in the kernel's log is there for good: an earlier one's must not be taken for this one's.
    if (lab.isEvent(fault)) await lab.machine(server).hands.ask('dmesg -c >/dev/null', CLEAR_TIMEOUT_MS);
    const injection = await lab.inject(fault, server);
    proof.how = injection.how;
    try {
      proof.seenS = await until(lab, fault, server, true, proof);
    } finally {
      if (!injection.isEvent) await lab.clear(injection);
    }
    proof.goneS = injection.isEvent ? 'event' : await until(lab, fault, server, false);
    if (fault === 'machineCheckFatal') await lab.booted(server, BOOT_TIMEOUT_MS);
  } catch (error) {
    proof.detail = messageOf(error);
  }
  return proof;
}

async function until(lab: MachinesLab, fault: LabFault, server: CoServerName, wanted: boolean, proof?: Proof): Promise<number | null> {
  const startedMs = performance.now();
  for (;;) {
    const { seen, detail } = await look(lab, fault, server);
    const tookMs = performance.now() - startedMs;
    if (proof) proof.detail = detail;
    if (seen === wanted) return Math.round(tookMs / 100) / 10;
    if (tookMs > VISIBLE_TIMEOUT_MS) return null;
    await sleep(LOOK_MS);
  }
}

export function isProven(proof: Proof): boolean {
  return proof.seenS !== null && proof.goneS !== null;
}

export function describeProof(proof: Proof): string {
  const seen = proof.seenS === null ? 'NOT SEEN' : `seen after ${proof.seenS.toFixed(1)} s`;
  const gone = proof.goneS === 'event' ? 'an event' : proof.goneS === null ? 'NOT GONE' : `gone after ${proof.goneS.toFixed(1)} s`;
  return `${proof.fault.padEnd(24)}${seen.padEnd(22)}${gone.padEnd(22)}${proof.detail}`;
}
