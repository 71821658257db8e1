// The boot of one CoServer, phase by phase: configuration, durable record, worker threads, witness, engine, consoles,
// and then the pump, which from there on decides everything.
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { triggerCheckpoint } from '../../drivers/qemu/index.ts';
import type { CoServerConfig } from '../config.ts';
import { initialState, type State } from '../core/machine.ts';
import { witnessReportOf } from '../core/witness.ts';
import { readBurnInFloor, withBurnInFloor } from '../heartbeat/burn-in-floor.ts';
import { IntervalCounter } from '../wire/interval.ts';
import { type ConsolesOptions, startConsoles } from './consoles.ts';
import { CheckpointTrigger } from './effects/checkpoint-trigger.ts';
import { takeEndedItself } from './effects/end-server.ts';
import { Engine } from './effects/engine.ts';
import { Fence } from './effects/fence.ts';
import { Obey } from './effects/obey.ts';
import { partnerPower } from './effects/partner-power.ts';
import { openDisk, type Parts } from './effects/parts.ts';
import { endProcess } from './end-process.ts';
import { Figures } from './figures.ts';
import { History } from './history.ts';
import { Incidents } from './incidents.ts';
import { Journal } from './journal.ts';
import { keeperOf } from './keeper.ts';
import { lifeOf } from './life.ts';
import { LineFile } from './line-file.ts';
import { loadPairKey } from './load-config.ts';
import { log } from './log.ts';
import { operatorRequests } from './operator-requests.ts';
import { configDuringUpdate, levelDuringUpdate, type PairUpdate, placeOfUpdates, startPairUpdate } from './pair-update.ts';
import { raisePriority } from './priority.ts';
import { type NewEvent, Pump } from './pump.ts';
import { RecordStore } from './record-store.ts';
import { startReplacing } from './replacing.ts';
import { RestorePoints } from './restore-points.ts';
import { roleNumber } from './role-number.ts';
import { settingsOf, whyBusy } from './settings.ts';
import { followClock } from './sources/clock.ts';
import { ControlStream } from './sources/control.ts';
import { FencePath } from './sources/fence-path.ts';
import { HardwareWatch } from './sources/hardware.ts';
import { ManagementPath } from './sources/management-path.ts';
import { QualificationWatch, type Qualifier } from './sources/qualification.ts';
import { watchUps } from './sources/ups.ts';
import { WitnessSight } from './sources/witness-sight.ts';
import { followWorkers } from './sources/worker-news.ts';
import { becomePaired } from './unpaired.ts';
import { startUpdateHealth } from './update-health.ts';
import { doesWitnessKey } from './witness-key.ts';
import { channelOf, hardwareSetup, workerSetups } from './worker-setups.ts';
import { startWorkers } from './workers.ts';

const TICK_MS = 50;
/** Of events, twice (the file and the one before it): some days of a quiet pair, and hours of a troubled one. */
const JOURNAL_BYTES = 16 << 20;
const JITTER_MEASUREMENT_MS = 1_000;
/** What a thread is asked first waits for its start, however slow the machine is; a thread that ends instead is told by itself. */
const NO_LIMIT = Number.POSITIVE_INFINITY;
/** The heartbeat answers in a millisecond; a fence must not hang on it. */
const CARRIER_ANSWER_MS = 2_000;
/** A dead partner is heard for the heartbeat's time-out, which a busy machine's own lateness may have raised. */
const FLOOR_ALLOWANCE_MS = 2_000;
/** Asked to end, what is shared with the partner ends in order first: a planned takeover, or its yield. Longer, and it ends all the same. */
const ORDERLY_STOP_MS = 8_000;

/** @param configFile Where `configured` was read. @param qualifier How servers are compared; null: nobody asks. */
export async function runCoServer<F extends object>(
  configured: CoServerConfig,
  configFile: string,
  version: string,
  script: URL,
  qualifier: Qualifier<F> | null,
): Promise<void> {
  const fatal = (why: string, error: Error): never => {
    log('fatal', `${why}: ${error.stack ?? error.message}`);
    endProcess(70);
  };
  process.on('uncaughtException', (e) => fatal('uncaught', e));
  process.on('unhandledRejection', (e) => fatal('unhandled', e as Error));

  log('info', `Twinstep ${version}, CoServer ${configured.coServer}`);
  const place = placeOfUpdates();
  const { config: updated, told: updateTold } = configDuringUpdate(configured, place);
  const { config, told: burnInTold } = withBurnInFloor(updated, readBurnInFloor(configured.stateDir));
  const ordinary = raisePriority();
  if (ordinary) log('warning', `the process keeps its ordinary priority: ${ordinary}`);
  mkdirSync(config.stateDir, { recursive: true, mode: 0o700 });
  mkdirSync(config.runDir, { recursive: true, mode: 0o700 });
  const webRoot = fileURLToPath(new URL('./web', script));
  const updateHealth = startUpdateHealth(config.console.socket);
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
  for (const text of [burnInTold, updateTold]) if (text) history.add({ severity: 'warning', row: null, text });
  const ended = await takeEndedItself(config.stateDir);
  if (ended)
    history.add({
      severity: 'critical',
      row: '17',
      text: `This server had ended itself: ${ended.reason}. Look at it before it is trusted again.`,
    });
  updateHealth.tellTo(history);
  const figures = new Figures(config, history);

  const interval = new IntervalCounter();
  const sockets = {
    gate: join(config.runDir, 'net.sock'),
    mirror: join(config.runDir, 'disk.sock'),
    source: join(config.runDir, 'mig-out.sock'),
    incoming: join(config.runDir, 'mig-in.sock'),
  };
  // Before the threads start: from there to the listeners below nothing is awaited, so none of their news is missed.
  const engine = new Engine(config, sockets, {
    exited: (news) => pump.feed({ kind: 'engineExited', ...news }),
    // A replica that only ran ahead into a reboot is set right by the next checkpoint.
    replicaPanicked: (line) => pump.feed({ kind: 'replicaPanicked', reason: line }),
    doesNotEnd: (text) => history.add({ severity: 'critical', row: null, text }),
  });
  const adoptable = await engine.isAdoptable();
  const workers = startWorkers(script, workerSetups({ config, pairKey, interval, sockets, adoptable }), (role, error) =>
    fatal(`the ${role} thread ended`, error),
  );
  figures.follow(workers, changed);

  const watchdog = keeperOf(config.watchdog, workers, history, (ok, reason) =>
    pump.feed({ kind: 'commandFinished', command: 'armWatchdog', ok, reason }),
  );

  const trigger = new CheckpointTrigger(config.checkpoint, () => {
    const monitor = engine.trigger;
    if (monitor)
      triggerCheckpoint(monitor, config.checkpoint.idleMs).catch((e: Error) => log('warning', `checkpoint not triggered: ${e.message}`));
  });
  const incarnation = randomBytes(8).toString('hex');
  const witness = new WitnessSight({
    ...config.witness,
    pairId: config.pair.id,
    pairKey,
    coServer: config.coServer,
    incarnation,
    observed: (usable, reason) => pump.feed({ kind: 'witnessObserved', usable, reason }),
  });
  const control = new ControlStream(channelOf(config, pairKey, 'control'), {
    status: (status) => {
      qualification.partnerIs(status.incarnation);
      pump.feed({ kind: 'partnerSaid', status, path: 'link' });
    },
    incident: (message) => void incidents.fromPartner(message),
    facts: (message) => qualification.partnerTold(message),
    settings: (message) => void settings.heard(message),
    problem: (text) => history.add({ severity: 'warning', row: null, text }),
  });

  const qualification = new QualificationWatch({
    qualifier,
    coServer: config.coServer,
    incarnation,
    stateDir: config.stateDir,
    tell: (text) => control.tellFacts(text),
    judged: (q) => pump.feed({ kind: 'qualificationJudged', qualification: q }),
    history,
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

  const ups = watchUps(config.ups, history, (onBattery, low) => pump.feed({ kind: 'upsObserved', onBattery, low }));
  const hardware = new HardwareWatch({
    script,
    setup: hardwareSetup(config),
    onFaults: (faults) => pump.feed({ kind: 'faultsObserved', faults }),
    now: () => performance.now(),
  });
  figures.hardware = hardware;
  figures.qualification = qualification;

  const management = new ManagementPath({
    coServer: config.coServer,
    pairKey,
    address: config.management.address,
    peer: config.management.peer,
    onStatus: (status) => pump.feed({ kind: 'partnerSaid', status, path: 'management' }),
    onPath: (up) => pump.feed({ kind: 'otherPathObserved', up }),
    onProblem: (text) => log('warning', text),
    onStranger: (bytes) => replacement.stranger(bytes),
  });

  const incidents = new Incidents({
    coServer: config.coServer,
    history,
    guestConsole: () => engine.guestConsole(),
    send: (text) => control.tell(text),
  });

  let mayEnd = () => {};
  let end: (why: string) => Promise<void> = async () => endProcess(0);
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
  const replacement = startReplacing({
    config: configured,
    configFile,
    pairKey,
    power,
    history,
    engine,
    hardware: () => qualification.latest?.own ?? null,
    state: () => pump.state,
    changed,
    end: (why) => void end(why),
  });
  figures.replacement = replacement;
  const settings = settingsOf({
    config: configured,
    configFile,
    history,
    state: () => pump.state,
    whyBusy: () => whyBusy(replacement, pairUpdate?.updater ?? null),
    levelAtStart: (level) => levelDuringUpdate(level, place),
    changed,
    tell: (text) => control.tell(text),
    takePassword: (hash, session) => void consolesUp.then((consoles) => consoles.setPassword(hash, session ?? '')),
    takeWitness: (place) => witness.moveTo(place),
    takePeer: (address) => management.moveTo(address),
    end: (why) => void end(why),
  });
  figures.settings = settings;
  const life = lifeOf({ config, version, incarnation, record: records.record, adoptable, now: performance.now() });
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

  const onLinkUp = () => qualification.linkUp();
  let pairUpdate: PairUpdate | null = null;
  const onLinkVerdict = (link: number, up: boolean) => pairUpdate?.linkVerdict(link, up);
  const { survival } = obey;
  followWorkers({ config, workers, pump, history, figures, trigger, control, management, survival, onLinkUp, onLinkVerdict });

  const measured = workers.heartbeat
    .call('measureJitter', { durationMs: JITTER_MEASUREMENT_MS }, NO_LIMIT)
    .then((jitter) =>
      log(
        'info',
        `heartbeat: late by ${jitter.p99Ms.toFixed(1)} ms (p99), ${jitter.maxMs.toFixed(1)} ms (most); no time-out below ${Math.round(Math.max(jitter.floorMs, config.heartbeat.smallestTimeoutMs ?? 0))} ms is accepted`,
      ),
    );
  const listening: ConsolesOptions = {
    config,
    webRoot,
    settings,
    snapshot: () => figures.snapshot(pump.state),
    onChange: (f) => {
      changes.add(f);
      return () => changes.delete(f);
    },
    points: (verb, name, by, typed) => points.request(verb, name, by, typed),
    qualification: () => qualification.latest,
    pairUpdate: () => pairUpdate?.updater ?? null,
    request: operatorRequests(
      () => figures.snapshot(pump.state).actions,
      [
        doesWitnessKey(config, pairKey, history),
        (a, by) => points.action(a, by),
        (a, by) => replacement.action(a, by),
        (a, by) => settings.action(a, by),
      ],
      (action, by) => pump.feed({ kind: 'operatorRequested', action, by }),
    ),
  };
  const consolesUp = settings.settle().then(() => startConsoles(listening));
  // A guest that outlived the last process waits with its disk and its network for this one: what can wait, waits.
  await Promise.all([workers.gate.call('open', {}, NO_LIMIT), watchdog.settle(), ...(adoptable ? [] : [measured, consolesUp])]);
  history.add({
    severity: 'info',
    row: null,
    text: `CoServer ${config.coServer} started: generation ${records.record.generation}, ${records.record.standing}.`,
  });
  witness.setReport(witnessReportOf(pump.state));
  pump.start();
  fencePath.start();
  ups.start();
  hardware.start();
  qualification.start();
  management.setAlone(!pump.state.partnerHeard);
  const stopClock = followClock(history, (byMs) => pump.feed({ kind: 'clockJumped', byMs }));
  const ticks = setInterval(() => {
    pump.feed({ kind: 'tick' });
    watchdog.tick();
    points.tick(performance.now());
  }, TICK_MS);

  if (place) {
    const { level } = configured.workload;
    const snapshot = () => figures.snapshot(pump.state);
    const parts = { config, level, place, pairKey, history, snapshot, state: () => pump.state, feed: (e: NewEvent) => pump.feed(e) };
    pairUpdate = await startPairUpdate(parts);
    figures.update = pairUpdate.updater;
  }
  const consoles = await consolesUp;
  settings.start();
  const inOrder = Promise.withResolvers<boolean>();
  mayEnd = () => inOrder.resolve(true);
  let isEnding = false;
  end = async (why) => {
    if (isEnding) return;
    isEnding = true;
    log('info', `${why}: leaves the partner in order, then ends; an engine that runs here is taken up at the next start`);
    pump.feed({ kind: 'stopRequested' });
    const late = sleep(ORDERLY_STOP_MS, false, { ref: false });
    if (!(await Promise.race([inOrder.promise, late])))
      log('warning', `not in order within ${ORDERLY_STOP_MS / 1000} s (${pump.state.phase.kind}): ends all the same`);
    clearInterval(ticks);
    stopClock();
    pump.stop();
    // Planned: what is left here is an engine whose output nobody lets out.
    await watchdog.arm(false).catch((e: Error) => log('warning', e.message));
    replacement.stop();
    settings.stop();
    fencePath.stop();
    ups.stop();
    qualification.stop();
    await Promise.all([hardware.stop(), pairUpdate?.stop()]);
    management.close();
    await consoles.close();
    endProcess(0);
  };
  process.once('SIGTERM', () => void end('SIGTERM'));
  process.once('SIGINT', () => void end('SIGINT'));
}
