// The gate itself: joins the guest's NIC, the business NIC and the partner by the rules of the mode. Only wiring: what may
// leave and when is decided in rules.ts and held-output.ts; sockets are elsewhere and come in as parts.
import type { Channel } from '../../drivers/link/index.ts';
import { RpcError } from '../wire/rpc.ts';
import { Announcer } from './announcer.ts';
import type { GateDrops, GateEvents, GateMode, GateStatus, GuestAddresses } from './api.ts';
import { drainedEngine } from './drained-engine.ts';
import type { EngineLink } from './engine-socket.ts';
import { countFrames, type FrameSink, LENGTH_BYTES } from './frames.ts';
import { GapInputs } from './gap-inputs.ts';
import { GuestAddressBook } from './guest-addresses.ts';
import { InputRing } from './input-ring.ts';
import { filterForGuest } from './lan-filter.ts';
import { LanOutput, PASS_LIMIT_BYTES, RELEASE_LIMIT_BYTES } from './lan-output.ts';
import type { LanPort } from './lan-port.ts';
import type { Through } from './lending.ts';
import { isLendingMessage } from './lending-messages.ts';
import { LentNetwork } from './lent-network.ts';
import type { HoldLimits } from './lockstep/api.ts';
import { LockstepPath } from './lockstep-path.ts';
import { isLockstepMessage } from './partner-lockstep.ts';
import { decodePartnerMessage, encodeAddresses, type PartnerMessage } from './partner-messages.ts';
import { PassivePath } from './passive-path.ts';
import { type GateRules, refusalOf, rulesOf } from './rules.ts';

export interface GateParts {
  lan: LanPort;
  channel: Channel;
  interval: { readonly current: number };
  /** Null: learned. */
  guestMac: string | null;
  /** The gate's path is the one with comparison; without it every frame waits for its commit. Default: false. */
  lockstep?: boolean;
  holdLimits?: HoldLimits | undefined;
  /** Of GateSetup. */
  slowness?: number;
  nowMs(): number;
  emit<K extends keyof GateEvents & string>(name: K, data: GateEvents[K]): void;
}

export class Gate {
  readonly #parts: GateParts;
  readonly #lan: LanOutput;
  readonly #lent: LentNetwork;
  readonly #ring = new InputRing();
  readonly #gap = new GapInputs();
  /** Unused when there is lockstep. */
  readonly #passive: PassivePath;
  /** Null: passive only. */
  readonly #lockstep: LockstepPath | null;
  readonly #book: GuestAddressBook;
  #engine: EngineLink | null = null;
  #mode: GateMode = 'closed';
  #rules: GateRules = rulesOf('closed');
  #problem = '';
  readonly #announcer: Announcer;
  /** The book's revision that the partner has; -1: none. */
  #partnerKnows = -1;
  readonly #drops: GateDrops = {
    heldFull: 0,
    lanFull: 0,
    lanReceive: 0,
    engineFull: 0,
    runts: 0,
    notOwner: 0,
    discarded: 0,
    echoed: 0,
    unrecorded: 0,
  };
  readonly #totals = { framesIn: 0, framesOut: 0, bytesIn: 0, bytesOut: 0 };

  constructor(parts: GateParts) {
    this.#parts = parts;
    this.#book = new GuestAddressBook(parts.guestMac);
    this.#lan = new LanOutput(parts.lan);
    this.#announcer = new Announcer(this.#book, (batch) => this.#send(batch, RELEASE_LIMIT_BYTES));
    this.#lent = new LentNetwork({
      channel: parts.channel,
      book: this.#book,
      emit: (batch) => this.#lan.send(batch, PASS_LIMIT_BYTES),
      heard: (batch) => this.#heard(batch),
      moved: () => {
        if (this.#rules.mayAnnounce) this.#announcer.start();
      },
    });
    this.#passive = new PassivePath({
      channel: parts.channel,
      interval: parts.interval,
      nowMs: parts.nowMs,
      toLan: (batch, frames, limitBytes) => this.#toLan(batch, frames, limitBytes),
      toEngine: (batch) => this.#toEngine(batch),
      emit: (name, data) => parts.emit(name, data),
    });
    this.#lockstep = parts.lockstep ? this.#makeLockstep(parts) : null;
    parts.lan.onFrames((batch) => {
      this.#lent.fromLan(batch);
      // Over the partner's NIC the guest hears all of it: a dying one may still deliver something.
      if (!this.#lent.isRedirected) this.#heard(batch);
    });
    parts.channel.on('message', (message) => this.#fromPartner(message));
    parts.channel.on('up', () => this.#forgetPartner());
    parts.channel.on('reset', () => this.#forgetPartner());
  }

  #makeLockstep(parts: GateParts): LockstepPath {
    return new LockstepPath({
      channel: parts.channel,
      interval: parts.interval,
      holdLimits: parts.holdLimits,
      slowness: parts.slowness ?? 1,
      nowMs: parts.nowMs,
      guest: () => {
        const { mac } = this.#book;
        return mac && { mac, ipv4: this.#book.announceable('v4'), ipv6: this.#book.announceable('v6') };
      },
      toLan: (batch, frames, limitBytes) => this.#toLan(batch, frames, limitBytes),
      toEngine: (batch, frames) => {
        if (this.#rules.input === 'drop' && this.#mode !== 'standby') return;
        if (this.#toEngine(batch)) {
          this.#totals.framesIn += frames;
          this.#totals.bytesIn += batch.length - frames * LENGTH_BYTES;
        } else this.#drops.engineFull += frames;
      },
      emit: (name, data) => parts.emit(name, data),
      problem: (message) => this.problem(message),
    });
  }

  /** The engine's frames come in here. */
  readonly sink: FrameSink = {
    frame: (bytes, offset, length) => {
      if (!this.#lockstep?.isForProbe(bytes, offset, length)) this.#book.learn(bytes, offset, length);
    },
    batch: (batch, frames) => this.#fromEngine(batch, frames),
    runt: () => {
      this.#drops.runts++;
    },
  };

  /** Something that does not stop the gate went wrong: shown with the status. */
  problem(message: string): void {
    this.#problem = message;
  }

  /** The engine's socket exists only after the gate whose sink it feeds. */
  attach(engine: EngineLink): void {
    this.#engine = engine;
  }

  // --- data ---

  #fromEngine(batch: Buffer, frames: number): void {
    if (this.#lockstep && this.#mode !== 'closed') {
      if (this.#mode === 'standby') this.#lockstep.fromReplica(batch);
      else this.#lockstep.fromGuest(batch);
      return;
    }
    this.#drops.notOwner += this.#passive.fromGuest(batch, frames, this.#rules.output);
  }

  #toLan(batch: Buffer, frames: number, limitBytes: number): void {
    if (this.#send(batch, limitBytes)) {
      this.#totals.framesOut += frames;
      this.#totals.bytesOut += batch.length - frames * LENGTH_BYTES;
    } else this.#drops.lanFull += frames;
  }

  /** Over the NIC on which the guest is reached now. */
  #send(batch: Buffer, limitBytes: number): boolean {
    return this.#lent.isRedirected ? this.#lent.send(batch) : this.#lan.send(batch, limitBytes);
  }

  /** Of the LAN, by the NIC on which the guest is reached now. */
  #heard(batch: Buffer): void {
    if (this.#mode === 'standby') {
      for (const run of filterForGuest(batch, this.#book).runs) this.#gap.record(run, this.#parts.nowMs());
      return;
    }
    if (this.#rules.input === 'drop') return;
    const wanted = filterForGuest(batch, this.#book);
    this.#drops.echoed += wanted.echoed;
    if (wanted.frames === 0) return;
    if (this.#lockstep) {
      this.#lockstep.fromLan(wanted.runs);
      return;
    }
    const recorded = this.#rules.input === 'passAndRecord' ? () => this.#observe() : null;
    const { taken, takenBytes, lost } = this.#passive.fromLan(wanted, recorded);
    this.#drops.engineFull += lost;
    this.#totals.framesIn += taken;
    this.#totals.bytesIn += takenBytes;
  }

  #toEngine(batch: Buffer): boolean {
    return this.#engine?.write(batch) ?? false;
  }

  // --- partner ---

  #fromPartner(bytes: Buffer): void {
    if (isLendingMessage(bytes)) {
      try {
        this.#lent.fromPartner(bytes);
      } catch (e) {
        this.problem((e as Error).message);
      }
      return;
    }
    if (this.#rules.partner === 'ignore' && !(this.#lockstep && this.#rules.input === 'passAndRecord')) return;
    let message: PartnerMessage;
    try {
      if (this.#lockstep && isLockstepMessage(bytes)) {
        this.#lockstep.fromPartner(bytes);
        return;
      }
      message = decodePartnerMessage(bytes);
    } catch (e) {
      // The partner is authentic but of another version. Its inputs are only an accelerator: go on without.
      this.problem((e as Error).message);
      return;
    }
    switch (message.kind) {
      case 'inputs':
        this.#gap.partnerFed(this.#parts.nowMs());
        if (this.#lockstep) {
          this.#lockstep.inputsFromPartner(message.interval, message.batch);
          return;
        }
        // A copy: the message may be a small part of a large network buffer, which the ring's limit would not see.
        this.#drops.unrecorded += this.#ring.record(message.interval, Buffer.from(message.batch), message.frames);
        return;
      case 'addresses':
        this.#book.import(message.mac, message.addresses);
        return;
      default:
        message satisfies never;
    }
  }

  #forgetPartner(): void {
    this.#partnerKnows = -1;
  }

  /** To be called some times per second: looks at the counter, tells the partner the guest's addresses when they changed. */
  tick(): void {
    const { channel } = this.#parts;
    this.#observe();
    if (this.#rules.input !== 'passAndRecord' || !channel.isUp || this.#partnerKnows === this.#book.revision) return;
    this.#partnerKnows = this.#book.revision;
    channel.send(encodeAddresses(this.#book.mac, this.#book.export()));
  }

  #observe(): number {
    const interval = this.#parts.interval.current;
    if (this.#lockstep) this.#lockstep.observe();
    else if (this.#mode === 'holding' || this.#mode === 'frozen') this.#passive.held.observe(interval);
    return interval;
  }

  // --- the memory stream's commands ---

  /** Answers when the stopped guest's frames are all here. Rejects when the engine goes on sending. */
  async cut(): Promise<{ heldFrames: number }> {
    this.#observe();
    await drainedEngine(() => this.#engine, 'guest', this.#parts.nowMs);
    return { heldFrames: this.#heldFrames };
  }

  /** Lockstep, REPLY passes. Secondary: answers when the stopped replica's frames are all here and told. */
  async replied(interval: number): Promise<void> {
    if (!this.#lockstep) return;
    if (this.#mode !== 'standby') {
      this.#lockstep.replied(interval);
      return;
    }
    await drainedEngine(() => this.#engine, 'replica', this.#parts.nowMs);
    this.#lockstep.replicaStopped(interval);
  }

  /** Lockstep, secondary: READY passes when this is over. */
  async ready(): Promise<void> {
    if (!this.#lockstep) return;
    if (this.#mode !== 'standby')
      throw new RpcError(`gate: ready while ${this.#mode}: a replica runs behind a gate in standby`, 'WRONG_MODE');
    await this.#lockstep.begun();
    this.#lockstep.replicaLoaded(0);
  }

  get #heldFrames(): number {
    return this.#lockstep ? this.#lockstep.statistics().primary.heldFrames : this.#passive.held.frames;
  }

  commit(interval: number): void {
    switch (this.#mode) {
      case 'holding':
      case 'lockstep':
      case 'frozen':
        if (this.#lockstep) this.#lockstep.commit(interval);
        else this.#passive.commit(interval, this.#mode === 'frozen');
        return;
      case 'standby':
        if (this.#lockstep) this.#lockstep.replicaLoaded(interval);
        this.#ring.forgetBefore(interval);
        return;
      case 'closed':
      case 'solo':
        // The session that it belongs to is over on this side.
        return;
      default:
        this.#mode satisfies never;
    }
  }

  // --- the main thread's commands ---

  setMode(mode: GateMode): void {
    const from = this.#mode;
    if (mode === 'lockstep' && !this.#lockstep)
      throw new RpcError(`gate: ${from} -> lockstep: this gate was set up for passive mode only`, 'WRONG_MODE');
    const refusal = refusalOf(from, mode, this.#heldFrames);
    if (refusal) throw new RpcError(`gate: ${from} -> ${mode}: ${refusal}`, 'HELD_OUTPUT');
    // Told again, a standby begins again: what it recorded belongs to a session that is over.
    if (from === mode && mode !== 'standby') return;
    switch (mode) {
      case 'closed':
      case 'standby':
        this.#discard();
        break;
      case 'holding':
      case 'lockstep':
      case 'frozen':
        if (from !== 'holding' && from !== 'lockstep' && from !== 'frozen') {
          this.#passive.held.begin();
          this.#forgetPartner();
        } else if (mode === 'holding') this.#passive.thaw();
        break;
      case 'solo':
        break;
      default:
        mode satisfies never;
    }
    this.#enter(mode);
    this.#lockstep?.enter(mode, from);
  }

  guestStopped(): void {
    if (!this.#lockstep) throw new RpcError('gate: guestStopped: this gate was set up for passive mode only', 'WRONG_MODE');
    this.#lockstep.guestStopped();
  }

  releaseAll(): { frames: number } {
    if (this.#mode === 'closed' || this.#mode === 'standby') {
      throw new RpcError(`gate: releaseAll while ${this.#mode}: this side does not own the LAN; takeOver does`, 'WRONG_MODE');
    }
    const from = this.#mode;
    const frames = this.#lockstep ? this.#lockstep.releaseAll() : this.#passive.releaseAll();
    this.#enter('solo');
    this.#lockstep?.enter('solo', from);
    return { frames };
  }

  dropAll(): { frames: number } {
    const frames = this.#lockstep ? this.#lockstep.dropAll() : this.#passive.dropAll();
    this.#drops.discarded += frames;
    return { frames };
  }

  takeOver(): { fedFrames: number; addresses: GuestAddresses } {
    if (this.#mode !== 'standby' && this.#mode !== 'solo') {
      throw new RpcError(`gate: takeOver while ${this.#mode}: only a gate in standby takes over`, 'WRONG_MODE');
    }
    const from = this.#mode;
    const recorded = this.#ring.takeAll();
    const gap = this.#gap.takeAll(this.#parts.nowMs());
    this.#enter('solo');
    // First of all the switches: until they have learned, every frame of a client is lost.
    const addresses = this.announce();
    let fedFrames = 0;
    if (this.#lockstep && from === 'standby') {
      this.#lockstep.enter('solo', from);
      fedFrames = this.#lockstep.takeOver();
    }
    for (const { batch, frames } of recorded) {
      if (this.#toEngine(batch)) fedFrames += frames;
      else this.#drops.engineFull += frames;
    }
    for (const batch of gap) {
      fedFrames += countFrames(batch);
      this.#heard(batch);
    }
    return { fedFrames, addresses };
  }

  /** Owner: on which NIC the guest is reached. */
  redirect(through: Through): void {
    if (through === 'partner' && !this.#ownsLan)
      throw new RpcError(`gate: redirect while ${this.#mode}: this side does not speak for the guest`, 'WRONG_MODE');
    // What waits for a dead NIC would be old news when it is back.
    if (through === 'partner' && !this.#lent.isRedirected) this.#drops.lanFull += this.#lan.clear();
    this.#lent.redirect(through);
  }

  /** The partner's guest is reached over the NIC here. */
  lend(lends: boolean): void {
    if (lends && this.#ownsLan)
      throw new RpcError(`gate: lend while ${this.#mode}: the NIC here is needed for the guest that runs here`, 'WRONG_MODE');
    this.#lent.lend(lends);
  }

  get #ownsLan(): boolean {
    return this.#mode !== 'closed' && this.#mode !== 'standby';
  }

  announce(): GuestAddresses {
    if (!this.#rules.mayAnnounce)
      throw new RpcError(`gate: announce while ${this.#mode}: this side does not speak for the guest`, 'WRONG_MODE');
    this.#announcer.start();
    return this.#book.addresses();
  }

  status(): GateStatus {
    const nic = this.#parts.lan.health();
    const lockstep = this.#lockstep?.statistics() ?? null;
    const drops: GateDrops = {
      ...this.#drops,
      heldFull: this.#passive.heldFull + (lockstep?.primary.droppedFull ?? 0),
      lanFull: this.#drops.lanFull + nic.sendLost,
      lanReceive: nic.receiveLost,
      unrecorded: this.#drops.unrecorded + this.#passive.unrecordedFrames + (this.#lockstep?.unrecordedFrames ?? 0),
    };
    return {
      mode: this.#mode,
      engineConnected: this.#engine?.connected ?? false,
      heldFrames: lockstep?.primary.heldFrames ?? this.#passive.held.frames,
      heldBytes: lockstep?.primary.heldBytes ?? this.#passive.held.bytes,
      oldestHeldMs: this.#lockstep?.oldestMs() ?? this.#passive.held.oldestMs(this.#parts.nowMs()),
      recordedFrames: this.#ring.frames,
      ...this.#totals,
      dropped: drops.heldFull + drops.lanFull + drops.lanReceive + drops.engineFull + drops.runts,
      drops,
      addresses: this.#book.addresses(),
      lockstep,
      lending: this.#lent.status(),
      problem: this.#lan.lastError || nic.problem || this.#problem,
    };
  }

  #enter(mode: GateMode): void {
    this.#mode = mode;
    this.#rules = rulesOf(mode);
    if (this.#ownsLan) this.#lent.lend(false);
    else this.#lent.redirect('own');
    this.#passive.discardInputs();
    if (mode !== 'standby') {
      this.#ring.takeAll();
      this.#gap.clear();
    }
    if (!this.#rules.mayAnnounce) this.#announcer.stop();
  }

  /** This side does not own the LAN any more. */
  #discard(): void {
    this.dropAll();
    this.#drops.discarded += this.#lan.clear();
    this.#ring.takeAll();
    this.#gap.clear();
  }
}
