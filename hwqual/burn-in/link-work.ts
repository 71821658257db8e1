// One link, in a thread of its own: finds the partner, floods it, hears its flood, and both tell each other what came.
//
//   silent --partner heard, our nonce in its mouth--> flooding --time over, or the partner finished--> finished --partner knows--> end
//
// Only a state frame that has our nonce is news: everything else about the partner could be old. A partner with another nonce began anew:
// so do the counts. The partner's flood is heard in every phase.
import { randomBytes } from 'node:crypto';
import {
  BROADCAST_MAC,
  carrier,
  FRAME_MAX_BYTES,
  type FrameSocket,
  type FrameSocketHandlers,
  LENGTH_BYTES,
  macAddress,
  macFromBytes,
  mtuBytes,
  nicExists,
  PacketSocket,
  type PacketSocketOptions,
  readClocks,
  unpackFrames,
} from '../../drivers/ethernet/index.ts';
import { ClockOffsets } from './clock-offsets.ts';
import {
  dataTemplate,
  decodeFlood,
  ETHER_TYPE_DATA,
  ETHER_TYPE_STATE,
  encodeState,
  NONCE_BYTES,
  type Phase,
  type Received,
  type StateFrame,
  sessionToken,
  writeData,
} from './flood-codec.ts';
import { FloodReceiver } from './flood-receiver.ts';
import { growth, type NicGrowth, type NicStatistics, nicSpeedMbps, readNicStatistics, sumOf } from './nic-statistics.ts';

export interface LinkSetup {
  nic: string;
  /** In the configuration, from 0. */
  link: number;
  coServer: 'A' | 'B';
  /** For this purpose only; of an unpaired CoServer: of zeroes. */
  key: Uint8Array;
  answersOnly: boolean;
}

export interface LinkFigures {
  nic: string;
  link: number;
  /** Why there was nothing to test: no such NIC, no carrier. */
  problem: string | null;
  /** So long somebody listened here. */
  listenedMs: number;
  /** Now; null: the NIC does not tell. */
  speedMbps: number | null;
  heardPartner: boolean;
  /** The number that the partner gives the link at the other end. */
  partnerLink: number | null;
  /** The other end is on this very CoServer: its link. */
  ownLink: number | null;
  partnerAnswersOnly: boolean;
  /** The partner spoke last so long before the end; null: never, or it said that it finished. */
  silentMs: number | null;
  restarts: number;
  out: { frames: number; bytes: number; ms: number; sendDropped: number };
  /** What the partner says came of ours; null: it never said, or not to the end. */
  told: Received | null;
  toldIsFinal: boolean;
  in: Received & { ms: number; partnerSendDropped: number };
  foreignFrames: number;
  nicGrowth: NicGrowth;
  clock: { ppm: number; uncertaintyPpm: number } | null;
}

const STATE_MS = 100;
/** Before all others in the NIC's queue. */
const STATE_PRIORITY = 7;
/** After the time is over: frames under way, and the partner's last word. */
const LINGER_MS = 3_000;
/** A partner that says nothing for so long is not there any more: the flood stops until it speaks. */
const SILENT_MS = 2_000;
const FRAMES_PER_BATCH = 64;
const LARGEST_FRAME_BYTES = 9_014;
const TELL_MS = 500;

/** The NIC, so that tests can put a wire of their own below. */
export interface NicDoors {
  exists(nic: string): boolean;
  carrier(nic: string): boolean;
  macAddress(nic: string): string;
  mtuBytes(nic: string): number;
  open(options: PacketSocketOptions, handlers: FrameSocketHandlers): FrameSocket;
  nowUs(): number;
}

const REAL: NicDoors = {
  exists: nicExists,
  carrier,
  macAddress,
  mtuBytes,
  open: (options, handlers) => new PacketSocket(options, handlers),
  nowUs: () => readClocks().rawNs / 1000,
};

export async function linkWork(
  setup: LinkSetup,
  stop: AbortSignal,
  tell: (figures: LinkFigures) => void,
  doors: NicDoors = REAL,
): Promise<LinkFigures> {
  if (!doors.exists(setup.nic)) return { ...nothing(setup), problem: `there is no NIC ${setup.nic} here` };
  const link = new LinkEnd(setup, await readNicStatistics(setup.nic), tell, doors);
  try {
    await link.run(stop);
    return { ...link.figures(), speedMbps: await nicSpeedMbps(setup.nic) };
  } finally {
    link.close();
  }
}

function nothing({ nic, link }: LinkSetup): LinkFigures {
  const received = new FloodReceiver().read(0);
  return {
    nic,
    link,
    problem: null,
    listenedMs: 0,
    speedMbps: null,
    heardPartner: false,
    partnerLink: null,
    ownLink: null,
    partnerAnswersOnly: false,
    silentMs: null,
    restarts: 0,
    out: { frames: 0, bytes: 0, ms: 0, sendDropped: 0 },
    told: null,
    toldIsFinal: false,
    in: { ...received, ms: 0, partnerSendDropped: 0 },
    foreignFrames: 0,
    nicGrowth: growth({}, {}),
    clock: null,
  };
}

interface Partner {
  state: StateFrame;
  heardMs: number;
}

class LinkEnd {
  readonly #setup: LinkSetup;
  readonly #tell: (figures: LinkFigures) => void;
  readonly #before: NicStatistics;
  readonly #doors: NicDoors;
  readonly #data: FrameSocket;
  readonly #states: FrameSocket;
  readonly #mac: string;
  readonly #frameBytes: number;
  readonly #nonce = randomBytes(NONCE_BYTES);
  readonly #figures: LinkFigures;
  readonly #clock = new ClockOffsets();
  #receiver = new FloodReceiver();
  #partner: Partner | null = null;
  #partnerNonce: Buffer = Buffer.alloc(NONCE_BYTES);
  /** What the partner's data frames carry: known with its nonce, since its flood may overtake the state frame that has ours. */
  #session: Buffer | null = null;
  /** The partner's sentUs, and when it came. */
  #echo = { us: 0, atUs: 0 };
  #phase: Phase = 'ready';
  #batch = Buffer.alloc(0);
  #frames: Buffer[] = [];
  #sequence = 0;
  #pending: Buffer = Buffer.alloc(0);
  #floodFromMs = 0;
  #firstDataMs = 0;
  #lastDataMs = 0;
  #pumping = false;
  #droppedBefore = { here: 0, sending: 0 };
  /** The NIC's counters were read after the partner had finished: what is told of its frames is final. */
  #countedAll = false;
  readonly #openedMs = performance.now();
  #counting = false;

  constructor(setup: LinkSetup, before: NicStatistics, tell: (figures: LinkFigures) => void, doors: NicDoors) {
    this.#setup = setup;
    this.#doors = doors;
    this.#before = before;
    this.#tell = tell;
    this.#figures = nothing(setup);
    this.#mac = doors.macAddress(setup.nic);
    this.#frameBytes = Math.min(doors.mtuBytes(setup.nic) + 14, LARGEST_FRAME_BYTES, FRAME_MAX_BYTES);
    // A NIC that goes down: its carrier and its counters tell.
    const onError = (): void => {};
    const onFrames = (batch: Buffer): void => this.#receive(batch);
    const { nic } = setup;
    this.#states = doors.open({ nic, etherType: ETHER_TYPE_STATE, priority: STATE_PRIORITY }, { onFrames, onError });
    this.#data = doors.open({ nic, etherType: ETHER_TYPE_DATA }, { onFrames, onError, onWritable: () => this.#pump() });
  }

  async run(stop: AbortSignal): Promise<void> {
    const over = Promise.withResolvers<void>();
    let endMs = Number.POSITIVE_INFINITY;
    let toldMs = performance.now();
    const beat = setInterval(() => {
      const now = performance.now();
      if (stop.aborted && this.#phase !== 'finished') this.#finish();
      if (this.#phase === 'finished' && endMs === Number.POSITIVE_INFINITY) endMs = now + LINGER_MS;
      if (this.#partner?.state.phase === 'finished' && this.#phase === 'flooding') this.#finish();
      void this.#count();
      this.#sayState();
      if (now - toldMs >= TELL_MS) {
        toldMs = now;
        this.#tell(this.figures());
      }
      // Who only answers goes on for the next one.
      if (stop.aborted && (now >= endMs || this.#isAgreed())) over.resolve();
    }, STATE_MS);
    // The flood waits for writability, never for a timer.
    try {
      await over.promise;
      this.#sayState();
      this.#figures.problem ??= this.#doors.carrier(this.#setup.nic)
        ? null
        : `${this.#setup.nic} has no carrier: is the cable in, and the partner on?`;
    } finally {
      clearInterval(beat);
    }
  }

  /** Nothing more can come: both have finished and both know what the other received. */
  #isAgreed(): boolean {
    const { state } = this.#partner ?? {};
    return this.#phase === 'finished' && state !== undefined && state.phase === 'finished' && state.heardFinished && this.#countedAll;
  }

  figures(): LinkFigures {
    const f = this.#figures;
    const partner = this.#partner;
    f.listenedMs = Math.round(performance.now() - this.#openedMs);
    const partnerFinished = partner?.state.phase === 'finished';
    if (partner) {
      f.told = partner.state.received;
      f.toldIsFinal = partner.state.heardFinished;
      f.silentMs = partnerFinished ? null : Math.round(performance.now() - partner.heardMs);
    }
    f.out.sendDropped = this.#dropped().sending;
    f.in = {
      ...this.#received(),
      ms: Math.round(this.#lastDataMs - this.#firstDataMs),
      partnerSendDropped: partner?.state.sendDropped ?? 0,
    };
    f.clock = this.#clock.drift();
    return f;
  }

  #received(): Received {
    const { state } = this.#partner ?? {};
    return this.#receiver.read(this.#dropped().here, state?.phase === 'finished' ? state.sentFrames : 0);
  }

  /** For want of room, since this partner came: by the socket or the NIC. */
  #dropped(): { here: number; sending: number } {
    const { kernelDropped, sendDropped } = this.#data.statistics();
    const { noRoomReceiving, noRoomSending } = this.#figures.nicGrowth;
    return {
      here: kernelDropped + sumOf(noRoomReceiving) - this.#droppedBefore.here,
      sending: sendDropped + sumOf(noRoomSending) - this.#droppedBefore.sending,
    };
  }

  /** Reads the NIC's counters, one reading at a time. */
  async #count(): Promise<void> {
    if (this.#counting) return;
    this.#counting = true;
    const finished = this.#partner?.state.phase === 'finished';
    this.#figures.nicGrowth = growth(this.#before, await readNicStatistics(this.#setup.nic));
    this.#countedAll ||= finished;
    this.#counting = false;
  }

  close(): void {
    this.#data.close();
    this.#states.close();
  }

  // ---- hearing

  #receive(batch: Buffer): void {
    for (const frame of unpackFrames(batch).frames) {
      const found = decodeFlood(frame, this.#setup.key);
      switch (found.kind) {
        case 'data':
          // The session's bytes say from whom: a letter alone could be anybody's.
          if (this.#session?.equals(found.data.session)) {
            const now = performance.now();
            if (this.#firstDataMs === 0) this.#firstDataMs = now;
            this.#lastDataMs = now;
            this.#receiver.accept(found.data.sequence, frame.length);
          } else this.#figures.foreignFrames++;
          break;
        case 'damaged':
          this.#receiver.damaged();
          break;
        case 'state':
          this.#hear(found.state, macFromBytes(frame, 6));
          break;
        case 'foreign':
          this.#figures.foreignFrames++;
          break;
        default:
          found satisfies never;
      }
    }
  }

  #hear(state: StateFrame, mac: string): void {
    if (state.sender === this.#setup.coServer) {
      this.#figures.ownLink = state.link;
      return;
    }
    if (!state.nonce.equals(this.#partnerNonce)) {
      // Ours is over: what was counted stays.
      if (this.#phase === 'finished') return;
      this.#meet(state);
    }
    if (!state.heardNonce.equals(this.#nonce)) return;
    const now = performance.now();
    const nowUs = this.#doors.nowUs();
    this.#clock.add({ nowUs, echoUs: state.echoUs, heldUs: state.heldUs, sentUs: state.sentUs });
    this.#echo = { us: state.sentUs, atUs: nowUs };
    this.#figures.heardPartner = true;
    this.#figures.partnerLink = state.link;
    this.#figures.partnerAnswersOnly = state.answersOnly;
    this.#partner = { state, heardMs: now };
    if (this.#phase === 'ready' && !this.#setup.answersOnly && state.phase !== 'finished') this.#flood(mac);
    else if (this.#phase === 'flooding') this.#pump();
  }

  /** Somebody new: nothing of what was counted belongs to it. */
  #meet(state: StateFrame): void {
    if (this.#partner) this.#figures.restarts++;
    this.#partnerNonce = state.nonce;
    this.#session = sessionToken(this.#setup.key, state.nonce, this.#nonce);
    this.#partner = null;
    this.#receiver = new FloodReceiver();
    this.#firstDataMs = 0;
    this.#lastDataMs = 0;
    this.#sequence = 0;
    this.#pending = Buffer.alloc(0);
    this.#figures.out = { frames: 0, bytes: 0, ms: 0, sendDropped: 0 };
    this.#countedAll = false;
    const { here, sending } = this.#dropped();
    this.#droppedBefore = { here: this.#droppedBefore.here + here, sending: this.#droppedBefore.sending + sending };
    if (this.#phase === 'flooding') this.#phase = 'ready';
  }

  // ---- saying

  #sayState(): void {
    const { link, coServer, answersOnly, key } = this.#setup;
    const sentUs = this.#doors.nowUs();
    const { state } = this.#partner ?? {};
    const partnerFinished = state?.phase === 'finished';
    const frame = encodeState(
      {
        sender: coServer,
        link,
        nonce: this.#nonce,
        heardNonce: this.#partnerNonce,
        // Who only answers is finished as soon as the other is.
        phase: answersOnly && partnerFinished ? 'finished' : this.#phase,
        answersOnly,
        heardFinished: partnerFinished && this.#countedAll,
        sentUs,
        echoUs: this.#echo.us,
        heldUs: this.#echo.us === 0 ? 0 : sentUs - this.#echo.atUs,
        sentFrames: this.#sequence,
        sendDropped: this.#dropped().sending,
        received: this.#received(),
      },
      key,
      { destination: BROADCAST_MAC, source: this.#mac },
    );
    const batch = Buffer.alloc(LENGTH_BYTES + frame.length);
    batch.writeUInt32BE(frame.length, 0);
    frame.copy(batch, LENGTH_BYTES);
    this.#states.sendBatch(batch);
  }

  #flood(partnerMac: string): void {
    const { link, coServer, key } = this.#setup;
    const session = sessionToken(key, this.#nonce, this.#partnerNonce);
    const template = dataTemplate(this.#frameBytes, { destination: partnerMac, source: this.#mac }, { sender: coServer, link, session });
    const stride = LENGTH_BYTES + template.length;
    this.#batch = Buffer.alloc(FRAMES_PER_BATCH * stride);
    this.#frames = Array.from({ length: FRAMES_PER_BATCH }, (_, i) => {
      this.#batch.writeUInt32BE(template.length, i * stride);
      template.copy(this.#batch, i * stride + LENGTH_BYTES);
      return this.#batch.subarray(i * stride + LENGTH_BYTES, (i + 1) * stride);
    });
    this.#phase = 'flooding';
    this.#floodFromMs = performance.now();
    this.#pump();
  }

  /** A batch, then the event loop's turn: what comes in is read between two of them. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    setImmediate(() => {
      this.#pumping = false;
      if (this.#phase !== 'flooding' || !this.#partner || performance.now() - this.#partner.heardMs > SILENT_MS) return;
      if (this.#pending.length === 0) {
        for (const frame of this.#frames) writeData(frame, this.#sequence++);
        this.#pending = this.#batch;
      }
      const taken = this.#data.sendBatch(this.#pending);
      const { out } = this.#figures;
      const frames = taken / (LENGTH_BYTES + this.#frameBytes);
      out.frames += frames;
      out.bytes += frames * this.#frameBytes;
      out.ms = performance.now() - this.#floodFromMs;
      this.#pending = this.#pending.subarray(taken);
      if (this.#pending.length === 0) this.#pump(); // else onWritable goes on
    });
  }

  #finish(): void {
    // What of the last batch was not taken has never left.
    this.#sequence -= this.#pending.length / (LENGTH_BYTES + this.#frameBytes);
    this.#pending = Buffer.alloc(0);
    this.#phase = 'finished';
  }
}
