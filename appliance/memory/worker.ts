// The memory stream's worker: one channel for the life of the process, one session after the other on it.
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { setTrafficClass } from '../../drivers/ethernet/index.ts';
import { type Channel, PairChannel } from '../../drivers/link/index.ts';
import type { CutCommands } from '../gate/api.ts';
import type { CommitCommands } from '../mirror/api.ts';
import { type ChannelSetup, STREAM_PORTS, STREAM_PRIORITIES } from '../wire/channel-setup.ts';
import { IntervalCounter } from '../wire/interval.ts';
import { deriveKey } from '../wire/keys.ts';
import { Caller, type Port, serve } from '../wire/rpc.ts';
import type { MemoryCommands, MemoryEvents, MemorySetup, MemoryStatus } from './api.ts';
import { type GuestMemory, GuestRam } from './audit/guest-ram.ts';
import { SourceAudit } from './audit/source-audit.ts';
import { TargetAudit } from './audit/target-audit.ts';
import { decodeMessage, encodeMessage, type MemoryMessage } from './messages.ts';
import { PowerTrap } from './power-trap.ts';
import type { Session, SessionSurroundings } from './session.ts';
import { SourceSession } from './source.ts';
import { TargetSession } from './target.ts';

/** The gate drains a socket whose sender is stopped: ms. Longer means it is gone. */
const CUT_TIMEOUT_MS = 5_000;
/** The mirror flushes a journal: as long as a disk may take. */
const COMMIT_TIMEOUT_MS = 30_000;
/** Both CoServers are up when a protection begins; the link's connections take ms, after a loss at most some retries. */
const LINK_TIMEOUT_MS = 10_000;
const STATUS_EVERY_MS = 1_000;

function openChannel(setup: ChannelSetup): Channel {
  return new PairChannel({
    side: setup.side,
    port: STREAM_PORTS.memory,
    links: setup.links,
    key: deriveKey(setup.pairKey, 'stream:memory'),
    onSocket: (fd) => setTrafficClass(fd, STREAM_PRIORITIES.memory),
  });
}

/**
 * Serves MemoryCommands on `port`; calls the gate on `cutPort` and the mirror on `commitPort`.
 * @param open The channel to the partner: another one in tests.
 */
export function runMemoryWorker(
  setup: MemorySetup,
  port: Port,
  cutPort: Port,
  commitPort: Port,
  open: (setup: ChannelSetup) => Channel = openChannel,
): void {
  const channel = open(setup.channel);
  const gate = new Caller<CutCommands, Record<string, never>>('gate', cutPort);
  const mirror = new Caller<CommitCommands, Record<string, never>>('mirror', commitPort);
  const interval = new IntervalCounter(setup.interval);
  let session: Session | undefined;
  let ram: GuestRam | undefined;

  const { slowness = 1 } = setup;
  const cutWithinMs = CUT_TIMEOUT_MS * slowness;
  const plain: SessionSurroundings = {
    interval,
    send: (message) => channel.send(...encodeMessage(message)),
    emit: (name, data) => {
      if (name === 'lost') ram?.close();
      emit(name, data);
    },
    cut: (n) => gate.call('cut', { interval: n }, cutWithinMs),
    replied: setup.lockstep ? (n) => gate.call('replied', { interval: n }, cutWithinMs) : null,
    ready: setup.lockstep ? () => gate.call('ready', {}, cutWithinMs) : null,
    commitOutput: (n) => gate.call('commit', { interval: n }, cutWithinMs),
    decide: (n) => mirror.call('decide', { interval: n }, COMMIT_TIMEOUT_MS),
    apply: (n) => mirror.call('apply', { interval: n }, COMMIT_TIMEOUT_MS),
    nowMs: () => performance.now(),
    slowness,
  };
  const trap = setup.powerTrap ? new PowerTrap(setup.powerTrap) : null;
  const around = trap?.around(plain, () => session?.role) ?? plain;

  const endSession = async () => {
    const ending = session;
    session = undefined;
    await ending?.close();
    ram?.close();
    ram = undefined;
    interval.current = 0;
  };

  /** A session begun towards a partner that is gone would be lost as soon as the next one connects. */
  const linkUp = async () => {
    if (channel.isUp) return;
    const limit = AbortSignal.timeout(LINK_TIMEOUT_MS);
    await once(channel, 'up', { signal: limit }).catch(() => {
      throw new Error(`memory stream: no link to the partner within ${LINK_TIMEOUT_MS} ms: is it running, with this pair's key?`);
    });
  };

  const status = (): MemoryStatus => ({
    role: session?.role ?? 'none',
    phase: session?.phase ?? 'idle',
    committed: session?.committed ?? 0,
    loaded: session?.loaded ?? 0,
    checkpoints: session?.checkpoints ?? 0,
    transferredBytes: session?.transferredBytes ?? 0,
    audit: session?.audit ?? null,
  });

  const openRam = (memory: GuestMemory | undefined): GuestRam | null => {
    ram = memory && new GuestRam(memory);
    return ram ?? null;
  };

  const target = (command: string): TargetSession => {
    if (session instanceof TargetSession) return session;
    throw new Error(`memory stream: '${command}' is for the secondary, the role here is '${session?.role ?? 'none'}'`);
  };

  const handlers: MemoryCommands = {
    async startSource({ guestMemory, sampleMs }) {
      await endSession();
      await linkUp();
      const reader = openRam(guestMemory);
      const audit = guestMemory && reader ? new SourceAudit(guestMemory.sizeBytes, reader, around.nowMs, sampleMs) : null;
      const earlyAcknowledge = !setup.lockstep && (setup.earlyAcknowledge ?? true);
      const options = { socketPath: setup.sourceSocketPath, session: randomInt(1, 2 ** 32), earlyAcknowledge, audit };
      const source = new SourceSession(around, options);
      session = source;
      await source.listen();
    },
    async startTarget({ guestMemory, sampleMs }) {
      await endSession();
      await linkUp();
      const reader = openRam(guestMemory);
      const audit =
        guestMemory && reader ? new TargetAudit(guestMemory.sizeBytes, reader, around.nowMs, setup.lockstep === true, sampleMs) : null;
      session = new TargetSession(around, { socketPath: setup.incomingSocketPath, audit });
      emit('phase', { role: 'target', phase: 'listening' });
    },
    async releaseReady() {
      if (!(session instanceof SourceSession))
        throw new Error(`memory stream: no READY is held, the role here is '${session?.role ?? 'none'}'`);
      session.releaseReady();
    },
    async commitFinal() {
      if (!(session instanceof SourceSession))
        throw new Error(`memory stream: 'commitFinal' is for the primary, the role here is '${session?.role ?? 'none'}'`);
      return session.commitFinal();
    },
    async rollForward() {
      return target('rollForward').rollForward();
    },
    async detach() {
      target('detach').detach();
    },
    stop: endSession,
    linkVerdict: ({ link, up }) => channel.linkVerdict(link, up),
    status,
  };
  const emit = serve<MemoryCommands, MemoryEvents>(port, handlers);

  const onMessage = (bytes: Buffer) => {
    let message: MemoryMessage;
    try {
      message = decodeMessage(bytes);
    } catch (error) {
      session?.lose('protocol', (error as Error).message);
      return;
    }
    if (message.kind === 'begin' && !(session instanceof TargetSession)) {
      // Nobody here awaits a stream: the primary must not wait for it.
      around.send({ kind: 'end', session: message.session, cause: 'channel', reason: 'no secondary awaits the stream on the partner' });
      return;
    }
    trap?.incoming(message);
    session?.onMessage(message);
  };
  channel.on('message', onMessage);
  channel.on('drain', () => session?.onDrain());
  channel.on('reset', (reason) => {
    if (session && session.phase !== 'listening') session.lose('channel', `the link's session ended: ${reason}`);
  });
  setInterval(() => {
    if (session) emit('status', status());
  }, STATUS_EVERY_MS).unref();
}
