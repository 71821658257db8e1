// The boot of one CoServer, phase by phase: configuration, durable record, worker threads, witness, engine, consoles,
// and then the pump, which from there on decides everything.
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { triggerCheckpoint } from '../../drivers/qemu/index.ts';
import type { CoServerConfig } from '../config.ts';
import { initialState, type State, statusOf } from '../core/machine.ts';
import { witnessReportOf } from '../core/witness.ts';
import type { ChannelSetup, StreamName } from '../wire/channel-setup.ts';
import { IntervalCounter } from '../wire/interval.ts';
import { WitnessClient } from '../witness/client.ts';
import { startConsoles } from './consoles.ts';
import { CheckpointTrigger } from './effects/checkpoint-trigger.ts';
import { Engine } from './effects/engine.ts';
import { acknowledgeAtOnce, sortLinkQueue } from './effects/link-queues.ts';
import { Obey } from './effects/obey.ts';
import { Figures } from './figures.ts';
import { History } from './history.ts';
import { Incidents } from './incidents.ts';
import { LineFile } from './line-file.ts';
import { loadPairKey } from './load-config.ts';
import { log } from './log.ts';
import { raisePriority } from './priority.ts';
import { Pump } from './pump.ts';
import { RecordStore } from './record-store.ts';
import { ControlStream } from './sources/control.ts';
import { startWorkers } from './workers.ts';

const TICK_MS = 50;
const JITTER_MEASUREMENT_MS = 1_000;

export async function runCoServer(config: CoServerConfig, version: string, script: URL): Promise<void> {
  const fatal = (why: string, error: Error): never => {
    log('fatal', `${why}: ${error.stack ?? error.message}`);
    process.exit(70);
  };
  process.on('uncaughtException', (e) => fatal('uncaught', e));
  process.on('unhandledRejection', (e) => fatal('unhandled', e as Error));

  log('info', `Twinstep ${version}, CoServer ${config.coServer}`);
  const ordinary = raisePriority();
  if (ordinary) log('warning', `the process keeps its ordinary priority: ${ordinary}`);
  mkdirSync(config.stateDir, { recursive: true, mode: 0o700 });
  mkdirSync(config.runDir, { recursive: true, mode: 0o700 });
  const pairKey = loadPairKey(config.pair.keyFile);
  const records = await RecordStore.open(join(config.stateDir, 'record'));
  log('info', `record: generation ${records.record.generation}, ${records.record.standing}`);

  const changes = new Set<() => void>();
  const changed = () => {
    for (const f of changes) f();
  };
  const history = await History.open(join(config.stateDir, 'history.jsonl'), config.coServer, changed);
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
  const lockstep = config.checkpoint.mode === 'lockstep';
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
        journalPath: join(config.stateDir, 'intervals.journal'),
        socketPath: sockets.mirror,
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

  const engine = new Engine(config, sockets, {
    exited: (news) => pump.feed({ kind: 'engineExited', ...news }),
    // A replica that only ran ahead into a reboot is set right by the next checkpoint.
    replicaPanicked: (line) => pump.feed({ kind: 'replicaPanicked', reason: line }),
    doesNotEnd: (text) => history.add({ severity: 'critical', row: null, text }),
  });
  const trigger = new CheckpointTrigger(config.checkpoint, () => {
    const monitor = engine.trigger;
    if (monitor)
      triggerCheckpoint(monitor, config.checkpoint.idleMs).catch((e: Error) => log('warning', `checkpoint not triggered: ${e.message}`));
  });
  const incarnation = randomBytes(8).toString('hex');
  let witnessConfirmed: boolean | null = null;
  const witness = new WitnessClient({
    ...config.witness,
    pairId: config.pair.id,
    pairKey,
    coServer: config.coServer,
    incarnation,
    onReachable: (reachable, reason) => {
      figures.setWitness(reachable, reason);
      history.add({
        severity: reachable ? 'info' : 'warning',
        row: reachable ? '10' : '8',
        text: reachable ? 'The witness answers.' : `The witness does not answer: ${reason}.`,
      });
    },
    onStanding: ({ confirmed, doubt }) => {
      if (confirmed === witnessConfirmed) return;
      witnessConfirmed = confirmed;
      const text = confirmed ? 'The witness knows where this pair stands.' : `The witness grants nothing yet: ${doubt}.`;
      history.add({ severity: confirmed ? 'info' : 'warning', row: '10', text });
    },
  });
  const control = new ControlStream(channel('control'), {
    status: (status) => pump.feed({ kind: 'partnerSaid', status }),
    incident: (message) => void incidents.fromPartner(message),
    problem: (text) => history.add({ severity: 'warning', row: null, text }),
  });

  const incidents = new Incidents({
    coServer: config.coServer,
    history,
    guestConsole: () => engine.guestConsole(),
    send: (text) => control.tell(text),
  });

  const journal = new LineFile(join(config.stateDir, 'events.jsonl'));
  const obey = new Obey({
    config,
    workers,
    engine,
    records,
    witness,
    history,
    incidents,
    trigger,
    sockets,
    disk: { isOpen: false },
    say: (status) => {
      workers.heartbeat
        .call('setPayload', { generation: status.record.generation, role: roleNumber(pump.state), revision: status.revision })
        .catch(() => undefined);
      control.say(status);
    },
    feed: (event) => pump.feed(event),
    state: () => pump.state,
  });
  const pump = new Pump({
    state: initialState({
      me: config.coServer,
      incarnation,
      pairId: config.pair.id,
      version,
      record: records.record,
      links: config.links.length,
      now: performance.now(),
      adoptable: await engine.isAdoptable(),
      canCompare: lockstep,
    }),
    effects: obey,
    now: () => performance.now(),
    log: (event, commands) => journal.append({ event, commands: commands.map((c) => c.kind) }),
    onState: (state) => {
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
    if (!up) obey.survival.lossAt = performance.now();
    control.linkVerdict(link, up);
    const told = [
      workers.mirror.call('linkVerdict', { link, up }),
      workers.gate.call('linkVerdict', { link, up }),
      workers.memory.call('linkVerdict', { link, up }),
    ];
    for (const t of told) t.catch(() => undefined);
    pump.feed({ kind: 'linkObserved', link, up, silentMs });
  });
  workers.heartbeat.on('partner', ({ restarted }) => {
    if (restarted) pump.feed({ kind: 'partnerRestarted' });
  });
  workers.heartbeat.on('late', ({ lateMs }) => pump.feed({ kind: 'lateTick', lateMs }));
  workers.heartbeat.on('stranger', ({ link, count }) =>
    history.add({
      severity: 'warning',
      row: null,
      text: `${count} heartbeat frames with another pair's key came over link ${link + 1}: is a foreign CoServer connected there?`,
    }),
  );
  workers.gate.on('status', (status) => {
    const compared = figures.lockstep.observe(status);
    if (compared && pump.state.phase.kind === 'duplex') pump.feed({ kind: 'comparisonObserved', ...compared });
  });
  workers.gate.on('probed', (verdict) => {
    figures.lockstep.probed(verdict);
    const detail = verdict.kind === 'answered' ? '' : `probe ${verdict.probe}: ${verdict.detail}`;
    pump.feed({ kind: 'probed', probe: verdict.probe, outcome: verdict.kind, interval: verdict.interval, detail });
  });
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
    if (obey.survival.lossAt === 0) obey.survival.lossAt = performance.now();
    pump.feed({ kind: 'streamLost', stream: 'memory', cause, byPartner, reason });
  });
  workers.mirror.on('lost', ({ reason }) => pump.feed({ kind: 'streamLost', stream: 'disk', cause: 'channel', byPartner: false, reason }));
  workers.mirror.on('diskError', ({ operation, offset, message }) =>
    pump.feed({ kind: 'diskFailed', reason: `${operation} at ${offset}: ${message}` }),
  );

  const [jitter] = await Promise.all([
    workers.heartbeat.call('measureJitter', { durationMs: JITTER_MEASUREMENT_MS }),
    workers.gate.call('open', {}),
  ]);
  log(
    'info',
    `heartbeat: late by ${jitter.p99Ms.toFixed(1)} ms (p99), ${jitter.maxMs.toFixed(1)} ms (most); no time-out below ${Math.round(jitter.floorMs)} ms is accepted`,
  );
  const consoles = await startConsoles({
    config,
    webRoot: fileURLToPath(new URL('./web', script)),
    snapshot: () => figures.snapshot(pump.state),
    onChange: (f) => {
      changes.add(f);
      return () => changes.delete(f);
    },
    request: async (action) => {
      const offered = figures.snapshot(pump.state).actions.find((a) => a.name === action);
      if (!offered) return { accepted: false, reason: `There is no action '${action}'.` };
      if (!offered.allowed) return { accepted: false, reason: offered.reason };
      pump.feed({ kind: 'operatorRequested', action });
      return { accepted: true };
    },
  });

  history.add({
    severity: 'info',
    row: null,
    text: `CoServer ${config.coServer} started: generation ${records.record.generation}, ${records.record.standing}.`,
  });
  witness.setReport(witnessReportOf(pump.state));
  pump.start();
  control.say(statusOf(pump.state));
  const ticks = setInterval(() => pump.feed({ kind: 'tick' }), TICK_MS);

  const end = async (signal: string) => {
    log('info', `${signal}: stops; the guest's engine runs on and is taken up at the next start`);
    clearInterval(ticks);
    pump.stop();
    await consoles.close();
    process.exit(0);
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
