// What the worker threads report, for the core, the figures and the timeline.
import type { CoServerConfig } from '../../config.ts';
import type { CheckpointTrigger } from '../effects/checkpoint-trigger.ts';
import { acknowledgeAtOnce, sortLinkQueue } from '../effects/link-queues.ts';
import type { Survival } from '../effects/survival.ts';
import { noteStuckRequests } from '../end-process.ts';
import type { Figures } from '../figures.ts';
import type { History } from '../history.ts';
import { log } from '../log.ts';
import type { Pump } from '../pump.ts';
import type { Workers } from '../workers.ts';
import { BusinessNic } from './business-nic.ts';
import type { ControlStream } from './control.ts';
import type { ManagementPath } from './management-path.ts';
import { RepairNews } from './repair-news.ts';
import { scrubNews } from './scrub-news.ts';

export interface WorkerNewsParts {
  config: CoServerConfig;
  workers: Workers;
  pump: Pump;
  history: History;
  figures: Figures;
  trigger: CheckpointTrigger;
  control: ControlStream;
  management: ManagementPath;
  survival: Survival;
  onLinkUp: () => void;
  /** For a stream that a worker does not have. */
  onLinkVerdict: (link: number, up: boolean) => void;
}

/** In the turn in which the threads were started: none of their news is missed then. */
export function followWorkers(parts: WorkerNewsParts): void {
  followLinks(parts);
  followGate(parts);
  followMemory(parts);
  followMirror(parts);
}

function followLinks({ config, workers, pump, history, control, management, survival, onLinkUp, onLinkVerdict }: WorkerNewsParts): void {
  // Again when a link comes up: a NIC that was down or replaced has lost what it was given.
  const prepareLink = async ({ nic, address }: (typeof config.links)[number]) => {
    for (const problem of [await sortLinkQueue(nic), await acknowledgeAtOnce({ nic, localAddress: address })])
      if (problem) log('warning', problem);
  };
  for (const link of config.links) void prepareLink(link);
  workers.heartbeat.on('link', ({ link, up, silentMs }) => {
    const flapped = config.links[link];
    if (up && flapped) void prepareLink(flapped);
    if (!up) survival.noteLoss();
    else onLinkUp();
    control.linkVerdict(link, up);
    onLinkVerdict(link, up);
    const told = [
      workers.mirror.call('linkVerdict', { link, up }),
      workers.gate.call('linkVerdict', { link, up }),
      workers.memory.call('linkVerdict', { link, up }),
    ];
    for (const t of told) t.catch(() => undefined);
    pump.feed({ kind: 'linkObserved', link, up, silentMs });
    management.setAlone(!pump.state.partnerHeard);
  });
  workers.heartbeat.on('partner', ({ restarted }) => {
    if (restarted) pump.feed({ kind: 'partnerRestarted' });
  });
  workers.heartbeat.on('late', ({ lateMs }) => pump.feed({ kind: 'lateTick', lateMs }));
  workers.heartbeat.on('dropped', ({ sentence }) => history.add({ severity: 'warning', row: null, text: sentence }));
}

function followGate({ workers, pump, figures, trigger }: WorkerNewsParts): void {
  workers.gate.on('status', (status) => {
    const compared = figures.lockstep.observe(status);
    if (compared && pump.state.phase.kind === 'duplex') pump.feed({ kind: 'comparisonObserved', ...compared });
  });
  workers.gate.on('probed', (verdict) => {
    figures.lockstep.probed(verdict);
    const detail = verdict.kind === 'answered' ? '' : `probe ${verdict.probe}: ${verdict.detail}`;
    pump.feed({ kind: 'probed', probe: verdict.probe, outcome: verdict.kind, interval: verdict.interval, detail });
  });
  const businessNic = new BusinessNic({ observed: (up) => pump.feed({ kind: 'businessNicObserved', up }) });
  workers.gate.on('carrier', ({ up }) => businessNic.carrier(up));
  workers.gate.on('outputHeld', () => trigger.outputHeld());
  workers.gate.on('checkpointWanted', () => trigger.now());
  workers.gate.on('comparisonLost', ({ reason }) =>
    pump.feed({ kind: 'streamLost', stream: 'network', cause: 'channel', byPartner: false, reason }),
  );
}

function followMemory({ workers, pump, figures, trigger, survival }: WorkerNewsParts): void {
  workers.memory.on('checkpoint', () => trigger.checkpointed());
  workers.memory.on('phase', ({ role, phase }) => {
    if (role === 'source' && phase === 'checkpoint') trigger.begun();
    if (phase === 'precopy' || phase === 'readyHeld' || phase === 'ended') log('info', `memory stream, ${role}: ${phase}`);
  });
  workers.memory.on('readyHeld', () => pump.feed({ kind: 'readyHeld' }));
  workers.memory.on('readyHeld', () => figures.lockstep.reset());
  workers.memory.on('started', () => pump.feed({ kind: 'intervalsStarted' }));
  workers.memory.on('pageDiffers', (d) => {
    const crcs = `CRC ${d.foundCrc.toString(16)} instead of ${d.expectedCrc.toString(16)}`;
    const detail = `the ${d.side}'s engine lost page ${d.page} of the guest's memory: ${crcs}, sent in interval ${d.sinceInterval}, found at the end of ${d.interval}`;
    pump.feed({ kind: 'pageDiffered', detail });
  });
  workers.memory.on('status', ({ audit }) => {
    if (audit) figures.lockstep.pagesChecked(audit.checkedPages, audit.totalPages);
  });
  workers.memory.on('lost', ({ reason, cause, byPartner }) => {
    survival.noteLoss();
    pump.feed({ kind: 'streamLost', stream: 'memory', cause, byPartner, reason });
  });
}

function followMirror({ workers, pump, history }: WorkerNewsParts): void {
  workers.mirror.on('lost', ({ reason }) => pump.feed({ kind: 'streamLost', stream: 'disk', cause: 'channel', byPartner: false, reason }));
  // One read is the business of one block: the mirror serves it from the partner, or says that it cannot.
  workers.mirror.on('diskError', ({ operation, offset, message, isOver }) => {
    if (isOver) pump.feed({ kind: 'diskFailed', reason: message });
    else log('warning', `the disk here: ${operation} at ${offset}: ${message}`);
  });
  workers.mirror.on('status', (s) => noteStuckRequests(s.stuckRequests));
  workers.mirror.on('blockUnreadable', ({ offset, side }) => pump.feed({ kind: 'blockUnreadable', offset, side }));
  const repairs = {
    read: new RepairNews((text) => history.add({ severity: 'warning', row: '14', text })),
    comparison: new RepairNews((text) => history.add({ severity: 'warning', row: '15', text: `Comparing the copies: ${text}` })),
  };
  workers.mirror.on('repaired', (r) => repairs[r.foundBy].repaired(r));
  workers.mirror.on('sumsUnknown', ({ reason }) =>
    history.add({
      severity: 'warning',
      row: null,
      text: `The checksums of the copy here are not known any more: ${reason}. Comparing the copies makes them known again.`,
    }),
  );
  workers.mirror.on('scrubEnded', (view) => {
    for (const news of Object.values(repairs)) news.flush();
    history.tellCounted();
    history.add(scrubNews(view));
  });
  workers.mirror.on('copiesDiffer', (found) => pump.feed({ kind: 'copiesDiffer', ...found }));
  workers.mirror.on('copies', (found) => pump.feed({ kind: 'copiesObserved', ...found }));
}
