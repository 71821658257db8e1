// A pair and its clients without time: a small model that behaves as it should until told to misbehave.
import type { ChildProcess } from 'node:child_process';
import type { CoServerName, IncidentView, Snapshot, TakeoverView } from '../../../../appliance/core/snapshot.ts';
import type { Clock } from '../../../../hwqual/campaigns/clock.ts';
import type { Break, ColdRecords, CopiesComparison, LabControl, LinkNumber, PairStatus } from '../../../../hwqual/campaigns/lab-control.ts';
import type { Clients } from '../../../../hwqual/lab/clients/controller.ts';
import type {
  ClientSpec,
  ConnectionAge,
  Incident,
  KindReport,
  RecordsReport,
  Sample,
  WindowReport,
} from '../../../../hwqual/lab/clients/protocol.ts';

const DETECTION_MS = 400;
const REJOIN_MS = 5000;

export interface Faults {
  hang?: boolean;
  wrong?: boolean;
  broken?: boolean;
  lose?: boolean;
  unknownRecord?: boolean;
  idle?: boolean;
  noTakeover?: boolean;
  split?: boolean;
  neverDuplex?: boolean;
  noReason?: boolean;
  linkStaysDown?: boolean;
  copiesDiffer?: boolean;
  shutdownFails?: boolean;
  coldLost?: boolean;
  coldDamaged?: boolean;
  clientsDie?: boolean;
  /** A broken replica is not found, or found and not told. */
  breakUnseen?: boolean;
  breakUntold?: boolean;
  breakTold?: IncidentView['kind'];
}

export class FakeClock implements Clock {
  time = 1_800_000_000_000;
  now(): number {
    return this.time;
  }
  async sleep(ms: number): Promise<void> {
    this.time += ms;
  }
  random(): number {
    return 0.5;
  }
}

type Power = 'on' | 'off' | 'frozen';

export class FakeLab implements LabControl {
  readonly clock: FakeClock;
  readonly faults: Faults;
  readonly actions: string[] = [];
  readonly lines: string[] = [];
  killAtPhase?: NonNullable<LabControl['killAtPhase']>;
  #primary: CoServerName = 'A';
  readonly #power: Record<CoServerName, Power> = { A: 'on', B: 'on' };
  readonly #links: Record<LinkNumber, boolean> = { 1: true, 2: true };
  readonly #takeovers: TakeoverView[] = [];
  readonly #incidents: IncidentView[] = [];
  /** When the pair is duplex again; Infinity while something is broken. */
  #duplexAt = 0;
  /** When the survivor has noticed. */
  #aloneAt = Number.POSITIVE_INFINITY;
  guestOff = false;

  constructor(clock: FakeClock, faults: Faults = {}) {
    this.clock = clock;
    this.faults = faults;
  }

  offerPhases(): void {
    this.killAtPhase = async (server, phase) => {
      this.actions.push(`kill ${server} at ${phase}`);
      this.#lose(server);
      return { byte: phase === 'pages' ? 1234 : null, at: this.clock.now() };
    };
  }

  async powerOff(server: CoServerName): Promise<void> {
    this.actions.push(`off ${server}`);
    this.#lose(server);
  }
  async powerOn(server: CoServerName): Promise<void> {
    this.actions.push(`on ${server}`);
    this.#mend(server);
  }
  async freeze(server: CoServerName): Promise<void> {
    this.actions.push(`freeze ${server}`);
    this.#lose(server, 'frozen');
  }
  async thaw(server: CoServerName): Promise<void> {
    this.actions.push(`thaw ${server}`);
    this.#mend(server);
  }

  #lose(server: CoServerName, power: Power = 'off'): void {
    this.#power[server] = power;
    this.#depart(server);
  }

  /** The other one goes on alone. */
  #depart(server: CoServerName): void {
    const survivor = server === 'A' ? 'B' : 'A';
    this.#duplexAt = Number.POSITIVE_INFINITY;
    if (this.faults.noTakeover) return;
    const at = this.clock.now() + DETECTION_MS + 20;
    this.#aloneAt = at;
    const kind = this.#primary === server ? 'takeover' : 'continue';
    this.#primary = survivor;
    if (this.faults.noReason) return;
    const steps = [
      { step: 'partner lost', atMs: 0 },
      { step: 'witness granted', atMs: 20 },
      { step: 'guest runs', atMs: 60 },
    ];
    this.#takeovers.push({
      at,
      coServer: survivor,
      kind,
      reason: `the witness granted generation ${this.#takeovers.length + 2}`,
      row: '5',
      steps,
    });
  }

  #mend(server: CoServerName): void {
    this.#power[server] = 'on';
    this.#duplexAt = this.faults.neverDuplex ? Number.POSITIVE_INFINITY : this.clock.now() + REJOIN_MS;
  }

  async breakGuest(server: CoServerName, how: Break): Promise<string> {
    this.actions.push(`break ${server} ${how}`);
    if (this.faults.breakUnseen) return 'broken';
    this.#duplexAt = this.clock.now() + REJOIN_MS;
    this.#aloneAt = this.clock.now();
    const evidence = ['page 17 since interval 4'];
    if (!this.faults.breakUntold)
      this.#incidents.push({
        at: this.clock.now(),
        coServer: server,
        kind: this.faults.breakTold ?? 'pageDiffers',
        sentence: 'A page differs.',
        evidence,
      });
    return 'broken';
  }

  async link(link: LinkNumber, state: 'up' | 'down'): Promise<void> {
    this.actions.push(`link ${link} ${state}`);
    if (state === 'up' && this.faults.linkStaysDown) return;
    this.#links[link] = state === 'up';
    const cut = !this.#links[1] && !this.#links[2];
    if (cut) this.#depart(this.#primary === 'A' ? 'B' : 'A');
    else if (this.#duplexAt === Number.POSITIVE_INFINITY && this.#power.A === 'on' && this.#power.B === 'on') this.#mend('A');
  }

  async status(): Promise<PairStatus> {
    return { A: this.#snapshot('A'), B: this.#snapshot('B') };
  }

  #snapshot(server: CoServerName): Snapshot | null {
    if (this.#power[server] !== 'on') return null;
    const now = this.clock.now();
    const duplex = now >= this.#duplexAt;
    const running = this.#primary === server && (duplex || now >= this.#aloneAt);
    const primary = running || (this.faults.split === true && !duplex);
    const unused = {
      generation: 1,
      copy: 'upToDate' as const,
      version: '0',
      phase: '',
      sentence: '',
      present: true,
      maintenance: false,
      power: 'mains' as const,
      forced: false,
    };
    return {
      coServer: server,
      at: now,
      uptimeMs: 1,
      redundancy: duplex ? 'duplex' : 'simplex',
      redundancySentence: '',
      singlePoints: [],
      generation: 1,
      arbiter: {
        applies: true,
        kind: 'witness',
        named: null,
        sentence: '',
        changingTo: null,
        witness: { configured: true, usable: true, reason: '', sinceMs: 1 },
        fencePath: { configured: false, proven: false, reason: '', sinceMs: 1 },
        partnerWitness: null,
        partnerFencePath: null,
      },
      attention: [],
      coServers: [{ name: server, role: primary ? 'primary' : 'secondary', ...unused }],
      links: ([1, 2] as const).map((link) => ({
        name: `link ${link}`,
        nic: '',
        up: this.#links[link],
        carrier: true,
        rttMs: 0.1,
        since: 0,
      })),
      workload: {
        name: 'guest',
        state: primary ? 'running' : 'held',
        level: 'faultTolerant',
        addresses: [],
        acceleration: 'tcg',
        sentence: '',
      },
      progress: null,
      checkpoints: { mode: 'passive', interval: 1, perSecond: 1, pauseP50Ms: 1, pauseP99Ms: 1, recent: [] },
      heartbeat: { timeoutMs: 1, floorMs: 1, jitterP99Ms: 1, jitterMaxMs: 1 },
      gate: { heldFrames: 0, oldestHeldMs: 0, bytesInPerS: 0, bytesOutPerS: 0 },
      timeline: this.#takeovers.map(({ at, reason, coServer }) => ({
        at,
        atMs: 0,
        coServer,
        severity: 'critical',
        row: '5',
        text: `${reason} <&>`,
      })),
      lockstep: null,
      audit: null,
      takeovers: [...this.#takeovers],
      incidents: [...this.#incidents],
      process: { rssBytes: 0, cpuPercent: 0 },
      actions: [],
      lab: true,
    };
  }

  async waitDuplex(timeoutS: number): Promise<void> {
    if (this.clock.now() + timeoutS * 1000 < this.#duplexAt) throw new Error('not duplex');
  }
  async execLan(): Promise<{ status: number; stdout: string; stderr: string }> {
    return { status: 0, stdout: '', stderr: '' };
  }
  spawnLan(): ChildProcess {
    throw new Error('the fake has no processes');
  }
  async shutdownGuest(): Promise<void> {
    if (this.faults.shutdownFails) throw new Error('the guest did not power off within 60 s');
    this.guestOff = true;
  }
  async compareCopies(): Promise<CopiesComparison> {
    if (!this.guestOff) throw new Error('the guest still runs');
    return this.faults.copiesDiffer
      ? { identical: false, detail: 'first difference at byte 4096' }
      : { identical: true, detail: 'all bytes equal' };
  }
  async coldRecords(): Promise<ColdRecords> {
    return { clean: !this.faults.coldDamaged, detail: 'fsck output', records: this.faults.coldLost ? [1, 2] : [1, 2, 3] };
  }
  evidencePaths(): string[] {
    return [];
  }
  log(text: string): void {
    this.lines.push(text);
  }
}

export class FakeClients implements Clients {
  readonly samples: Sample[] = [];
  readonly incidents: Incident[] = [];
  readonly #clock: FakeClock;
  readonly #faults: Faults;
  #windows = 0;
  #label = 'start';
  opened: readonly ClientSpec[] = [];

  constructor(clock: FakeClock, faults: Faults = {}) {
    this.#clock = clock;
    this.#faults = faults;
  }

  readonly cohorts = new Map<string, number>();
  takeovers = 0;

  async open(clients: readonly ClientSpec[], cohort = 'first'): Promise<void> {
    if (cohort === 'first') this.opened = clients;
    this.cohorts.set(cohort, (this.cohorts.get(cohort) ?? 0) + clients.length);
  }
  async takeover(): Promise<void> {
    this.takeovers++;
  }
  async ages(): Promise<ConnectionAge[]> {
    return [...this.cohorts.keys()].map((cohort) => this.#age(cohort));
  }
  async retire(cohort: string): Promise<ConnectionAge[]> {
    return this.cohorts.delete(cohort) ? [this.#age(cohort)] : [];
  }
  #age(cohort: string): ConnectionAge {
    return { kind: 'echoTcp', family: 4, cohort, ageMs: 60_000, takeovers: this.takeovers };
  }

  async mark(label: string): Promise<WindowReport> {
    this.#windows++;
    if (this.#faults.clientsDie && this.#windows > 2) throw new Error('the clients ended (status 1)');
    // The first window is before round 1; afterwards each round has two: fault and rejoin.
    const inFault = this.#windows === 2;
    const kind = (stallMs: number): KindReport => ({
      clients: 1,
      operations: this.#faults.idle ? 0 : 100,
      bytes: this.#faults.idle ? 0 : 1000,
      stallMs,
      hung: inFault && this.#faults.hang ? 1 : 0,
      broken: inFault && this.#faults.broken ? 1 : 0,
      wrong: inFault && this.#faults.wrong ? 1 : 0,
      resent: 0,
      latencyMs: { count: 100, p50: 20, p99: 40, max: stallMs },
    });
    const stall = label.endsWith('repair') ? 600 : 150;
    const report: WindowReport = {
      label: this.#label,
      at: this.#clock.now(),
      lengthMs: 1000,
      lagMs: 5,
      kinds: { download: kind(stall), echoUdp: kind(stall + 1000), record: kind(stall / 2) },
    };
    this.#label = label;
    this.samples.push({ at: this.#clock.now(), kinds: { download: { operations: 1, bytes: 500_000, stallMs: stall } } });
    return report;
  }

  async verifyRecords(): Promise<RecordsReport> {
    const lost = this.#faults.lose ? [7] : [];
    return { acknowledged: 3, onDisk: 3, lostCount: lost.length, lost, unknownCount: this.#faults.unknownRecord ? 1 : 0 };
  }
  async acknowledged(): Promise<number[]> {
    return [1, 2, 3];
  }
  async stop(): Promise<void> {}
  async close(): Promise<void> {}
}
