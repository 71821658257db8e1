// A pair of CoServers around one guest: replicas, gates under test, checkpoints with their cuts, power failures, takeovers and
// re-protection in the other direction. The order of events is that of the checkpoint stream; what the gates say to each other
// and what the checkpoint stream says travel on channels of their own, each in order, with no order between them.
import type {
  BaseOffset,
  LockstepPrimaryApi,
  LockstepSecondaryApi,
  PrimaryMessage,
  PrimaryPorts,
  SecondaryMessage,
  SecondaryPorts,
} from '../../../appliance/gate/lockstep/api.ts';
import { Random } from '../random.ts';
import type { Machine } from './machine.ts';
import type { Oracle } from './oracle.ts';
import { Pipe, type Timeline } from './timeline.ts';

export interface Gates {
  primary(ports: PrimaryPorts): LockstepPrimaryApi;
  secondary(ports: SecondaryPorts): LockstepSecondaryApi;
  /** What travels between gates, changed on the way (mutants). */
  base?(base: BaseOffset[]): BaseOffset[];
}

export interface PairSettings {
  checkpointEveryMs: number;
  /** One way between the CoServers. */
  linkMs: number;
  transferMs: number;
  /** Comparison is switched off and on. */
  switching: boolean;
  /** The link is doubted for some time: the primary freezes, nobody dies. */
  freezing: boolean;
  replicaRate: () => number;
  /** A replica that runs cold hears everything up to this much later than the primary. */
  replicaLagMs: number;
  toLan(frame: Buffer): void;
}

type Name = 'A' | 'B';

interface Host {
  name: Name;
  guest: Machine | null;
  primary: LockstepPrimaryApi | null;
  secondary: LockstepSecondaryApi | null;
  /** Frames that the guest gave to its socket and the gate has not read yet. */
  outbox: Buffer[];
  /** Frames that the gate gave to the engine and the guest has not seen yet. */
  inbox: Buffer[];
  alive: boolean;
  /** The interval counter. */
  interval: number;
}

type Phase = 'solo' | 'syncing' | 'protected' | 'checkpoint' | 'partnerLost' | 'ownerLost';

const GATE_TICK_MS = 4;

export class Pair {
  phase: Phase = 'solo';
  owner: Host;
  partner: Host | null = null;
  /** The partner owns this checkpoint and has not loaded it. */
  committed: Machine | null = null;
  takeovers = 0;
  checkpoints = 0;
  /** REPLY passed the primary, its commit did not. */
  cutOpen = false;
  #partnerLoaded = false;
  #session = 0;
  #toPartner: Pipe<() => void> | null = null;
  #toOwner: Pipe<() => void> | null = null;
  #streamDown: Pipe<() => void> | null = null;
  #streamUp: Pipe<() => void> | null = null;
  readonly #time: Timeline;
  readonly #random: Random;
  readonly #oracle: Oracle;
  readonly #gates: Gates;
  readonly #settings: PairSettings;
  readonly #tell: (text: string) => void;

  constructor(parts: {
    time: Timeline;
    random: Random;
    oracle: Oracle;
    gates: Gates;
    settings: PairSettings;
    guest: Machine;
    tell: (text: string) => void;
  }) {
    this.#time = parts.time;
    this.#random = parts.random;
    this.#oracle = parts.oracle;
    this.#gates = parts.gates;
    this.#settings = parts.settings;
    this.#tell = parts.tell;
    this.owner = newHost('A');
    this.owner.primary = this.#newPrimary(this.owner);
    this.#install(this.owner, parts.guest);
    parts.guest.start();
  }

  get isProtected(): boolean {
    return this.phase === 'protected' || this.phase === 'checkpoint';
  }

  /** The guest's state that survives if the owner dies now; null: nothing is protected. */
  get survivor(): Machine | null {
    if (!this.partner || !this.#partnerLoaded) return null;
    return this.committed ?? this.partner.guest;
  }

  fromLan(frame: Buffer): void {
    const { owner } = this;
    if (!owner.alive || !owner.primary) return;
    const before = Buffer.from(frame);
    owner.primary.fromLan(frame, owner.interval);
    if (!before.equals(frame)) this.#oracle.violation('a frame given to fromLan was changed in place');
  }

  // ---- protection

  /** Begins protection of the owner's guest on a partner that has just been switched on. */
  protect(): void {
    if (this.phase !== 'solo') throw new Error(`protect while ${this.phase}`);
    const session = ++this.#session;
    const { owner } = this;
    const partner = newHost(owner.name === 'A' ? 'B' : 'A');
    this.partner = partner;
    this.#partnerLoaded = false;
    this.committed = null;
    this.cutOpen = false;
    this.phase = 'syncing';
    this.#tell(`protect: ${owner.name} -> ${partner.name}`);
    const r = this.#random;
    const delay = () => this.#settings.linkMs * r.between(0.5, 2);
    const run = (task: () => void) => task();
    this.#toPartner = new Pipe(this.#time, delay, run);
    this.#toOwner = new Pipe(this.#time, delay, run);
    this.#streamDown = new Pipe(this.#time, delay, run);
    this.#streamUp = new Pipe(this.#time, delay, run);
    partner.secondary = this.#newSecondary(partner, session);
    owner.interval = 0;
    const guest = owner.guest;
    const primary = owner.primary;
    if (!guest || !primary) throw new Error('the owner has no guest');
    primary.begin(session);
    const current = () => this.#session === session && this.phase === 'syncing';
    this.#time.in(r.between(0, 40), () => {
      if (!current()) return;
      primary.guestStopped();
      this.#time.in(r.chance(0.5) ? 0 : r.between(0, 3), () => {
        if (!current()) return;
        guest.stop();
        this.#drain(owner);
        const copy = guest.copy(this.#fork(), this.#settings.replicaRate());
        this.#time.in(r.between(1, 60), () => {
          if (!current()) return;
          this.#streamDown?.send(() => this.#firstLoad(partner, copy, session));
        });
      });
    });
  }

  #firstLoad(partner: Host, copy: Machine, session: number): void {
    if (!partner.alive) return;
    this.#install(partner, copy);
    this.#run(partner);
    this.#time.in(this.#random.chance(0.5) ? 0 : this.#random.between(0, 2), () => {
      if (this.#session !== session || !partner.alive) return;
      partner.secondary?.onLoaded(0);
      this.#partnerLoaded = true;
      this.#streamUp?.send(() => {
        if (this.#session !== session || this.phase !== 'syncing') return;
        this.#tell('READY');
        this.owner.interval = 1;
        this.#run(this.owner);
        this.phase = 'protected';
        this.#schedule(session, 1);
        this.#tick(session);
        if (this.#settings.switching) this.#switch(session, true);
        if (this.#settings.freezing) this.#doubt(session);
      });
    });
  }

  #schedule(session: number, interval: number): void {
    const every = this.#settings.checkpointEveryMs;
    this.#time.in(this.#random.between(0.5, 1.2) * every, () => {
      if (this.#session === session && this.owner.interval === interval) this.checkpoint('time');
    });
  }

  #tick(session: number): void {
    if (this.#session !== session || !this.isProtected) return;
    this.owner.primary?.tick(this.#time.now);
    this.#time.in(GATE_TICK_MS, () => this.#tick(session));
  }

  #switch(session: number, on: boolean): void {
    if (this.#session !== session || !this.owner.alive) return;
    this.owner.primary?.setComparing(on, this.#time.now);
    this.#time.in(this.#random.between(20, 400), () => this.#switch(session, !on));
  }

  #doubt(session: number): void {
    const { primary } = this.owner;
    this.#time.in(this.#random.between(50, 600), () => {
      if (this.#session !== session || !this.owner.alive) return;
      this.#tell('frozen');
      primary?.freeze(true, this.#time.now);
      this.#time.in(this.#random.between(1, 80), () => {
        if (this.#session !== session || !this.owner.alive) return;
        this.#tell('not frozen');
        primary?.freeze(false, this.#time.now);
        this.#doubt(session);
      });
    });
  }

  checkpoint(cause: string): void {
    const { owner, partner } = this;
    if (this.phase !== 'protected' || !partner) return;
    const n = owner.interval;
    const session = this.#session;
    const r = this.#random;
    this.phase = 'checkpoint';
    this.checkpoints++;
    this.#oracle.count(`checkpoint ${cause}`);
    this.#tell(`checkpoint ${n}: ${cause}`);
    const alive = () => this.#session === session && this.phase === 'checkpoint';
    this.#streamDown?.send(() => {
      if (!partner.alive || !partner.guest) return;
      partner.guest.stop();
      this.#drain(partner);
      partner.secondary?.onStopped(n);
      this.#tell(`REPLY ${n} leaves ${partner.name}`);
      this.#streamUp?.send(() => {
        if (!alive()) return;
        owner.primary?.onReply(n);
        this.cutOpen = true;
        this.#time.in(r.between(0, 5), () => {
          if (!alive() || !owner.alive || !owner.guest) return;
          owner.guest.stop();
          this.#drain(owner);
          owner.interval = n + 1;
          const copy = owner.guest.copy(this.#fork(), this.#settings.replicaRate());
          this.#tell(`VMSTATE_SEND ${n}`);
          this.#time.in(this.#settings.transferMs * r.between(0.2, 1.5), () => {
            if (alive() && owner.alive) this.#streamDown?.send(() => this.#commitPoint(partner, copy, n, session));
          });
        });
      });
    });
  }

  #commitPoint(partner: Host, copy: Machine, n: number, session: number): void {
    if (!partner.alive || this.#session !== session) return;
    this.#tell(`commit point ${n}`);
    this.committed = copy;
    const r = this.#random;
    // The primary releases when it hears of the commit, or only at LOADED.
    const early = r.chance(0.5);
    if (early) this.#streamUp?.send(() => this.#committedAtOwner(n, session));
    this.#time.in(r.between(0, 6), () => {
      if (!partner.alive || this.#session !== session) return;
      this.#install(partner, copy);
      this.committed = null;
      this.#run(partner);
      this.#tell(`${partner.name} runs interval ${n + 1}`);
      this.#time.in(r.chance(0.5) ? 0 : r.between(0, 2), () => {
        if (!partner.alive || this.#session !== session) return;
        partner.secondary?.onLoaded(n);
        this.#tell(`LOADED ${n} leaves ${partner.name}`);
        if (this.phase === 'ownerLost') return;
        this.#streamUp?.send(() => {
          if (!early) this.#committedAtOwner(n, session);
          if (this.#session !== session || this.phase !== 'checkpoint') return;
          const resume = () => {
            if (this.#session !== session || this.phase !== 'checkpoint' || !this.owner.alive) return;
            this.#run(this.owner);
            this.phase = 'protected';
            this.#schedule(session, n + 1);
          };
          if (r.chance(0.5)) resume();
          else this.#time.in(r.between(0, 1), resume);
        });
      });
    });
  }

  #committedAtOwner(n: number, session: number): void {
    const { owner } = this;
    if (this.#session !== session || this.phase !== 'checkpoint' || !owner.alive) return;
    this.#tell(`commit ${n} at ${owner.name}`);
    this.cutOpen = false;
    owner.primary?.onCommit(n, this.#time.now);
  }

  // ---- failures

  /** Power failure of the owner. The partner takes over; answers false when that would lose the guest. */
  killOwner(): boolean {
    const { owner, partner } = this;
    if (!partner?.alive || !this.#partnerLoaded || !this.isProtected) return false;
    const r = this.#random;
    this.#tell(`${owner.name} dies (${this.phase}${this.cutOpen ? ', cut open' : ''}${this.committed ? ', committed' : ''})`);
    this.#oracle.count(`takeover in ${this.phase}${this.committed ? ' committed' : ''}`);
    this.phase = 'ownerLost';
    this.#oracle.ownerDied();
    this.#die(owner);
    this.#toOwner?.cut();
    this.#streamUp?.cut();
    // What was on the way to the partner may arrive, up to some point.
    const cutAt = r.chance(0.5) ? 0 : r.between(0, 2 * this.#settings.linkMs);
    this.#time.in(cutAt, () => {
      this.#toPartner?.cut();
      this.#streamDown?.cut();
      // Nothing new becomes the partner's after this; what it owns is loaded first.
      this.#time.in(r.between(0, 1) < 0.3 ? 0 : r.between(5, 150), () => this.#whenLoaded(partner));
    });
    return true;
  }

  #whenLoaded(partner: Host): void {
    // Rolling forward: a checkpoint that is owned is loaded, which takes at most some ms.
    if (this.committed) {
      this.#time.in(1, () => this.#whenLoaded(partner));
      return;
    }
    this.#time.in(3, () => this.#takeOver(partner));
  }

  #takeOver(partner: Host): void {
    const { secondary, guest } = partner;
    if (!secondary || !guest) throw new Error('no secondary to take over');
    this.#run(partner);
    this.#drain(partner);
    const { base, fedFrames, late, unseen } = secondary.takeOver();
    partner.secondary = null;
    const primary = this.#newPrimary(partner);
    primary.importBase(this.#gates.base?.(base) ?? base);
    partner.primary = primary;
    partner.interval = 0;
    this.owner = partner;
    this.partner = null;
    this.#partnerLoaded = false;
    this.cutOpen = false;
    this.phase = 'solo';
    this.#session++;
    this.takeovers++;
    this.#tell(
      `${partner.name} has taken over: ${base.length} offsets, ${fedFrames} inputs fed, ${late.length} late, ${unseen.length} sent again`,
    );
    for (const frame of late) primary.fromGuest(frame, 0, this.#time.now);
    // What the replica has been given arrives before anything from the LAN.
    this.#deliver(partner);
    this.#oracle.takenOver(guest);
    for (const frame of unseen) this.#release(partner, frame, 'passed');
  }

  /** Power failure of the partner. The owner goes on alone after the arbiter's grant. */
  killPartner(): boolean {
    const { owner, partner } = this;
    if (!partner || this.phase === 'ownerLost' || this.phase === 'partnerLost') return false;
    const r = this.#random;
    const session = ++this.#session;
    this.#tell(`${partner.name} dies (${this.phase})`);
    this.phase = 'partnerLost';
    this.#die(partner);
    for (const pipe of [this.#toPartner, this.#streamDown, this.#streamUp, this.#toOwner]) pipe?.cut();
    this.#time.in(r.between(0, 30), () => {
      if (session !== this.#session) return;
      owner.primary?.freeze(true, this.#time.now);
      this.#run(owner);
      this.#time.in(r.between(0, 100), () => {
        if (session !== this.#session) return;
        this.partner = null;
        this.#partnerLoaded = false;
        this.committed = null;
        this.cutOpen = false;
        this.phase = 'solo';
        this.#tell(`${owner.name} is alone`);
        owner.interval = 0;
        owner.primary?.end();
        const released = owner.primary?.releaseAll() ?? 0;
        owner.primary?.freeze(false, this.#time.now);
        this.#tell(`${released} held frames left`);
      });
    });
    return true;
  }

  #die(host: Host): void {
    host.alive = false;
    host.guest?.stop();
    host.outbox = [];
    host.inbox = [];
  }

  // ---- wiring

  #fork(): Random {
    return new Random(Math.floor(this.#random.next() * 0x100000000));
  }

  #install(host: Host, guest: Machine): void {
    host.guest?.stop();
    if (host.guest) host.guest.onFrames = () => {};
    host.guest = guest;
    guest.stack.log = (text) => this.#tell(`          guest ${host.name} ${text}`);
    guest.onFrames = (frames) => {
      for (const frame of frames) {
        host.outbox.push(frame);
        this.#time.in(this.#random.between(0, 0.2), () => this.#readOne(host));
      }
    };
  }

  /** What waits in the engine's socket is met by the guest that runs now. */
  #run(host: Host): void {
    host.guest?.start();
    this.#time.in(0.05, () => this.#deliver(host));
  }

  #readOne(host: Host): void {
    const frame = host.outbox.shift();
    if (!frame || !host.alive) return;
    if (host.primary) host.primary.fromGuest(frame, host.interval, this.#time.now);
    else host.secondary?.fromReplica(frame);
  }

  #drain(host: Host): void {
    while (host.outbox.length > 0) this.#readOne(host);
  }

  #feed(host: Host, frame: Buffer): void {
    host.inbox.push(Buffer.from(frame));
    const lagMs = host === this.partner ? this.#settings.replicaLagMs : 0;
    this.#time.in(this.#random.between(0, 0.2 + lagMs), () => this.#deliverOne(host));
  }

  #deliverOne(host: Host): void {
    if (!host.alive || !host.guest?.running) return;
    const frame = host.inbox.shift();
    if (frame) host.guest.receive(frame);
  }

  #deliver(host: Host): void {
    while (host.inbox.length > 0 && host.guest?.running) this.#deliverOne(host);
  }

  #release(host: Host, frame: Buffer, by: Parameters<PrimaryPorts['release']>[1]): void {
    if (host !== this.owner || !host.alive) return;
    this.#oracle.released(frame, by, this.isProtected || this.phase === 'partnerLost' ? this.survivor : null, this.cutOpen);
    this.#settings.toLan(Buffer.from(frame));
  }

  #newPrimary(host: Host): LockstepPrimaryApi {
    return this.#gates.primary({
      release: (frame, by) => this.#release(host, frame, by),
      feed: (frame) => this.#feed(host, frame),
      toPartner: (message) => {
        const copy = copyOf(message);
        this.#toPartner?.send(() => this.partner?.alive && this.partner.secondary?.fromPartner(copy));
      },
      wantCheckpoint: (cause) => this.checkpoint(cause),
    });
  }

  #newSecondary(host: Host, session: number): LockstepSecondaryApi {
    return this.#gates.secondary({
      feed: (frame) => this.#feed(host, frame),
      toPartner: (message) => {
        if (!host.alive) return;
        const copy: SecondaryMessage = { ...message, frame: Buffer.from(message.frame) };
        this.#toOwner?.send(() => {
          if (this.#session === session && this.owner.alive) this.owner.primary?.fromPartner(copy, this.#time.now);
        });
      },
    });
  }
}

function copyOf(m: PrimaryMessage): PrimaryMessage {
  if (m.kind === 'input') return { ...m, frame: Buffer.from(m.frame) };
  if (m.kind === 'begin') return { ...m, base: m.base.map((b) => ({ ...b })) };
  return { ...m };
}

function newHost(name: Name): Host {
  return { name, guest: null, primary: null, secondary: null, outbox: [], inbox: [], alive: true, interval: 0 };
}
