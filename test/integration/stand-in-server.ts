// What a lab of real servers touches of one server, without the server: its BMC (ipmi_sim), the BMC's network cable, its power, its serial line
// (a pair of ptys), and of the product what reads and tells the hardware: readers, ledger, core, history, consoles on the web and on the line,
// and the watch of the way to the partner's BMC. There are no links and no guest: both are always said to be heard.
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MessageChannel } from 'node:worker_threads';
import type { CoServerConfig } from '../../appliance/config.ts';
import { type Event, FRESH_RECORD, initialState, type State, step } from '../../appliance/core/machine.ts';
import type { CoServerName, Snapshot } from '../../appliance/core/snapshot.ts';
import type { HardwareCommands, HardwareEvents } from '../../appliance/hardware/api.ts';
import type { Reader } from '../../appliance/hardware/reader.ts';
import { runHardwareWorker } from '../../appliance/hardware/worker.ts';
import { startConsoles } from '../../appliance/runtime/consoles.ts';
import { partnerPower } from '../../appliance/runtime/effects/partner-power.ts';
import { Figures } from '../../appliance/runtime/figures.ts';
import { History } from '../../appliance/runtime/history.ts';
import { lifeOf } from '../../appliance/runtime/life.ts';
import { FencePath } from '../../appliance/runtime/sources/fence-path.ts';
import { Caller } from '../../appliance/wire/rpc.ts';
import { openIpmi } from '../../drivers/ipmi/index.ts';
import { type Bmc, startBmc } from '../../hwqual/lab/bmc.ts';
import { coServerConfig, type PairSecrets } from '../../hwqual/lab/configuration.ts';
import { bmcEmulation } from '../../hwqual/lab/machines/sensors.ts';
import { SerialLine } from '../../hwqual/lab/serial-line.ts';
import { engineRootPath } from '../../image/engine/engine-root.ts';

export const BMC_USER = { username: 'twinstep', password: 'only-for-tests', cipherSuite: 3 } as const;
const ADDRESS = '127.0.0.1';
const READ_MS = 500;
/** A campaign waits until a server has been up for so long; this one has read everything at once. */
const UP_FOR_MS = 600_000;

export interface StandInPorts {
  /** Of the BMC itself: the server's own way to it. */
  bmc: number;
  /** The end of its network cable: everybody else's way. */
  cable: number;
  web: number;
}

/** A network cable in a BMC: nothing comes through while it is out. */
export class BmcCable {
  #plugged = true;
  readonly #front: Socket;
  readonly #behind = new Map<string, Socket>();

  private constructor(front: Socket, bmcPort: number) {
    this.#front = front;
    front.on('message', (bytes, { address, port }) => {
      if (!this.#plugged) return;
      const from = `${address}:${port}`;
      let socket = this.#behind.get(from);
      if (!socket) {
        socket = createSocket('udp4').on('message', (answer) => {
          if (this.#plugged) front.send(answer, port, address);
        });
        this.#behind.set(from, socket);
      }
      socket.send(bytes, bmcPort, ADDRESS);
    });
  }

  static async at(port: number, bmcPort: number): Promise<BmcCable> {
    const front = createSocket('udp4');
    front.bind(port, ADDRESS);
    await once(front, 'listening');
    return new BmcCable(front, bmcPort);
  }

  plug(isIn: boolean): void {
    this.#plugged = isIn;
  }

  close(): void {
    for (const socket of [this.#front, ...this.#behind.values()]) socket.close();
  }
}

export class StandInServer {
  readonly name: CoServerName;
  readonly bmc: Bmc;
  readonly cable: BmcCable;
  readonly line: SerialLine;
  readonly #power: string;
  readonly #close: (() => unknown)[] = [];

  private constructor(name: CoServerName, bmc: Bmc, cable: BmcCable, line: SerialLine, power: string) {
    this.name = name;
    this.bmc = bmc;
    this.cable = cable;
    this.line = line;
    this.#power = power;
  }

  static async start(
    name: CoServerName,
    directory: string,
    ports: Record<CoServerName, StandInPorts>,
    secrets: PairSecrets,
  ): Promise<StandInServer> {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const power = join(directory, 'power');
    writeFileSync(power, 'on');
    // Of the web console only what programs ask is used.
    writeFileSync(join(directory, 'index.html'), '');
    const own = ports[name];
    const bmc = await startBmc({
      ...{ directory: join(directory, 'bmc'), address: ADDRESS, port: own.bmc, ...BMC_USER },
      power: { kind: 'commands', get: `cat ${power}`, set: `put() { echo "$1" >${power}; }; put` },
      emulation: bmcEmulation({ major: 9, minor: 6 }),
    });
    const line = await SerialLine.open(join(directory, 'serial'), engineRootPath());
    const server = new StandInServer(name, bmc, await BmcCable.at(own.cable, own.bmc), line, power);
    await server.#run(standInConfig(name, directory, ports, secrets, line.coServerEnd), own.bmc);
    return server;
  }

  /** What its BMC last did. */
  get power(): string {
    return readFileSync(this.#power, 'utf8').trim();
  }

  async #run(config: CoServerConfig, bmcPort: number): Promise<void> {
    const watchers = new Set<() => void>();
    const history = await History.open(join(config.stateDir, 'history.jsonl'), config.coServer, () => undefined);
    const figures = new Figures(config, history);
    let state: State = {
      ...initialState(
        lifeOf({ config, version: '1', incarnation: this.name, record: FRESH_RECORD, adoptable: false, now: performance.now() }),
      ),
      partnerHeard: true,
    };
    const feed = (event: Event) => {
      const { state: next, commands } = step(state, event);
      state = next;
      for (const command of commands) if (command.kind === 'record') history.add(command);
      for (const tell of watchers) tell();
    };
    const at = () => performance.now();

    const { port1, port2 } = new MessageChannel();
    const session = await openIpmi({ address: ADDRESS, port: bmcPort, ...BMC_USER });
    const sensors: Reader = {
      source: 'sensors',
      everyMs: READ_MS,
      read: async () => ({ source: 'sensors', sensors: await session.sensorReadings() }),
    };
    const thread = runHardwareWorker({ bmc: '', copy: '', nics: [], stateDir: '' }, port1, [sensors], () =>
      Promise.reject(new Error('no server')),
    );
    const caller = new Caller<HardwareCommands, HardwareEvents>('hardware', port2);
    caller.on('faults', ({ faults }) => feed({ kind: 'faultsObserved', at: at(), faults }));
    const latest = { latest: await caller.call('status', {}) };
    figures.hardware = latest;
    const asking = setInterval(() => {
      void caller.call('status', {}).then((status) => {
        latest.latest = status;
      });
    }, READ_MS);

    const fencePath = new FencePath({
      power: partnerPower(config.fence),
      isPartnerHeard: () => true,
      heardForMs: 0,
      onObserved: (proven, reason) => feed({ kind: 'fencePathObserved', at: at(), proven, reason }),
    });
    fencePath.start();
    const consoles = await startConsoles({
      config,
      webRoot: config.stateDir,
      snapshot: () => standInPicture(figures.snapshot(state)),
      onChange: (f) => {
        watchers.add(f);
        return () => watchers.delete(f);
      },
      request: async () => ({ accepted: false, reason: 'there is nothing to act on here' }),
    });
    this.#close.push(
      () => clearInterval(asking),
      () => fencePath.stop(),
      () => consoles.close(),
      () => thread.stop(),
      () => session.close(),
      () => port1.close(),
    );
  }

  async close(): Promise<void> {
    for (const close of this.#close) await close();
    this.cable.close();
    await this.line.close();
    await this.bmc.stop();
  }
}

function standInPicture(picture: Snapshot): Snapshot {
  const coServers = picture.coServers.map((coServer) => ({ ...coServer, present: true }));
  return { ...picture, uptimeMs: picture.uptimeMs + UP_FOR_MS, coServers: coServers as Snapshot['coServers'] };
}

function standInConfig(
  name: CoServerName,
  directory: string,
  ports: Record<CoServerName, StandInPorts>,
  secrets: PairSecrets,
  serial: string,
): CoServerConfig {
  const workload = {
    acceleration: 'tcg',
    append: '',
    mode: 'lockstep',
    idleMs: 1000,
    diskMiB: 64,
    watchdogS: 10,
    rejoin: { losses: 3, windowMinutes: 60, quarantineMinutes: 120 },
  } as const;
  const config = coServerConfig(name, secrets, workload, { A: ports.A.web, B: ports.B.web });
  const passwordFile = join(directory, 'partner-bmc.password');
  writeFileSync(passwordFile, `${BMC_USER.password}\n`, { mode: 0o600 });
  const { password: _, ...user } = BMC_USER;
  return {
    ...config,
    management: { ...config.management, address: ADDRESS },
    fence: { address: ADDRESS, port: ports[name === 'A' ? 'B' : 'A'].cable, ...user, passwordFile },
    hardware: { watch: 'on', bmc: '' },
    console: { ...config.console, port: ports[name].web, serial, socket: join(directory, 'console.sock') },
    stateDir: directory,
    runDir: directory,
    labSocket: '',
  };
}
