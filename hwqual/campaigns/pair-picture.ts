// What a campaign reads out of the two CoServers' snapshots. Pure.
import type { CoServerName, IncidentView, Snapshot, TakeoverView } from '../../appliance/core/snapshot.ts';
import type { LinkNumber, PairStatus } from './lab-control.ts';
import type { Round } from './report.ts';

/** Wall clocks of one machine are the same; a moment of tolerance for rounding. */
const CLOCK_TOLERANCE_MS = 50;
const TIMELINE_ENTRIES = 40;

export function partnerOf(server: CoServerName): CoServerName {
  return server === 'A' ? 'B' : 'A';
}

function snapshots(status: PairStatus): Snapshot[] {
  return [status.A, status.B].filter((snapshot) => snapshot !== null);
}

/** Whether this CoServer says of itself that it runs the workload as primary. */
export function runsWorkload(snapshot: Snapshot): boolean {
  const self = snapshot.coServers.find((server) => server.name === snapshot.coServer);
  return self?.role === 'primary' && snapshot.workload.state === 'running';
}

/** The CoServer that runs the workload; null when none or both say so. */
export function primaryOf(status: PairStatus): CoServerName | null {
  const running = snapshots(status).filter(runsWorkload);
  return running.length === 1 ? (running[0]?.coServer ?? null) : null;
}

/** Both say that they run it: what arbitration exists to prevent. */
export function isSplit(status: PairStatus): boolean {
  return snapshots(status).filter(runsWorkload).length > 1;
}

export function isDuplex(status: PairStatus): boolean {
  return status.A?.redundancy === 'duplex' && status.B?.redundancy === 'duplex';
}

/** A CoServer that answers says that the pair is not duplex. */
export function saysNotDuplex(status: PairStatus): boolean {
  return snapshots(status).some((snapshot) => snapshot.redundancy !== 'duplex');
}

/** Both answer and see every link up. */
export function areLinksUp(status: PairStatus): boolean {
  return snapshots(status).length === 2 && snapshots(status).every((snapshot) => snapshot.links.every((link) => link.up));
}

/** Someone runs the workload and says that it is not protected. */
export function isRunningAlone(status: PairStatus): boolean {
  return snapshots(status).some((snapshot) => runsWorkload(snapshot) && snapshot.redundancy !== 'duplex');
}

/** Replicas that were found broken, as both CoServers tell it. */
export function incidentsOf(status: PairStatus): IncidentView[] {
  return snapshots(status).flatMap((snapshot) => snapshot.incidents ?? []);
}

/** How output is treated at present, as the primary says. */
export function modeOf(status: PairStatus): 'passive' | 'lockstep' | 'unknown' {
  return (snapshots(status).find(runsWorkload) ?? snapshots(status)[0])?.checkpoints.mode ?? 'unknown';
}

export function isLinkDown(status: PairStatus, link: LinkNumber): boolean {
  return snapshots(status).some((snapshot) => snapshot.links[link - 1]?.up === false);
}

/** The latest takeover or continuation that began after `since`. */
export function takeoverSince(status: PairStatus, since: number): TakeoverView | null {
  return takeoversSince(status, since).at(-1) ?? null;
}

/** All of them, oldest first. */
export function takeoversSince(status: PairStatus, since: number): TakeoverView[] {
  return snapshots(status)
    .flatMap((snapshot) => snapshot.takeovers)
    .filter((takeover) => takeover.at >= since - CLOCK_TOLERANCE_MS)
    .sort((a, b) => a.at - b.at);
}

/**
 * When the survivor noticed the loss, wall clock ms. A takeover is dated at its second step (the first, at 0 ms, is the loss
 * itself), and steps count from the loss.
 */
export function noticedAt(takeover: TakeoverView): number {
  return takeover.at - (takeover.steps[1]?.atMs ?? 0);
}

export function timelineSince(status: PairStatus, since: number): Round['timeline'] {
  return snapshots(status)
    .flatMap((snapshot) => snapshot.timeline)
    .filter((entry) => entry.at >= since - CLOCK_TOLERANCE_MS)
    .sort((a, b) => a.at - b.at)
    .slice(0, TIMELINE_ENTRIES)
    .map(({ at, coServer, severity, text }) => ({ at, coServer, severity, text }));
}

/** One line for the log. */
export function describeStatus(status: PairStatus): string {
  const one = (name: CoServerName): string => {
    const snapshot = status[name];
    return snapshot === null ? `${name} does not answer` : `${name}: ${snapshot.redundancy}, workload ${snapshot.workload.state}`;
  };
  return `${one('A')}; ${one('B')}`;
}
