// One seed, one life of a guest and its clients: a LAN that loses, doubles and reorders, connections of every kind opened at
// every moment, up to ten power failures at every phase, then quiet. In the quiet every connection must come to its end.
import { Random } from '../random.ts';
import { Applications, type Service, type Task } from './apps.ts';
import { ask } from './datagram.ts';
import { type Errand, HOSTILE, HOSTILE_AT, Machine } from './machine.ts';
import { Oracle, Violation } from './oracle.ts';
import { type Gates, Pair } from './pair.ts';
import { decode, describe } from './segment.ts';
import { type Profile, Stack } from './stack.ts';
import { Timeline } from './timeline.ts';

export interface Outcome {
  seed: number;
  violation: string | null;
  takeovers: number;
  checkpoints: number;
  tasks: number;
  counts: Record<string, number>;
  story: string[];
}

const GUEST = 2;
const CLIENT = 9;
/** Every connection ends within this time after the last fault: some of the longest retransmission timeouts in a row. */
const QUIET_MS = 40_000;
const SERVICES: readonly Service[] = ['echo', 'echo', 'download', 'sink', 'sink', 'lottery', 'abort'];

export interface Judging {
  keepStory?: boolean;
  /** Judge only by what the applications on both ends see. */
  endsOnly?: boolean;
  /** Intervals of many seconds, and failures late in them: what is wrong only between two checkpoints has time to show itself. */
  longIntervals?: boolean;
}

export function runSeed(seed: number, gates: Gates, { keepStory = false, endsOnly = false, longIntervals = false }: Judging = {}): Outcome {
  const random = new Random(seed);
  const time = new Timeline();
  const oracle = new Oracle(endsOnly);
  const story: string[] = [];
  const tell = (text: string) => {
    if (keepStory) story.push(`${time.now.toFixed(2).padStart(10)} ms  ${text}`);
  };
  const life = new Life(random, time, oracle, gates, tell, keepStory, longIntervals);
  const outcome = (violation: string | null): Outcome => ({
    seed,
    violation,
    takeovers: life.pair.takeovers,
    checkpoints: life.pair.checkpoints,
    tasks: life.tasks.length,
    counts: oracle.counts,
    story,
  });
  try {
    life.run();
    return outcome(null);
  } catch (e) {
    if (!(e instanceof Violation)) throw e;
    tell(`VIOLATION: ${e.message}`);
    return outcome(e.message);
  }
}

class Life {
  readonly pair: Pair;
  readonly tasks: Task[] = [];
  /** The last frame of the client. */
  last: Buffer | null = null;
  readonly #client: Machine;
  readonly #random: Random;
  readonly #time: Timeline;
  readonly #oracle: Oracle;
  readonly #tell: (text: string) => void;
  readonly #log: boolean;
  readonly #guestTasks: number[] = [];
  readonly #clientTasks: number[] = [];
  readonly #faults: number;
  readonly #longIntervals: boolean;
  readonly #lan: { lost: number; doubled: number; late: number; delayMs: number };

  constructor(
    random: Random,
    time: Timeline,
    oracle: Oracle,
    gates: Gates,
    tell: (text: string) => void,
    log: boolean,
    longIntervals: boolean,
  ) {
    this.#longIntervals = longIntervals;
    this.#random = random;
    this.#time = time;
    this.#oracle = oracle;
    this.#tell = tell;
    this.#log = log;
    this.#faults = random.pick([0, 1, 1, 2, 2, 3, 4, 6, 10]);
    const r = random;
    const rough = r.pick([0, 0, 0.002, 0.02, 0.08]);
    this.#lan = { lost: rough, doubled: rough / 2, late: rough, delayMs: r.pick([0.05, 0.3, 2, 10]) };
    const lifeMs = 1500 + this.#faults * (longIntervals ? 2500 : 900);
    const clientErrands = this.#plan(4 + Math.floor(r.next() * (4 + 2 * this.#faults)), lifeMs, true);
    const guestErrands = r.chance(0.6) ? this.#plan(1 + Math.floor(r.next() * 4), lifeMs * 0.8, false) : [];
    const profile = (host: number): Profile => ({
      host,
      mss: r.pick([120, 300, 536, 1000, 1448]),
      timestamps: r.chance(0.85),
      sack: r.chance(0.85),
      oddOptions: r.chance(0.4),
      shortSegments: r.pick([0, 0.05, 0.3]),
    });
    this.#client = new Machine(time, new Stack(profile(CLIENT), new Applications(['peerEcho']), this.#fork()), clientErrands, 1);
    const guest = new Machine(
      time,
      new Stack(profile(GUEST), new Applications(['echo', 'sink', 'lottery', 'abort', 'download']), this.#fork()),
      guestErrands,
      1,
    );
    const spread = r.pick([0, 0.001, 0.03]);
    this.pair = new Pair({
      time,
      random: this.#fork(),
      oracle,
      gates,
      tell,
      guest,
      settings: {
        checkpointEveryMs: r.pick(longIntervals ? [8000, 20_000] : [25, 100, 400, 1500, 4000]),
        linkMs: r.pick([0.02, 0.2, 1, 4]),
        switching: !longIntervals && r.chance(0.2),
        freezing: r.chance(0.2),
        transferMs: r.pick([1, 8, 40]),
        replicaLagMs: r.pick([0, 0, 0, 30]),
        replicaRate: () => r.between(1 - spread, 1 + spread),
        toLan: (frame) => this.#cross(frame, 'guest', (f) => this.#client.receive(f)),
      },
    });
    this.#client.onFrames = (frames) => {
      for (const frame of frames) this.#cross(frame, 'client', (f) => this.pair.fromLan(f));
    };
    if (r.chance(0.5)) this.#questions(lifeMs, r.pick([3, 40]));
    if (r.chance(0.3)) this.#hostility(lifeMs);
    if (log) this.#client.stack.log = (text) => tell(`                    client ${text}`);
    this.#client.start();
  }

  run(): void {
    const r = this.#random;
    this.#until(r.between(0, 300));
    for (let fault = 0; fault <= this.#faults; fault++) {
      this.pair.protect();
      const last = fault === this.#faults;
      // Some seeds fail as soon as there is something to take over, some after whole intervals.
      const after = last ? 200 : r.pick(this.#longIntervals ? [2000, 7000] : [0, 5, 60, 400, 1500]) * r.next();
      this.#wait(20_000, () => this.pair.isProtected || (!last && r.chance(0.0005) && this.pair.killPartner()));
      if (this.pair.phase !== 'partnerLost') {
        this.#until(this.#time.now + after);
        // Some failures are aimed at a checkpoint's phases.
        const aim = r.next();
        if (aim < 0.35 && !last) {
          this.pair.checkpoint('aimed');
          this.#until(this.#time.now + r.between(0, 1) ** 2 * 80);
        }
      }
      if (last) break;
      if (this.pair.phase !== 'partnerLost') {
        const killed = r.chance(0.75) ? this.pair.killOwner() : this.pair.killPartner();
        if (!killed) this.pair.killPartner();
      }
      this.#wait(20_000, () => this.pair.phase === 'solo');
      if (this.pair.phase !== 'solo') this.#oracle.violation(`the pair does not come to rest: ${this.pair.phase}`);
      this.#until(this.#time.now + r.pick([0, 30, 300]) * r.next());
    }
    this.#tell('--- quiet');
    this.#lan.lost = 0;
    this.#wait(QUIET_MS, () => this.#finished());
    const open = this.#unfinished();
    if (open.length > 0) this.#oracle.violation(`${QUIET_MS / 1000} s after the last fault not at their end: ${open.join('; ')}`);
  }

  #until(end: number): void {
    this.#wait(end - this.#time.now, () => false);
  }

  #wait(ms: number, done: () => boolean): void {
    const end = this.#time.now + ms;
    this.#time.run(end, () => {
      this.#verify();
      return done();
    });
  }

  #verify(): void {
    for (const machine of [this.#client, this.pair.owner.guest]) {
      const fault = machine?.stack.memory.faults[0];
      if (fault) this.#oracle.violation(fault);
    }
  }

  #finished(): boolean {
    return this.#client.begun === this.#client.errands.length && this.#unfinished().length === 0;
  }

  #unfinished(): string[] {
    const { owner } = this.pair;
    const text = (m: Machine | null, ids: readonly number[], who: string) =>
      ids
        .filter((id) => !m || !isOver(m, id))
        .map((id) => {
          const task = this.tasks[id];
          const c = [...(m?.stack.memory.connections.values() ?? [])].find((x) => x.app.kind === 'client' && x.app.task.id === id);
          return `${who}'s task ${id} ${task?.service} ${c ? `${c.key} ${c.state} ${c.app.kind === 'client' ? `${c.app.sent}/${c.app.received} of ${task?.size}` : ''}` : 'not begun'}`;
        });
    return [...text(this.#client, this.#clientTasks, 'client'), ...text(owner.guest, this.#guestTasks, 'guest')];
  }

  #plan(count: number, lifeMs: number, client: boolean): Errand[] {
    const r = this.#random;
    // Ports that differ only in their upper byte: a key cut short would mix them up.
    const low = Math.floor(r.next() * 256);
    const ownPort = r.chance(0.5);
    const errands: Errand[] = [];
    for (let i = 0; i < count; i++) {
      const service = client ? r.pick(SERVICES) : 'peerEcho';
      const long = r.chance(0.4);
      const task: Task = {
        id: this.tasks.length,
        service,
        size: service === 'lottery' ? 4 * (1 + Math.floor(r.next() * 40)) : 1 + Math.floor(r.next() * r.pick([10, 2000, 30_000])),
        piece: r.pick([1, 40, 700, 5000]),
        pauseMs: long ? r.pick([1, 20, 150]) : 0,
      };
      if (service === 'abort') task.piece = Math.max(task.piece, 40);
      if (task.piece === 1) task.size = Math.min(task.size, 60);
      if (task.pauseMs > 0) task.piece = Math.max(task.piece, Math.ceil(task.size / Math.max(1, (lifeMs * 0.8) / task.pauseMs)));
      this.tasks.push(task);
      (client ? this.#clientTasks : this.#guestTasks).push(task.id);
      errands.push({
        at: r.between(0, lifeMs),
        task,
        v6: r.chance(0.4),
        peer: client ? GUEST : CLIENT,
        otherPort: 0x100 + this.tasks.length,
        localPort: client ? 0x4000 + ((i * 256) & 0x7fff) + low : ownPort ? 0x9000 + i * 256 + low : 0,
      });
    }
    errands.sort((a, b) => a.at - b.at);
    // The same addresses and ports again: another connection.
    if (client && r.chance(0.5)) {
      for (const [i, e] of errands.entries()) {
        const earlier = errands.slice(0, i).filter((x) => x.task.service === e.task.service);
        if (earlier.length === 0 || r.chance(0.4)) continue;
        const again = r.pick(earlier);
        errands[i] = { ...e, localPort: again.localPort, v6: again.v6 };
      }
    }
    return errands;
  }

  /** Datagrams: nobody waits for an answer, each shows whether the guest's count went back. */
  #questions(lifeMs: number, everyMs: number): void {
    let id = 0;
    const next = () => {
      if (this.#time.now > lifeMs) return;
      this.#cross(ask(CLIENT, GUEST, ++id, id % 5 === 0), 'client', (f) => this.pair.fromLan(f));
      this.#time.in(everyMs * this.#random.between(0, 2), next);
    };
    next();
  }

  /** Frames that somebody made up from others: the guest's NIC drops them, the gates have to look at them. */
  #hostility(lifeMs: number): void {
    const r = this.#random;
    const next = () => {
      if (this.#time.now > lifeMs) return;
      const { last } = this;
      if (last) {
        const f = Buffer.from(r.chance(0.2) ? last.subarray(0, 14 + Math.floor(r.next() * (last.length - 14))) : last);
        for (let flips = Math.floor(r.next() * 4); flips >= 0; flips--) f[Math.floor(r.between(12, f.length))] = Math.floor(r.next() * 256);
        if (r.chance(0.5) && f.length > 48) f[47] = r.pick([1, 2, 4, 18, 20, 17]);
        f[HOSTILE_AT] = HOSTILE;
        this.pair.fromLan(f);
      }
      this.#time.in(r.between(0, 30), next);
    };
    next();
  }

  #cross(frame: Buffer, from: string, arrive: (frame: Buffer) => void): void {
    const r = this.#random;
    const { lost, doubled, late, delayMs } = this.#lan;
    const drop = r.chance(lost);
    if (this.#log) {
      const s = decode(frame);
      if (s && !('wrong' in s)) this.#tell(`${drop ? 'LOST ' : ''}LAN from ${from}: ${describe(s)}`);
    }
    if (from === 'client') this.last = frame;
    if (drop) return;
    const once = () => {
      const delay = delayMs * (r.chance(late) ? r.between(1, 6) : 1) + 0.001 * r.next();
      this.#time.in(delay, () => arrive(Buffer.from(frame)));
    };
    once();
    if (r.chance(doubled)) once();
  }

  #fork(): Random {
    return new Random(Math.floor(this.#random.next() * 0x100000000));
  }
}

/** Closed in order; also while it waits for late segments. */
function isOver(m: Machine, id: number): boolean {
  if (m.stack.memory.notes[`ended ${id}`] !== undefined) return true;
  for (const c of m.stack.memory.connections.values()) {
    if (c.state === 'timeWait' && c.app.kind === 'client' && c.app.task.id === id) return c.app.eof;
  }
  return false;
}
