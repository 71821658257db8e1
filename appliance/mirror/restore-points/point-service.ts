// The restore points of an open disk, as the mirror offers them: taken, removed, listed, exported, gone back to.
import type { GuestDisk } from '../guest-disk.ts';
import type { MirrorMessage } from '../messages.ts';
import type { Metadata } from '../metadata.ts';
import type { Replica } from '../replica.ts';
import type { PointStatus, PointsStatus } from './api.ts';
import type { PointEntry, PointKind } from './catalogue-codec.ts';
import { PointCuts } from './point-cuts.ts';
import { PointExports } from './point-exports.ts';
import type { PointStore } from './point-store.ts';
import { beginRollBack, finishRollBack } from './roll-back.ts';

export interface PointServiceParts {
  points: PointStore;
  guest: GuestDisk;
  metadata: Metadata;
  /** Of the exports' sockets. */
  directory: string;
  interval(): number;
  /** As a follower: its copy is equal to the source's. */
  isEqual(): boolean;
  replica(): Replica | undefined;
  onStatus(s: PointsStatus): void;
  onProgress(p: { name: string; doneBytes: number; totalBytes: number; rateBytesPerS: number }): void;
}

export class PointService {
  readonly cuts: PointCuts;
  readonly #parts: PointServiceParts;
  readonly #points: PointStore;
  readonly #exports: PointExports;
  #ending = new AbortController();

  constructor(parts: PointServiceParts) {
    this.#parts = parts;
    this.#points = parts.points;
    const changed = (): void => parts.onStatus(this.status());
    this.#exports = new PointExports(parts.points, parts.directory, changed);
    const { points, guest, interval, isEqual, replica } = parts;
    this.cuts = new PointCuts({ points, guest, interval, isEqual, replica, changed });
  }

  get isRollingBack(): boolean {
    return this.#points.catalogue.rollingBack !== null;
  }

  status(): PointsStatus {
    const here = this.#points.points;
    const all = new Map<string, { ours?: PointEntry; theirs?: PointEntry }>();
    for (const p of this.cuts.theirs) all.set(p.id, { theirs: p });
    for (const p of here) all.set(p.id, { ...all.get(p.id), ours: p });
    const points = [...all.values()].flatMap(({ ours, theirs }): PointStatus[] => {
      const p = ours ?? theirs;
      if (!p) return [];
      return [
        {
          name: p.name,
          kind: p.kind,
          takenAt: p.takenAt,
          here: ours?.state === 'kept',
          there: theirs?.state === 'kept',
          keptBytes: ours ? this.#points.keptBytes(ours.id) : 0,
          trouble: ours?.trouble ?? '',
          unavailable: ours?.state === 'kept' ? this.#points.whyUnavailable(ours.id) : '',
          inUse: ours !== undefined && this.#points.isInUse(ours.id),
        },
      ];
    });
    points.sort((a, b) => b.takenAt - a.takenAt);
    return {
      points,
      usedBytes: this.#points.usedBytes,
      refusal: this.#points.refusal,
      rollingBack: this.#points.catalogue.rollingBack?.name ?? null,
    };
  }

  async take(a: { name: string; kind: PointKind; takenAt: number }): Promise<{ at: number; alone: string; heldMs: number }> {
    return await this.cuts.take(a);
  }

  async remove(name: string): Promise<void> {
    await this.cuts.remove(name);
  }

  async export(name: string): Promise<{ socketPath: string; exportName: string; sizeBytes: number }> {
    return await this.#exports.open(name);
  }

  async endExport(name: string): Promise<void> {
    await this.#exports.close(name);
  }

  asked(m: MirrorMessage): Promise<Uint8Array> {
    return this.cuts.asked(m);
  }

  /** Of a disk that nobody uses. @param alone Makes what is written here known as unknown to the partner, durably. */
  async rollBack(name: string, takenAt: number, alone: () => Promise<void>): Promise<{ before: string; writtenBytes: number }> {
    const target = this.#points.points.find((p) => p.name === name);
    if (!target) throw new Error(`there is no restore point '${name}' on this CoServer`);
    this.#points.chainOf(target.id);
    const before = this.#freeName(`before-${name}`);
    // Half of a disk is no state to come back to.
    const isWhole = !this.isRollingBack;
    if (isWhole) await this.take({ name: before, kind: 'rollback', takenAt });
    // The mark says as well that what is written is known as not the partner's.
    await alone();
    await beginRollBack(this.#points, target.id, this.#ending.signal);
    const { writtenBytes } = await this.#finish();
    return { before: isWhole ? before : '', writtenBytes };
  }

  /** What was cut short is done now. */
  async finishRollBack(): Promise<void> {
    if (this.isRollingBack) await this.#finish();
  }

  /** This copy is made equal to the partner's: what it was being made is of no concern any more. */
  async forgetRollBack(): Promise<void> {
    if (this.isRollingBack) await this.#points.setRollingBack(null);
  }

  /** What is under way ends soon, and nothing new begins. */
  stop(): void {
    this.#ending.abort(new Error('the disk is being closed'));
  }

  async close(): Promise<void> {
    this.stop();
    await this.#exports.closeAll();
  }

  async #finish(): Promise<{ writtenBytes: number }> {
    const { points, metadata, onProgress } = this.#parts;
    try {
      return await finishRollBack({ points, metadata, onProgress, signal: this.#ending.signal });
    } finally {
      this.#parts.onStatus(this.status());
    }
  }

  #freeName(wanted: string): string {
    const taken = new Set(this.#points.points.map((p) => p.name));
    for (let n = 1; ; n++) {
      const tail = n === 1 ? '' : `-${n}`;
      const name = wanted.slice(0, 40 - tail.length).replace(/-+$/, '') + tail;
      if (!taken.has(name)) return name;
    }
  }
}
