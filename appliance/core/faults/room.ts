// Is there room where this CoServer keeps its state? What counts is written in place and goes on; logs, answers, restore points are what is lost.
import type { Diagnosis, Finding, RoomReading } from './types.ts';

/** Twice what a start needs (image/disk, room.sh): said before it is felt. */
export const ROOM_AT_LEAST_MIB = 32;
/** What was said stays until there is clearly more. */
const ROOM_AGAIN_MIB = 48;

export interface RoomMemory {
  isTold: boolean;
}
export const FRESH_ROOM: RoomMemory = { isTold: false };

export function diagnoseRoom(memory: RoomMemory, { folder, freeMiB, totalMiB }: RoomReading): Diagnosis<RoomMemory> {
  const isTold = freeMiB < (memory.isTold ? ROOM_AGAIN_MIB : ROOM_AT_LEAST_MIB);
  const findings: Finding[] = isTold
    ? [{ code: 'stateFull', where: folder, detail: `${Math.floor(freeMiB)} of ${Math.floor(totalMiB)} MiB are left` }]
    : [];
  return { memory: { isTold }, findings };
}
