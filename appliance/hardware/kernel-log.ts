// One kernel log, read once, for the two sources that are in it: machine checks, and errors of disks.
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { KernelLog, KernelLogOptions, KernelNews } from '../../drivers/edac/index.ts';

export type OpenLog = (options: KernelLogOptions) => Promise<Pick<KernelLog, 'poll' | 'close'>>;

type DiskNews = { errors: KernelNews['disks']; fileSystems: KernelNews['fileSystems'] };

/** Of each kind, until it is asked for: both are asked each second. The oldest go. */
const KEPT = 1_000;

export class SharedLog {
  readonly #open: OpenLog;
  readonly #sys: string;
  #log: ReturnType<OpenLog> | null = null;
  #checks: KernelNews['checks'] = [];
  #disks: DiskNews = { errors: [], fileSystems: [] };

  constructor(open: OpenLog, sys = '/sys') {
    this.#open = open;
    this.#sys = sys;
  }

  async checks(): Promise<KernelNews['checks']> {
    await this.#poll();
    const checks = this.#checks;
    this.#checks = [];
    return checks;
  }

  async disks(): Promise<DiskNews> {
    await this.#poll();
    const { errors, fileSystems } = this.#disks;
    this.#disks = { errors: [], fileSystems: [] };
    const removable = new Set<string>();
    for (const disk of new Set(errors.map((e) => e.disk))) if (await this.#isRemovable(disk)) removable.add(disk);
    return { errors: errors.filter((e) => !removable.has(e.disk)), fileSystems };
  }

  async close(): Promise<void> {
    const log = await this.#log?.catch(() => null);
    log?.close();
  }

  async #poll(): Promise<void> {
    this.#log ??= this.#open({ from: 'now' });
    const opening = this.#log;
    let log: Awaited<ReturnType<OpenLog>>;
    try {
      log = await opening;
    } catch (e) {
      // The next one tries again.
      if (this.#log === opening) this.#log = null;
      throw e;
    }
    const news = log.poll();
    this.#checks = [...this.#checks, ...news.checks].slice(-KEPT);
    this.#disks = {
      errors: [...this.#disks.errors, ...news.disks].slice(-KEPT),
      fileSystems: [...this.#disks.fileSystems, ...news.fileSystems].slice(-KEPT),
    };
  }

  /** A stick that somebody put in is no part of the server. */
  async #isRemovable(disk: string): Promise<boolean> {
    const text = await readFile(join(this.#sys, 'block', basename(disk), 'removable'), 'utf8').catch(() => '0');
    return text.trim() === '1';
  }
}
