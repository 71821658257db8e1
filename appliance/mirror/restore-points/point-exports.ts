// Restore points as read-only NBD exports, one socket each, in a folder that only root may enter: qemu-img makes a qcow2 file of
// one, qemu-storage-daemon a file that can be mounted.
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { NbdError, type NbdExport, NbdServer } from '../../../drivers/nbd/index.ts';
import { PointReader } from './point-reader.ts';
import type { PointStore } from './point-store.ts';

/** Nobody is connected for so long: whoever asked for it is gone. */
const UNUSED_MS = 60_000;
const LOOK_EVERY_MS = 5_000;

interface Exported {
  server: NbdServer;
  socketPath: string;
  usedAt: number;
  end(): void;
}

export class PointExports {
  readonly #points: PointStore;
  readonly #directory: string;
  readonly #changed: () => void;
  readonly #exports = new Map<string, Promise<Exported>>();
  readonly #timer: NodeJS.Timeout;

  constructor(points: PointStore, directory: string, changed: () => void) {
    this.#points = points;
    this.#directory = directory;
    this.#changed = changed;
    this.#timer = setInterval(() => void this.#endUnused(), LOOK_EVERY_MS);
    this.#timer.unref();
  }

  /** One that is there already is used by both. Rejects with the reason why the point cannot be read. */
  async open(name: string): Promise<{ socketPath: string; exportName: string; sizeBytes: number }> {
    let opening = this.#exports.get(name);
    if (!opening) {
      opening = this.#open(name);
      this.#exports.set(name, opening);
      opening.catch(() => this.#exports.delete(name));
    }
    const exported = await opening;
    exported.usedAt = performance.now();
    this.#changed();
    return { socketPath: exported.socketPath, exportName: `point-${name}`, sizeBytes: this.#points.sizeBytes };
  }

  async close(name: string): Promise<void> {
    const opening = this.#exports.get(name);
    if (!opening) return;
    this.#exports.delete(name);
    const exported = await opening.catch(() => null);
    await exported?.server.close();
    exported?.end();
    this.#changed();
  }

  async closeAll(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all([...this.#exports.keys()].map((name) => this.close(name)));
  }

  async #open(name: string): Promise<Exported> {
    const entry = this.#points.points.find((p) => p.name === name);
    if (!entry) throw new Error(`there is no restore point '${name}' on this CoServer`);
    const end = this.#points.use(entry.id);
    try {
      const server = new NbdServer(pointExport(name, new PointReader(this.#points, entry.id)), { trouble: () => undefined });
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      const socketPath = join(this.#directory, `${name}.sock`);
      await server.listen(socketPath);
      await chmod(socketPath, 0o600);
      return { server, socketPath, usedAt: performance.now(), end };
    } catch (e) {
      end();
      throw e;
    }
  }

  async #endUnused(): Promise<void> {
    for (const [name, opening] of this.#exports) {
      const exported = await opening.catch(() => null);
      if (!exported) continue;
      if (exported.server.connections > 0) exported.usedAt = performance.now();
      else if (performance.now() - exported.usedAt > UNUSED_MS) await this.close(name);
    }
  }
}

function pointExport(name: string, reader: PointReader): NbdExport {
  const refused = async (): Promise<never> => {
    throw new NbdError('EPERM', 'a restore point cannot be written to');
  };
  return {
    name: `point-${name}`,
    description: `the guest's disk as the restore point '${name}' keeps it`,
    sizeBytes: reader.sizeBytes,
    multiConnection: true,
    readOnly: true,
    read: (offset, length) => reader.read(offset, length),
    write: refused,
    writeZeroes: refused,
    flush: async () => undefined,
  };
}
