// What lies between the two CoServers: direct links, which fail in each direction by itself; the ordered streams over them, which
// lose nothing until they break; and the management network, whose datagrams get lost, doubled, late and out of order.
import type { PartnerStatus } from '../../appliance/core/machine.ts';
import type { CoServer } from './side.ts';
import type { World } from './world.ts';

const SILENT_AFTER_MS = 300;
const OTHER_PATH_SILENT_MS = 3_000;

export interface Link {
  /** Frames from A reach B; frames from B reach A. */
  fromA: boolean;
  fromB: boolean;
  /** The cable is in: without it both directions are dead, and a NIC sees it. */
  cable: boolean;
}

interface Message {
  at: number;
  deliver: () => void;
}

export class Network {
  readonly links: Link[] = [
    { fromA: true, fromB: true, cable: true },
    { fromA: true, fromB: true, cable: true },
  ];
  management = true;
  /** Datagrams: share lost, share sent twice, longest delay. */
  loss = 0;
  doubled = 0;
  lateMs = 40;
  /** Added to what goes over the links. */
  delayMs = 0;
  /** Counts the lives of the streams: what was sent in an earlier one never arrives. */
  connection = 0;
  isConnected = false;
  readonly #world: World;
  readonly #streams = { A: [] as Message[], B: [] as Message[] };
  /** Per side and link: the latest look at it; an older one is void. */
  readonly #looks = { A: [0, 0], B: [0, 0] };
  #otherLook = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** Both directions of a link work, and both servers are awake. */
  exchanges(link: number): boolean {
    const l = this.links[link];
    const { A, B } = this.#world.sides;
    return l?.cable === true && l.fromA && l.fromB && A.isAwake && B.isAwake;
  }

  /** Something can pass in both directions now. */
  get passes(): boolean {
    return this.exchanges(0) || this.exchanges(1);
  }

  /** A carrier on this side's direct links: the partner's server has power, and a cable is in. */
  hasCarrier(s: CoServer): boolean {
    return s.partner.powered && (this.links[0]?.cable === true || this.links[1]?.cable === true);
  }

  /** Something changed: both sides will notice, each in its time. */
  changed(): void {
    for (const s of this.#world.both) {
      for (let link = 0; link < this.links.length; link++) this.look(s, link);
    }
    this.#lookAtManagement();
    if (!this.passes) for (const s of this.#world.both) this.#world.checkers.failed(s);
    if (this.passes) {
      this.#pump(this.#world.sides.A);
      this.#pump(this.#world.sides.B);
      this.#connect();
    }
  }

  /** A heartbeat's verdict: up after some exchanges, down after silence, if it is still so then. */
  look(s: CoServer, link: number): void {
    const looks = this.#looks[s.name];
    const look = (looks[link] ?? 0) + 1;
    looks[link] = look;
    if (!s.running) return;
    const up = this.exchanges(link);
    if (s.state.links[link]?.up === up) return;
    const { random } = this.#world;
    // Not where a switch lies between, whose cable to this side is well.
    const dead = this.links[link]?.cable === false && random.chance(0.7);
    // A side that still hears, and is not heard, waits twice as long.
    const isDeaf = !up && !dead && random.chance(0.3);
    const wait = up
      ? random.between(60, 200)
      : dead
        ? random.between(100, 200)
        : SILENT_AFTER_MS * (isDeaf ? 2 : 1) + random.between(0, 60);
    s.at(wait, () => {
      if (this.#looks[s.name][link] !== look || this.exchanges(link) !== up || s.state.links[link]?.up === up) return;
      s.feed({ kind: 'linkObserved', link, up, silentMs: up ? 0 : Math.min(wait, SILENT_AFTER_MS) });
      if (!s.state.links.some((l) => l.up)) this.reset();
      else if (up) this.#connect();
    });
  }

  /** The streams broke: a side gave them up, or a process ended. */
  reset(): void {
    if (!this.isConnected) return;
    this.isConnected = false;
    this.connection++;
    this.#streams.A.length = 0;
    this.#streams.B.length = 0;
    for (const s of this.#world.both) s.at(0, () => s.copy.disconnected());
    this.#world.guests.streamsBroke();
    const { random } = this.#world;
    this.#world.later(random.between(20, 300), () => this.#connect());
  }

  #connect(): void {
    const { A, B } = this.#world.sides;
    if (this.isConnected || !A.running || !B.running || !this.passes) return;
    if (!A.state.links.some((l) => l.up) || !B.state.links.some((l) => l.up)) return;
    this.isConnected = true;
    this.connection++;
    for (const s of this.#world.both) this.say(s, false);
  }

  /** Over the ordered stream to the partner of `s`: in order, once, or not at all. */
  send(s: CoServer, deliver: () => void): void {
    if (!this.isConnected) return;
    const { random, now } = this.#world;
    const queue = this.#streams[s.name];
    const before = queue[queue.length - 1]?.at ?? 0;
    queue.push({ at: Math.max(before, now + random.between(0.1, 4) * this.#world.speeds.network + this.delayMs), deliver });
    if (queue.length === 1) this.#pump(s);
  }

  #pump(s: CoServer): void {
    const queue = this.#streams[s.name];
    const first = queue[0];
    if (!first) return;
    const { connection } = this;
    this.#world.later(Math.max(0, first.at - this.#world.now), () => {
      if (this.connection !== connection || queue[0] !== first) return;
      // What the links cannot carry waits for them: sent again when they are back before anybody gave up.
      if (!this.exchanges(0) && !this.exchanges(1) && !s.partner.asleep) return;
      queue.shift();
      s.partner.at(0, () => {
        if (this.connection === connection) first.deliver();
      });
      this.#pump(s);
    });
  }

  /** The latest status of `s`, over the stream, and over the management network too. */
  say(s: CoServer, overManagement: boolean): void {
    const status = s.said;
    const p = s.partner;
    const { life } = p;
    s.saidAt = this.#world.now;
    this.send(s, () => {
      if (p.life === life) p.feed({ kind: 'partnerSaid', status, path: 'link' });
    });
    if (overManagement && this.management && p.running) this.#datagrams(s, status);
  }

  #datagrams(s: CoServer, status: PartnerStatus): void {
    const { random } = this.#world;
    const p = s.partner;
    const { life } = p;
    for (let copies = random.chance(this.doubled) ? 2 : 1; copies > 0; copies--) {
      if (random.chance(this.loss)) continue;
      this.#world.later(random.between(0.2, this.lateMs), () => {
        if (!this.management || p.life !== life) return;
        p.at(0, () => p.feed({ kind: 'partnerSaid', status, path: 'management' }));
      });
    }
  }

  #lookAtManagement(): void {
    const look = ++this.#otherLook;
    for (const s of this.#world.both) {
      if (!s.running) continue;
      const up = this.management && s.isAwake && s.partner.isAwake;
      if (s.state.otherPathUp === up) continue;
      s.at(up ? 500 : OTHER_PATH_SILENT_MS, () => {
        if (this.#otherLook === look && s.state.otherPathUp !== up) s.feed({ kind: 'otherPathObserved', up });
      });
    }
  }
}
