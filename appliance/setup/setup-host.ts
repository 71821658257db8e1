// Runs the dialogue on this machine: ports, pairing, disks, files, consoles. It decides nothing itself: it tells the dialogue what is around and
// does what that asks for.
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { hashPassword } from '../console/api/index.ts';
import type { Key } from '../console/serial/keys.ts';
import type { Line } from '../console/serial/layout.ts';
import { AnswerSearch } from './answer-search.ts';
import { type Beacon, NO_IDENTITY, type Stage } from './beacon.ts';
import { setupStep } from './dialogue.ts';
import { findDisks } from './find-disks.ts';
import { findNics } from './find-nics.ts';
import { parseHandOver } from './hand-over.ts';
import { configNow, HardwareReading, type QualifyDoor } from './hardware-reading.ts';
import { ownDocument } from './partner-document.ts';
import { PartnerLine } from './partner-line.ts';
import { setupPicture } from './picture.ts';
import type { Machine } from './plan.ts';
import { SetupPorts } from './ports.ts';
import type { NicFact } from './roles.ts';
import { setClock } from './set-clock.ts';
import { SetupPairing } from './setup-pairing.ts';
import {
  answersOf,
  cablingOf,
  PAGES,
  type SetupDuty,
  type SetupEvent,
  type SetupFacts,
  type SetupForm,
  type SetupState,
  setupStart,
  sideOf,
  type WebAccess,
} from './state.ts';
import { type SetupView, setupView } from './web-view.ts';
import { WriteError, writeFiles } from './write-files.ts';

/** A beacon on every port: soon for people, nothing for a link. */
const TICK_MS = 250;
/** Ports and disks come and go by hand. */
const LOOK_TICKS = 4;
const ANSWERS_TICKS = 12;
/** The first MiB of each is read. */
const DISK_TICKS = 20;
/** After it is written: so that the other one hears that this side was ready. */
const LINGER_MS = 10_000;
/** A secret that differs shows at once; frames that were under way when a code changed do not count. */
const ANOTHER_TICKS = 40;

export interface SetupOptions {
  version: string;
  stateFolder: string;
  runFolder: string;
  /** Null: all ports that are devices. */
  nics: readonly string[] | null;
  /** An answer file; null: where one may be found. */
  answers: string | null;
  machine: Machine;
  qualify: QualifyDoor;
  log: (line: string) => void;
  /** Only for tests: two servers with the same one. Hex. */
  identity?: string;
}

export class SetupHost {
  readonly #options: SetupOptions;
  readonly #identity: string;
  readonly #ports: SetupPorts;
  readonly #pairing: SetupPairing;
  readonly #partner: PartnerLine;
  readonly #hardware: HardwareReading;
  readonly #answers: AnswerSearch;
  readonly #listeners = new Set<() => void>();
  #state: SetupState = setupStart();
  #facts: SetupFacts;
  #tick = 0;
  #sequence = 0;
  #anotherTicks = 0;
  #isLooking = false;
  #timer: NodeJS.Timeout | undefined;
  #resolve: () => void = () => undefined;
  /** The configuration is in place, and the other server knows what it has to. */
  readonly done: Promise<void>;

  constructor(options: SetupOptions) {
    this.#options = options;
    this.#identity = options.identity ?? randomBytes(16).toString('hex');
    const { version, stateFolder, runFolder, machine } = options;
    this.#ports = new SetupPorts((part) => this.#partner.take(part));
    this.#pairing = new SetupPairing(`${stateFolder}/state/pair.key`, () => this.#look());
    this.#partner = new PartnerLine(this.#identity, (value) => parseHandOver(value, configNow(this.#state, this.#facts, NO_IDENTITY)));
    this.#hardware = new HardwareReading(options.qualify, options.log, () => this.#look());
    this.#answers = new AnswerSearch(options);
    this.#facts = {
      version,
      identity: this.#identity,
      nowMs: performance.now(),
      clockMs: Date.now(),
      nics: [],
      heard: [],
      pairing: null,
      keptPairId: this.#pairing.kept()?.pairId ?? null,
      partner: null,
      qualification: null,
      disks: [],
      missing: [],
      machine,
      web: null,
      stateFolder,
      runFolder,
    };
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  async start(): Promise<void> {
    await this.#lookAround();
    this.#timer = setInterval(() => this.#onTick(), TICK_MS);
    this.#onTick();
  }

  /** What every console shows: 24 lines. */
  picture(): Line[] {
    return setupPicture(this.#state, this.#facts);
  }

  /** Answers how to stop listening. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  keys(keys: readonly Key[]): void {
    for (const key of keys) this.#feed({ kind: 'key', key });
  }

  /** What a browser's page shows. */
  view(): SetupView {
    return setupView(this.#state, this.#facts);
  }

  /** False: the page that was filled in is no longer the one that is asked. */
  form(form: SetupForm): boolean {
    if (form.page !== this.#state.page) return false;
    this.#feed({ kind: 'form', form });
    return true;
  }

  nics(): readonly NicFact[] {
    return this.#facts.nics;
  }

  setWeb(web: WebAccess): void {
    this.#facts = { ...this.#facts, web };
    this.#changed();
  }

  /** It has written the configuration itself, or is about to. */
  isWriting(): boolean {
    return this.#state.busy === 'write' || this.#state.page === 'done';
  }

  close(): void {
    clearInterval(this.#timer);
    this.#pairing.close();
    this.#ports.close();
  }

  // ---- around ------------------------------------------------------------------------------------------------------------------

  #onTick(): void {
    this.#tick++;
    if (this.#tick % LOOK_TICKS === 0) void this.#lookAround();
    if (this.#tick % ANSWERS_TICKS === 1) void this.#lookForAnswers();
    this.#ports.look(this.#facts.nics, performance.now());
    this.#say();
    this.#look();
    this.#compareBySecret();
  }

  async #lookAround(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      const nics = await findNics(this.#options.nics);
      const pairId = this.#pairing.kept()?.pairId ?? null;
      const isTime = PAGES.indexOf(this.#state.page) >= PAGES.indexOf('management') && this.#tick % DISK_TICKS === 0;
      const disks =
        isTime || (this.#facts.disks.length === 0 && pairId !== null)
          ? await findDisks({ stateFolder: this.#options.stateFolder, pairId })
          : this.#facts.disks;
      const answers = answersOf(this.#state, this.#facts);
      const missing = [answers['guest.kernel'], answers['guest.initrd']].filter((path) => !existsSync(path));
      this.#facts = { ...this.#facts, nics, disks, missing };
    } catch (error) {
      this.#options.log(`looking for ports and disks: ${(error as Error).message}`);
    } finally {
      this.#isLooking = false;
    }
  }

  /** What has changed, to the dialogue. */
  #look(): void {
    const kept = this.#pairing.kept();
    const heard = this.#ports.heard();
    this.#facts = { ...this.#facts, nowMs: performance.now(), clockMs: Date.now(), heard, keptPairId: kept?.pairId ?? null };
    const side = this.#side();
    if (side) {
      this.#pair(side);
      this.#partner.use(side, kept?.pairKey ?? null);
      if (kept) this.#hardware.read(this.#state, this.#facts, kept.pairId);
      const answers = answersOf(this.#state, this.#facts);
      this.#partner.tell(ownDocument(this.#state, answers, this.#hardware.own, this.#partner.facts?.handOver != null));
    }
    const partner = this.#partner.facts;
    const qualification = partner ? this.#hardware.compare(side ?? 'A', partner.hardware) : null;
    this.#facts = { ...this.#facts, pairing: this.#pairing.view(), partner, qualification };
    this.#feed({ kind: 'looked' });
  }

  #side(): 'A' | 'B' | null {
    return this.#state.isServerChosen ? sideOf(this.#state.values.coServer) : null;
  }

  #pair(coServer: 'A' | 'B'): void {
    if (this.#state.roles === null || PAGES.indexOf(this.#state.page) < PAGES.indexOf('pairing')) return;
    const { roles, cables } = cablingOf(this.#state, this.#facts);
    const nics = this.#facts.nics.filter((n) => roles[n.mac] === 'link1' || roles[n.mac] === 'link2').map((n) => n.name);
    const pairId = this.#pairing.pairIdFor(coServer, this.#identity, cables.partner);
    this.#pairing.wish(pairId === null ? null : { coServer, pairId, nics });
  }

  #stage(): Stage {
    if (this.#state.page === 'done') return 'done';
    if (this.#facts.pairing?.phase === 'paired') return 'paired';
    return this.#state.page === 'pairing' ? 'pairing' : 'asking';
  }

  #say(): void {
    const { roles } = cablingOf(this.#state, this.#facts);
    const { nics } = this.#facts;
    for (const nic of nics) {
      const heard = this.#ports.heardOn(nic.number, this.#identity);
      const beacon: Beacon = {
        identity: this.#identity,
        coServer: this.#side(),
        stage: this.#stage(),
        pairId: this.#facts.keptPairId ?? NO_IDENTITY,
        sequence: this.#sequence++,
        port: nic.number,
        ports: nics.length,
        // What is only proposed is not said: two proposals would chase each other.
        role: this.#state.roles === null ? 'none' : (roles[nic.mac] ?? 'none'),
        name: nic.name,
        heardIdentity: heard?.beacon.identity ?? NO_IDENTITY,
        heardPort: heard?.beacon.port ?? 0,
        proof: this.#pairing.proof(this.#state.file?.secret ?? ''),
      };
      this.#ports.sendBeacon(nic, beacon);
      const role = roles[nic.mac];
      if (role === 'link1' || role === 'link2') for (const part of this.#partner.nextParts()) this.#ports.sendPart(nic, part);
    }
  }

  // ---- the answer file ---------------------------------------------------------------------------------------------------------

  async #lookForAnswers(): Promise<void> {
    if (this.#state.page === 'done') return;
    const found = await this.#answers.look();
    if (found?.kind === 'file') this.#feed({ kind: 'file', file: found.file });
    else if (found) this.#complain(found.problem);
  }

  #complain(message: string): void {
    this.#state = { ...this.#state, file: null, message };
    this.#changed();
  }

  #compareBySecret(): void {
    const secret = this.#state.file?.secret ?? '';
    const { partner } = cablingOf(this.#state, this.#facts).cables;
    const found = this.#pairing.compare(secret, partner?.proof ?? '00'.repeat(32));
    this.#anotherTicks = found === 'another' ? this.#anotherTicks + 1 : 0;
    if (found === 'same') this.#options.log('pairing: both servers show the same code and know the secret');
    if (this.#anotherTicks === ANOTHER_TICKS) {
      this.#options.log('pairing: the other server knows another secret, or shows another code: nothing was kept');
      this.#pairing.differ();
      this.#complain('The other answer file has another pairing.secret, or something stands between the two: compare the codes here.');
    }
  }

  // ---- the dialogue ------------------------------------------------------------------------------------------------------------

  #feed(event: SetupEvent): void {
    const { state, duties } = setupStep(this.#state, event, this.#facts);
    if (state.page !== this.#state.page) this.#options.log(`setup: ${state.page}`);
    this.#state = state;
    for (const duty of duties) this.#obey(duty);
    this.#changed();
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }

  #obey(duty: SetupDuty): void {
    switch (duty.kind) {
      case 'redraw':
        return;
      case 'hash':
        void hashPassword(duty.password).then((hash) => this.#feed({ kind: 'hashed', hash }));
        return;
      case 'setClock':
        void setClock(duty.atMs).then((problem) => this.#feed({ kind: 'clockSet', problem }));
        return;
      case 'confirm':
        this.#pairing.confirm(duty.code);
        return;
      case 'differ':
        this.#pairing.differ();
        return;
      case 'forgetKey':
        this.#pairing.forget();
        this.#partner.use(this.#side() ?? 'A', null);
        return;
      case 'write':
        this.#write(duty.files);
        return;
      default:
        duty satisfies never;
    }
  }

  #write(files: Parameters<typeof writeFiles>[1]): void {
    try {
      writeFiles(this.#options.stateFolder, files);
    } catch (error) {
      if (!(error instanceof WriteError)) throw error;
      this.#options.log(error.message);
      this.#feed({ kind: 'written', problem: error.message });
      return;
    }
    this.#options.log('setup: written');
    this.#feed({ kind: 'written', problem: null });
    const until = performance.now() + LINGER_MS;
    const wait = setInterval(() => {
      const { partner } = cablingOf(this.#state, this.#facts).cables;
      if (partner?.stage !== 'done' && performance.now() < until) return;
      clearInterval(wait);
      this.#resolve();
    }, TICK_MS);
  }
}
