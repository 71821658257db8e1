// The boot of one CoServer, phase by phase: configuration, durable record, worker threads, witness, engine, consoles,
// and then the pump, which from there on decides everything.
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ioctl } from '../../drivers/ethernet/index.ts';
import { triggerCheckpoint } from '../../drivers/qemu/index.ts';
import { readUps } from '../../drivers/ups/index.ts';
import { openWatchdog } from '../../drivers/watchdog/index.ts';
import type { CoServerConfig } from '../config.ts';
import { DEFAULT_TIMING, initialState, type State, type StateOptions } from '../core/machine.ts';
import { witnessReportOf } from '../core/witness.ts';
import type { ChannelSetup, StreamName } from '../wire/channel-setup.ts';
import { IntervalCounter } from '../wire/interval.ts';
import { WitnessClient } from '../witness/client.ts';
import { startConsoles } from './consoles.ts';
import { CheckpointTrigger } from './effects/checkpoint-trigger.ts';
import { takeEndedItself } from './effects/end-server.ts';
import { Engine } from './effects/engine.ts';
import { Fence } from './effects/fence.ts';
import { acknowledgeAtOnce, sortLinkQueue } from './effects/link-queues.ts';
import { Obey } from './effects/obey.ts';
import { partnerPower } from './effects/partner-power.ts';
import { openDisk, type Parts } from './effects/parts.ts';
import { WatchdogKeeper } from './effects/watchdog.ts';
import { endProcess, noteStuckRequests } from './end-process.ts';
import { Figures } from './figures.ts';
import { History } from './history.ts';
import { Incidents } from './incidents.ts';
import { Journal } from './journal.ts';
import { LineFile } from './line-file.ts';
import { loadPairKey } from './load-config.ts';
import { log } from './log.ts';
import { raisePriority } from './priority.ts';
import { Pump } from './pump.ts';
import { RecordStore } from './record-store.ts';
import { RestorePoints } from './restore-points.ts';
import { BusinessNic } from './sources/business-nic.ts';
import { ClockSource } from './sources/clock.ts';
import { ControlStream } from './sources/control.ts';
import { FencePath } from './sources/fence-path.ts';
import { ManagementPath } from './sources/management-path.ts';
import { RepairNews } from './sources/repair-news.ts';
import { UpsWatch } from './sources/ups.ts';
import { becomePaired } from './unpaired.ts';
import { startWorkers } from './workers.ts';

const TICK_MS = 50;
/** Of events, twice (the file and the one before it): some days of a quiet pair, and hours of a troubled one. */
const JOURNAL_BYTES = 16 << 20;
const JITTER_MEASUREMENT_MS = 1_000;
/** The heartbeat answers in a millisecond; a fence must not hang on it. */
const CARRIER_ANSWER_MS = 2_000;
/** A dead partner is heard for the heartbeat's time-out, which a busy machine's own lateness may have raised. */
const FLOOR_ALLOWANCE_MS = 2_000;
/** The watchdog's own inexactness, and the rounds that a renewal may be late by; see decision 0009. */
const LEASE_MARGIN_MS = 500;
/** Asked to end, what is shared with the partner ends in order first: a planned takeover, or its yield. Longer, and it ends all the same. */
const ORDERLY_STOP_MS = 8_000;
const CLOCK_SYNCHRONISED = "This CoServer's clock is synchronised again.";
const CLOCK_LOST =
  "This CoServer's clock is no longer synchronised: the times that the consoles show may be wrong. Nothing is decided on it.";

export async function runCoServer(config: CoServerConfig, version: string, script: URL): Promise<void> {
  const fatal = (why: string, error: Error): never => {
    log('fatal', `${why}: ${error.stack ?? error.message}`);
    endProcess(70);
  };
  process.on('uncaughtException', (e) => fatal('uncaught', e));
  process.on('unhandledRejection', (e) => fatal('unhandled', e as Error));

  log('info', `Twinstep ${version}, CoServer ${config.coServer}`);
  const ordinary = raisePriority();
  if (ordinary) log('warning', `the process keeps its ordinary priority: ${ordinary}`);
  mkdirSync(config.stateDir, { recursive: true, mode: 0o700 });
  mkdirSync(config.runDir, { recursive: true, mode: 0o700 });
  const webRoot = fileURLToPath(new URL('./web', script));
  await becomePaired(config, version, webRoot);
  const pairKey = loadPairKey(config.pair.keyFile, config.pair.id);
  const power = partnerPower(config.fence);
  const records = await RecordStore.open(join(config.stateDir, 'record'));
  log('info', `record: generation ${records.record.generation}, ${records.record.standing}`);

  const changes = new Set<() => void>();
  const changed = () => {
    for (const f of changes) f();
  };
  const history = await History.open(join(config.stateDir, 'history.jsonl'), config.coServer, changed);
  if (records.problem) history.add({ severity: 'warning', row: null, text: records.problem });
  const ended = await takeEndedItself(config.stateDir);
  if (ended)
    history.add({
      severity: 'critical',
      row: '17',
      text: `This server had ended itself: ${ended.reason} Look at it before it is trusted again.`,
    });
  const figures = new Figures(config, history);

  const interval = new IntervalCounter();
  const links = config.links.map((l) => ({ localAddress: l.address, remoteAddress: l.peer }));
  const channel = (stream: StreamName): ChannelSetup => ({ stream, side: config.coServer, links, pairKey });
  const sockets = {
    gate: join(config.runDir, 'net.sock'),
    mirror: join(config.runDir, 'disk.sock'),
    source: join(config.runDir, 'mig-out.sock'),
    incoming: join(config.runDir, 'mig-in.sock'),
  };
  const { level } = config.workload;
  const lockstep = level === 3 && config.checkpoint.mode === 'lockstep';
  // Before the threads start: from there to the listeners below nothing is awaited, so none of their news is missed.
  const engine = new Engine(config, sockets, {
    exited: (news) => pump.feed({ kind: 'engineExited', ...news }),
    // A replica that only ran ahead into a reboot is set right by the next checkpoint.
    replicaPanicked: (line) => pump.feed({ kind: 'replicaPanicked', reason: line }),
    doesNotEnd: (text) => history.add({ severity: 'critical', row: null, text }),
  });
  const adoptable = await engine.isAdoptable();
  const workers = startWorkers(
    script,
    {
      heartbeat: {
        coServer: config.coServer,
        pairId: Buffer.from(config.pair.id, 'hex'),
        pairKey,
        links: config.links.map((l) => ({ nic: l.nic, localAddress: l.address, remoteAddress: l.peer })),
        intervalMs: config.heartbeat.intervalMs,
        timeoutMs: config.heartbeat.timeoutMs,
      },
      mirror: {
        channel: channel('disk'),
        interval: interval.buffer,
        diskPath: config.workload.disk.path,
        sizeBytes: config.workload.disk.sizeMiB * 1048576,
        pairId: config.pair.id,
        cache: config.workload.disk.cache,
        isWriteThrough: config.workload.disk.durability === 'write-through',
        journalPath: join(config.stateDir, 'intervals.journal'),
        socketPath: sockets.mirror,
        points: {
          directory: config.restorePoints.directory,
          maximumBytes: config.restorePoints.maximumMiB * 1048576,
          reserveBytes: config.restorePoints.reserveMiB * 1048576,
        },
        ...config.disk,
        scrub: { rateBytesPerS: config.scrub.rateMiBPerS * 1048576, everyHours: config.scrub.everyHours },
        isAwaited: adoptable,
      },
      gate: {
        channel: channel('network'),
        interval: interval.buffer,
        nic: config.business.nic,
        socketPath: sockets.gate,
        guestMac: config.workload.mac,
        lockstep,
        holdLimits: config.checkpoint.hold,
      },
      memory: {
        channel: channel('memory'),
        interval: interval.buffer,
        sourceSocketPath: sockets.source,
        incomingSocketPath: sockets.incoming,
        lockstep,
        ...(config.labSocket ? { powerTrap: { folder: dirname(config.labSocket), coServer: config.coServer } } : {}),
      },
    },
    (role, error) => fatal(`the ${role} thread ended`, error),
  );
  figures.follow(workers, changed);

  const watchdog = new WatchdogKeeper({
    device: config.watchdog.device,
    timeoutMs: config.watchdog.timeoutS * 1000,
    open: (options) => openWatchdog({ ...options, ioctl }),
    questions: {
      'the heartbeat': () => workers.heartbeat.call('status', {}),
      'the gate': () => workers.gate.call('status', {}),
    },
    tell: (severity, text) => history.add({ severity, row: null, text }),
    onArmed: (ok, reason) => pump.feed({ kind: 'commandFinished', command: 'armWatchdog', ok, reason }),
    now: () => performance.now(),
  });

  const trigger = new CheckpointTrigger(config.checkpoint, () => {
    const monitor = engine.trigger;
    if (monitor)
      triggerCheckpoint(monitor, config.checkpoint.idleMs).catch((e: Error) => log('warning', `checkpoint not triggered: ${e.message}`));
  });
  const incarnation = randomBytes(8).toString('hex');
  /** It helps when it answers and knows where the pair stands. */
  let witnessSight = {
    reachable: false,
    reason: 'not connected yet',
    confirmed: false,
    doubt: 'it has not said yet where the pair stands',
  };
  const tellWitnessSight = () => {
    const usable = witnessSight.reachable && witnessSight.confirmed;
    const reason = usable ? '' : witnessSight.reachable ? `it grants nothing yet: ${witnessSight.doubt}` : witnessSight.reason;
    pump.feed({ kind: 'witnessObserved', usable, reason });
  };
  const witness = new WitnessClient({
    ...config.witness,
    pairId: config.pair.id,
    pairKey,
    coServer: config.coServer,
    incarnation,
    onReachable: (reachable, reason) => {
      witnessSight = { ...witnessSight, reachable, reason, confirmed: false };
      // When it answers it says within a moment where the pair stands.
      if (!reachable) tellWitnessSight();
    },
    onStanding: ({ confirmed, doubt }) => {
      witnessSight = { ...witnessSight, confirmed, doubt };
      tellWitnessSight();
    },
  });
  const control = new ControlStream(channel('control'), {
    status: (status) => pump.feed({ kind: 'partnerSaid', status, path: 'link' }),
    incident: (message) => void incidents.fromPartner(message),
    problem: (text) => history.add({ severity: 'warning', row: null, text }),
  });

  const fence = new Fence({
    power,
    carriers: async () => (await workers.heartbeat.call('status', {}, CARRIER_ANSWER_MS)).links.map((l) => l.carrier),
    now: () => performance.now(),
    sleep,
  });
  const fencePath = new FencePath({
    power,
    isPartnerHeard: () => pump.state.partnerHeard,
    heardForMs: config.heartbeat.timeoutMs + FLOOR_ALLOWANCE_MS,
    onObserved: (proven, reason) => pump.feed({ kind: 'fencePathObserved', proven, reason }),
  });

  const ups = new UpsWatch({
    read: config.ups.address === '' ? null : () => readUps(config.ups),
    onObserved: (onBattery, low) => pump.feed({ kind: 'upsObserved', onBattery, low }),
    tell: (severity, text) => history.add({ severity, row: null, text }),
    now: () => performance.now(),
  });

  const management = new ManagementPath({
    coServer: config.coServer,
    pairKey,
    address: config.management.address,
    peer: config.management.peer,
    onStatus: (status) => pump.feed({ kind: 'partnerSaid', status, path: 'management' }),
    onPath: (up) => pump.feed({ kind: 'otherPathObserved', up }),
    onProblem: (text) => log('warning', text),
  });

  const incidents = new Incidents({
    coServer: config.coServer,
    history,
    guestConsole: () => engine.guestConsole(),
    send: (text) => control.tell(text),
  });

  let mayEnd = () => {};
  const parts: Parts = {
    config,
    workers,
    engine,
    records,
    witness,
    history,
    incidents,
    trigger,
    watchdog,
    fence,
    sockets,
    disk: { isOpen: false },
    keeping: (progress) => {
      figures.setKeeping(progress);
      changed();
    },
    endProcess: () => mayEnd(),
    say: (status) => {
      workers.heartbeat
        .call('setPayload', { generation: status.record.generation, role: roleNumber(pump.state), revision: status.revision })
        .catch(() => undefined);
      control.say(status);
      management.say(status);
    },
    feed: (event) => pump.feed(event),
    state: () => pump.state,
  };
  const obey = new Obey(parts);
  const points = new RestorePoints({
    me: config.coServer,
    mirror: workers.mirror,
    history,
    schedule: config.restorePoints,
    state: () => pump.state,
    openDisk: () => openDisk(parts, { serves: true }),
    changed,
  });
  figures.points = points;
  const life: StateOptions = {
    me: config.coServer,
    incarnation,
    pairId: config.pair.id,
    version,
    record: records.record,
    links: config.links.length,
    now: performance.now(),
    adoptable,
    canCompare: lockstep,
    arbiters: { witness: true, fence: config.fence.address !== '' },
    compatibleVersions: config.rejoin.compatibleVersions,
    level,
    timing: {
      ...DEFAULT_TIMING,
      leaseMs: config.watchdog.timeoutS * 1000 + LEASE_MARGIN_MS,
      flapLosses: config.rejoin.losses,
      flapWindowMs: config.rejoin.windowMinutes * 60_000,
      quarantineMs: config.rejoin.quarantineMinutes * 60_000,
    },
  };
  let lastPhase: State['phase']['kind'] | null = null;
  const pump = new Pump({
    state: initialState(life),
    effects: obey,
    now: () => performance.now(),
    journal: new Journal(new LineFile(join(config.stateDir, 'events.jsonl'), JOURNAL_BYTES), version, life),
    onState: (state) => {
      const { kind } = state.phase;
      if ((kind === 'duplex' || kind === 'secondary') && kind !== lastPhase) obey.survival.forgetLoss();
      lastPhase = kind;
      witness.setReport(witnessReportOf(state));
      changed();
    },
    onFatal: (e) => fatal('the core', e),
  });

  // Again when a link comes up: a NIC that was down or replaced has lost what it was given.
  const prepareLink = async ({ nic, address }: (typeof config.links)[number]) => {
    for (const problem of [await sortLinkQueue(nic), await acknowledgeAtOnce({ nic, localAddress: address })])
      if (problem) log('warning', problem);
  };
  for (const link of config.links) void prepareLink(link);
  workers.heartbeat.on('link', ({ link, up, silentMs }) => {
    const flapped = config.links[link];
    if (up && flapped) void prepareLink(flapped);
    if (!up) obey.survival.noteLoss();
    control.linkVerdict(link, up);
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
    obey.survival.noteLoss();
    pump.feed({ kind: 'streamLost', stream: 'memory', cause, byPartner, reason });
  });
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
  workers.mirror.on('copiesDiffer', (found) => pump.feed({ kind: 'copiesDiffer', ...found }));
  workers.mirror.on('copies', (found) => pump.feed({ kind: 'copiesObserved', ...found }));

  const measured = workers.heartbeat
    .call('measureJitter', { durationMs: JITTER_MEASUREMENT_MS })
    .then((jitter) =>
      log(
        'info',
        `heartbeat: late by ${jitter.p99Ms.toFixed(1)} ms (p99), ${jitter.maxMs.toFixed(1)} ms (most); no time-out below ${Math.round(jitter.floorMs)} ms is accepted`,
      ),
    );
  const consolesUp = startConsoles({
    config,
    webRoot,
    snapshot: () => figures.snapshot(pump.state),
    onChange: (f) => {
      changes.add(f);
      return () => changes.delete(f);
    },
    points: (verb, name, by, typed) => points.request(verb, name, by, typed),
    request: async (action, _args, by) => {
      const offered = figures.snapshot(pump.state).actions.find((a) => a.name === action);
      if (!offered) return { accepted: false, reason: `There is no action '${action}'.` };
      if (!offered.allowed) return { accepted: false, reason: offered.reason };
      const ofPoint = points.action(action, by);
      if (ofPoint) return await ofPoint;
      pump.feed({ kind: 'operatorRequested', action, by });
      return { accepted: true };
    },
  });
  // A guest that outlived the last process waits with its disk and its network for this one: what can wait, waits.
  await Promise.all([workers.gate.call('open', {}), watchdog.settle(), ...(adoptable ? [] : [measured, consolesUp])]);
  history.add({
    severity: 'info',
    row: null,
    text: `CoServer ${config.coServer} started: generation ${records.record.generation}, ${records.record.standing}.`,
  });
  witness.setReport(witnessReportOf(pump.state));
  pump.start();
  fencePath.start();
  ups.start();
  management.setAlone(!pump.state.partnerHeard);
  const clock = new ClockSource({
    jumped: (byMs) => pump.feed({ kind: 'clockJumped', byMs }),
    synchronised: (is) => history.add({ severity: is ? 'info' : 'warning', row: '30', text: is ? CLOCK_SYNCHRONISED : CLOCK_LOST }),
  });
  const stopClock = clock.start();
  const ticks = setInterval(() => {
    pump.feed({ kind: 'tick' });
    watchdog.tick();
    points.tick(performance.now());
  }, TICK_MS);

  const consoles = await consolesUp;
  const inOrder = Promise.withResolvers<boolean>();
  mayEnd = () => inOrder.resolve(true);
  const end = async (signal: string) => {
    log('info', `${signal}: leaves the partner in order, then ends; an engine that runs here is taken up at the next start`);
    pump.feed({ kind: 'stopRequested' });
    const late = sleep(ORDERLY_STOP_MS, false, { ref: false });
    if (!(await Promise.race([inOrder.promise, late])))
      log('warning', `not in order within ${ORDERLY_STOP_MS / 1000} s (${pump.state.phase.kind}): ends all the same`);
    clearInterval(ticks);
    stopClock();
    pump.stop();
    // Planned: what is left here is an engine whose output nobody lets out.
    await watchdog.arm(false).catch((e: Error) => log('warning', e.message));
    fencePath.stop();
    ups.stop();
    management.close();
    await consoles.close();
    endProcess(0);
  };
  process.once('SIGTERM', () => void end('SIGTERM'));
  process.once('SIGINT', () => void end('SIGINT'));
}

/** The role as a heartbeat frame carries it. */
function roleNumber(s: State): number {
  switch (s.phase.kind) {
    case 'secondary':
    case 'ready':
      return 2;
    case 'duplex':
    case 'running':
    case 'resyncing':
    case 'protecting':
    case 'committing':
    case 'starting':
      return 1;
    case 'failed':
    case 'off':
      return 3;
    default:
      return 0;
  }
}
