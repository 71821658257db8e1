// A disk with restore points on stores that lose, keep or tear what was not flushed.
import { CATALOGUE_BYTES } from '../../../../../appliance/mirror/restore-points/catalogue.ts';
import { openPoints } from '../../../../../appliance/mirror/restore-points/open-points.ts';
import type { PointFolder } from '../../../../../appliance/mirror/restore-points/point-folder.ts';
import { PointReader } from '../../../../../appliance/mirror/restore-points/point-reader.ts';
import type { PointStore } from '../../../../../appliance/mirror/restore-points/point-store.ts';
import { GRAIN_BYTES } from '../../../../../appliance/mirror/restore-points/segment-codec.ts';
import type { BlockStore } from '../../../../../drivers/block/index.ts';
import { LosableStore, Power } from '../losable-store.ts';

/** The last grain is a short one. */
export const DISK_BYTES = 3 * GRAIN_BYTES + 3000;

export interface PointImages {
  disk: Buffer;
  catalogue: Buffer;
  files: Map<string, Buffer>;
}

export const blankImages = (): PointImages => ({
  disk: Buffer.alloc(DISK_BYTES, 0xee),
  catalogue: Buffer.alloc(CATALOGUE_BYTES),
  files: new Map(),
});

export type Lie = 'none' | 'disk' | 'files' | 'catalogue';

export class PointMachine {
  readonly power: Power;
  readonly disk: LosableStore;
  readonly catalogue: LosableStore;
  readonly files = new Map<string, LosableStore>();
  readonly told: string[] = [];
  freeBytes = Number.MAX_SAFE_INTEGER;
  /** Files are removed when it ends. */
  hung: Promise<void> = Promise.resolve();
  /** Put between the points and their files, or the disk. */
  around: (store: BlockStore, what: 'disk' | 'file') => BlockStore = (store) => store;
  readonly #lie: Lie;

  constructor(images: PointImages, power: Power, lie: Lie = 'none') {
    this.power = power;
    this.#lie = lie;
    this.disk = new LosableStore(power, images.disk, lie === 'disk');
    this.catalogue = new LosableStore(power, images.catalogue, lie === 'catalogue');
    for (const [id, b] of images.files) this.files.set(id, new LosableStore(power, b, lie === 'files'));
  }

  open(more: { maximumBytes?: number; saveWithinMs?: number; closeWithinMs?: number; disk?: string } = {}): Promise<PointStore> {
    return openPoints({
      below: this.around(this.disk, 'disk'),
      disk: more.disk ?? 'this one',
      catalogue: this.catalogue,
      folder: this.folder,
      maximumBytes: more.maximumBytes ?? 64 * 1024 * 1024,
      reserveBytes: 0,
      told: (text) => this.told.push(text),
      ...(more.saveWithinMs === undefined ? {} : { saveWithinMs: more.saveWithinMs }),
      ...(more.closeWithinMs === undefined ? {} : { closeWithinMs: more.closeWithinMs }),
    });
  }

  get folder(): PointFolder {
    return {
      refusal: '',
      open: async (id) => {
        const file = this.files.get(id);
        return file ? this.around(file, 'file') : null;
      },
      create: async (id, sizeBytes) => {
        const file = new LosableStore(this.power, Buffer.alloc(sizeBytes), this.#lie === 'files');
        this.files.set(id, file);
        return this.around(file, 'file');
      },
      remove: async (id) => {
        await this.hung;
        this.files.delete(id);
      },
      list: async () => [...this.files.keys()],
      freeBytes: async () => this.freeBytes,
    };
  }

  afterLoss(chance: () => number): PointImages {
    return {
      disk: this.disk.afterLoss(chance),
      catalogue: this.catalogue.afterLoss(chance),
      files: new Map([...this.files].map(([id, f]) => [id, f.afterLoss(chance)])),
    };
  }
}

export const always = (): Power => new Power(Number.POSITIVE_INFINITY, () => 0);

export async function take(points: PointStore, id: string, name: string, kind: 'scheduled' | 'operator' = 'operator'): Promise<void> {
  await points.begin({ id, name, kind, takenAt: 1 });
  await points.cut(id, 1_000);
  await points.keep(id);
}

export const idOf = (n: number): string => n.toString(16).padStart(16, '0');

export async function contentOf(points: PointStore, id: string): Promise<Buffer> {
  return await new PointReader(points, id).read(0, points.sizeBytes);
}
