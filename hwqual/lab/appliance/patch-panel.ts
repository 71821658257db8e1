// The lab's patch panel: every network port of the machines leads to it, and somebody plugs cables from socket to socket while they run. A frame is a
// datagram on this machine's loopback.
import { createSocket, type Socket } from 'node:dgram';

/** QEMU's end of a port is known once it has sent. */
interface Jack {
  socket: Socket;
  machine: number | null;
}

const LOOPBACK = '127.0.0.1';

/** From port to port; on a port without one nothing is heard. */
export type Cables = readonly (readonly [string, string])[];

export class PatchPanel {
  readonly #jacks = new Map<string, Jack>();
  readonly #other = new Map<string, string>();

  /** @param names Of the ports that lead to it: `A1`. */
  static async make(names: readonly string[]): Promise<PatchPanel> {
    const panel = new PatchPanel();
    for (const name of names) await panel.#add(name);
    return panel;
  }

  /** Where a machine's port sends: of the loopback. */
  portOf(name: string): number {
    return this.#jack(name).socket.address().port;
  }

  /** All other cables are taken out. A cable from a port to itself brings its own frames back. */
  plug(cables: Cables): void {
    this.#other.clear();
    for (const [one, other] of cables) {
      this.#other.set(one, other);
      this.#other.set(other, one);
    }
  }

  close(): void {
    for (const { socket } of this.#jacks.values()) socket.close();
  }

  async #add(name: string): Promise<void> {
    const socket = createSocket('udp4');
    const jack: Jack = { socket, machine: null };
    socket.on('message', (frame, { port }) => {
      jack.machine = port;
      const to = this.#jacks.get(this.#other.get(name) ?? '');
      // As on any wire: what finds nobody is lost.
      if (to && to.machine !== null) to.socket.send(frame, to.machine, LOOPBACK, () => undefined);
    });
    socket.on('error', () => undefined);
    await new Promise<void>((resolve) => socket.bind(0, LOOPBACK, resolve));
    this.#jacks.set(name, jack);
  }

  #jack(name: string): Jack {
    const jack = this.#jacks.get(name);
    if (!jack) throw new Error(`the patch panel has no port ${name}`);
    return jack;
  }
}
