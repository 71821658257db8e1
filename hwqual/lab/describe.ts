// The lab's facts in words, for a terminal. Pure.
import type { CoServerName, Snapshot } from '../../appliance/core/snapshot.ts';
import { WELL } from './disk-faults.ts';
import type { LabView, PowerOffReport } from './lab.ts';
import { CO_SERVERS, LINKS, partnerOf } from './settings.ts';

export interface LabStatus {
  coServers: Record<CoServerName, Snapshot | null>;
  lab: LabView;
}

export function describePowerOff(r: PowerOffReport): string {
  const lost = r.files.reduce((sum, f) => sum + f.lostSectors, 0);
  const unflushed = r.files.reduce((sum, f) => sum + f.unflushedSectors, 0);
  const lines = [
    `${r.processes} processes stood still after ${r.stoppedMs.toFixed(1)} ms, cables dead after ${r.cablesDeadMs.toFixed(1)} ms, all gone after ${r.endedMs.toFixed(1)} ms`,
    unflushed === 0
      ? 'nothing was unflushed: the disks lost nothing'
      : `the disks lost ${lost} of ${unflushed} unflushed sectors (seed ${r.seed})`,
    ...r.files
      .filter((f) => f.lostSectors > 0 || f.sizeAfter !== f.sizeBefore)
      .map(
        (f) =>
          `  ${f.path}: ${f.lostSectors} of ${f.unflushedSectors} sectors${f.sizeAfter === f.sizeBefore ? '' : `, ${f.sizeBefore} -> ${f.sizeAfter} bytes`}`,
      ),
  ];
  return lines.join('\n');
}

/** The picture to believe where the two could differ: the primary's, else whichever there is. */
export function leadingPicture(status: LabStatus): Snapshot | null {
  const { A, B } = status.coServers;
  const leads = (s: Snapshot | null) => s?.coServers.some((c) => c.name === s.coServer && c.role === 'primary') ?? false;
  return leads(A) ? A : leads(B) ? B : (A ?? B);
}

/** One line per CoServer: by itself if it answers, else by its partner, else what the lab knows. */
export function describeCoServer(status: LabStatus, name: CoServerName): string {
  const known = status.lab.coServers[name];
  const bmc = (known.bmc === 'ok' ? '' : `  [BMC: ${known.bmc}]`) + (known.disk === WELL ? '' : `  [its disk ${known.disk}]`);
  if (!known.powered) return `${name}  no power${bmc}`;
  const frozen = known.frozen === 'no' ? '' : known.frozen === 'all' ? '  [frozen]' : '  [process frozen]';
  const own = status.coServers[name]?.coServers.find((c) => c.name === name);
  if (own !== undefined) return `${name}  ${own.role.padEnd(9)}  ${own.phase.padEnd(10)}  copy ${own.copy}${frozen}${bmc}  ${own.sentence}`;
  const told = status.coServers[partnerOf(name)]?.coServers.find((c) => c.name === name);
  return `${name}  does not answer${frozen}${bmc}${told === undefined ? '' : `  (its partner: ${told.sentence})`}`;
}

function describeLink(status: LabStatus, picture: Snapshot | null, link: (typeof LINKS)[number]): string {
  const cable = status.lab.links[link] === 'up' ? '' : '  [cut]';
  const seen = picture?.links[link - 1];
  if (seen === undefined) return `link ${link}${cable}`;
  return `link ${link}  ${seen.up ? 'up' : 'down'}${seen.up && seen.rttMs >= 0 ? `, ${seen.rttMs.toFixed(2)} ms` : ''}${cable}`;
}

function megabytes(bytes: number): string {
  return Math.max(0, bytes / 1e6).toFixed(0);
}

export function describeStatus(status: LabStatus): string {
  const picture = leadingPicture(status);
  const lines = CO_SERVERS.map((name) => describeCoServer(status, name));
  lines.push(LINKS.map((link) => describeLink(status, picture, link)).join('     '));
  if (picture === null) return [...lines, 'neither CoServer answers'].join('\n');
  const { workload, checkpoints, progress } = picture;
  lines.push(`workload ${workload.name}: ${workload.state}, ${workload.acceleration}  ${workload.sentence}`);
  lines.push(picture.redundancySentence);
  if (progress !== null && progress.totalBytes > 0)
    lines.push(
      `${progress.what}: ${Math.floor((100 * progress.doneBytes) / progress.totalBytes)} %, ${megabytes(progress.totalBytes - progress.doneBytes)} MB to do, ${megabytes(progress.rateBytesPerS)} MB/s${progress.etaS === null ? '' : `, ${Math.ceil(progress.etaS)} s left`}`,
    );
  if (checkpoints.perSecond > 0)
    lines.push(
      `checkpoints ${checkpoints.perSecond.toFixed(1)}/s, pause p50 ${checkpoints.pauseP50Ms.toFixed(1)} ms, p99 ${checkpoints.pauseP99Ms.toFixed(1)} ms`,
    );
  return lines.join('\n');
}
