// The gate's worker thread: opens the sockets, answers the main thread and the memory stream.
import { carrier, setTrafficClass } from '../../drivers/ethernet/index.ts';
import { type Channel, PairChannel } from '../../drivers/link/index.ts';
import { STREAM_PORTS, STREAM_PRIORITIES } from '../wire/channel-setup.ts';
import { IntervalCounter } from '../wire/interval.ts';
import { deriveKey } from '../wire/keys.ts';
import { type Port, RpcError, serve } from '../wire/rpc.ts';
import type { CutCommands, GateCommands, GateEvents, GateSetup } from './api.ts';
import { EngineSocket } from './engine-socket.ts';
import { openEthernetLanPort } from './ethernet-lan-port.ts';
import { Gate } from './gate.ts';
import type { LanPort } from './lan-port.ts';

/** Carrier and the partner's copy of the addresses are looked at this often. */
const TICK_MS = 100;
const STATUS_EVERY_TICKS = 10;
/** Inputs are only an accelerator: what the links do not take within some ms is skipped rather than queued. */
const CHANNEL_WINDOW_BYTES = 2 * 1024 * 1024;
/** What the replica says is needed, and comes in bursts: as much as a checkpoint's pause holds back. */
const LOCKSTEP_WINDOW_BYTES = 8 * 1024 * 1024;

/** What a test may put in place of the machine's own. */
export interface GateEdges {
  openLan(nic: string): LanPort;
  openChannel(setup: GateSetup): Channel;
  /** Throws when the NIC is gone. */
  carrier(nic: string): boolean;
}

export const MACHINE_EDGES: GateEdges = { openLan: openEthernetLanPort, openChannel, carrier };

/** Serves GateCommands on `port` and CutCommands on `cutPort`. Nothing is opened before the command `open`. */
export function runGateWorker(setup: GateSetup, port: Port, cutPort: Port, edges: GateEdges = MACHINE_EDGES): void {
  let opened: { gate: Gate; channel: Channel } | null = null;
  const get = (): { gate: Gate; channel: Channel } => {
    if (!opened) throw new RpcError(`gate: not open: the command 'open' comes first`, 'NOT_OPEN');
    return opened;
  };
  let opening: Promise<void> | null = null;

  const open = async (): Promise<void> => {
    const lan = edges.openLan(setup.nic);
    const channel = edges.openChannel(setup);
    const interval = new IntervalCounter(setup.interval);
    const { guestMac = null, lockstep = false, holdLimits, slowness = 1 } = setup;
    const gate = new Gate({ lan, channel, interval, guestMac, lockstep, holdLimits, slowness, nowMs: () => performance.now(), emit });
    try {
      gate.attach(await EngineSocket.listen(setup.socketPath, { sink: gate.sink, broken: (reason) => gate.problem(reason) }));
    } catch (e) {
      lan.close();
      await channel.close();
      throw e;
    }
    opened = { gate, channel };
    tick(gate);
  };

  const hasCarrier = (): boolean => {
    try {
      return edges.carrier(setup.nic);
    } catch {
      return false; // the NIC is gone: that is what the event says
    }
  };

  const tick = (gate: Gate): void => {
    let wasUp: boolean | null = null;
    let ticks = 0;
    const beat = (): void => {
      const up = hasCarrier();
      if (up !== wasUp) {
        wasUp = up;
        emit('carrier', { up });
      }
      gate.tick();
      if (ticks++ % STATUS_EVERY_TICKS === 0) emit('status', gate.status());
    };
    beat();
    setInterval(beat, TICK_MS);
  };

  const emit = serve<GateCommands, GateEvents>(port, {
    open: () => {
      opening ??= open().catch((e) => {
        opening = null;
        throw e;
      });
      return opening;
    },
    setMode: async ({ mode }) => get().gate.setMode(mode),
    guestStopped: async () => get().gate.guestStopped(),
    releaseAll: async () => get().gate.releaseAll(),
    dropAll: async () => get().gate.dropAll(),
    takeOver: async () => get().gate.takeOver(),
    announce: async () => get().gate.announce(),
    redirect: async ({ through }) => get().gate.redirect(through),
    lend: async ({ lends }) => get().gate.lend(lends),
    linkVerdict: ({ link, up }) => get().channel.linkVerdict(link, up),
    status: () => get().gate.status(),
  });
  serve<CutCommands, Record<string, never>>(cutPort, {
    cut: () => get().gate.cut(),
    commit: ({ interval }) => get().gate.commit(interval),
    replied: ({ interval }) => get().gate.replied(interval),
    ready: async () => get().gate.ready(),
  });
}

function openChannel(setup: GateSetup): Channel {
  const { side, links, pairKey, stream } = setup.channel;
  if (stream !== 'network') throw new Error(`gate: the channel of the stream 'network' is needed, not '${stream}'`);
  const key = deriveKey(pairKey, 'stream:network');
  return new PairChannel({
    side,
    links,
    key,
    port: STREAM_PORTS.network,
    onSocket: (fd) => setTrafficClass(fd, STREAM_PRIORITIES.network),
    windowBytes: setup.lockstep ? LOCKSTEP_WINDOW_BYTES : CHANNEL_WINDOW_BYTES,
  });
}
