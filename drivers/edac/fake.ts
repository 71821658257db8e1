// A sysfs in a folder, and a kernel log in memory: both at the byte, the real driver reads them.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { RecordFile } from './kernel-log.ts';

export class FakeSysfs {
  /** For the options of that name. */
  readonly sysfs = mkdtempSync(join(tmpdir(), 'twinstep-sysfs-'));

  set(path: string, text: string | number): void {
    const file = join(this.sysfs, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `${text}\n`);
  }

  link(path: string, target: string): void {
    const file = join(this.sysfs, path);
    mkdirSync(dirname(file), { recursive: true });
    symlinkSync(target, file);
  }

  remove(path: string): void {
    rmSync(join(this.sysfs, path), { recursive: true, force: true });
  }

  dimm(controller: number, dimm: number, label: string, { corrected = 0, uncorrected = 0 } = {}): void {
    const folder = `devices/system/edac/mc/mc${controller}/dimm${dimm}`;
    this.set(`${folder}/dimm_label`, label);
    this.set(`${folder}/dimm_ce_count`, corrected);
    this.set(`${folder}/dimm_ue_count`, uncorrected);
  }

  aer(address: string, { corrected = 0, nonFatal = 0, fatal = 0 } = {}): void {
    const folder = `bus/pci/devices/${address}`;
    this.set(`${folder}/aer_dev_correctable`, `RxErr ${corrected}\nBadTLP 0\nTOTAL_ERR_COR ${corrected}`);
    this.set(`${folder}/aer_dev_nonfatal`, `Undefined 0\nTLP ${nonFatal}\nTOTAL_ERR_NONFATAL ${nonFatal}`);
    this.set(`${folder}/aer_dev_fatal`, `Undefined 0\nDLP ${fatal}\nTOTAL_ERR_FATAL ${fatal}`);
  }

  close(): void {
    rmSync(this.sysfs, { recursive: true, force: true });
  }
}

/** A ring of records, as /dev/kmsg: a read gives one; what was overwritten before it was read gives EPIPE once. */
export class FakeKmsg implements RecordFile {
  /** What the ring holds. */
  readonly #ring: string[] = [];
  readonly #capacity: number;
  #sequence = 0;
  #lost = false;
  isClosed = false;

  constructor(capacity = 1_000) {
    this.#capacity = capacity;
  }

  print(text: string, level = 6): void {
    this.#sequence += 1;
    this.raw(`${level},${this.#sequence},${this.#sequence * 1_000},-;${text}\n`);
  }

  raw(record: string): void {
    this.#ring.push(record);
    if (this.#ring.length <= this.#capacity) return;
    this.#ring.shift();
    this.#lost = true;
  }

  read(into: Buffer): number {
    if (this.#lost) {
      this.#lost = false;
      throw Object.assign(new Error('EPIPE: broken pipe, read'), { code: 'EPIPE' });
    }
    const record = this.#ring.shift();
    if (record === undefined) throw Object.assign(new Error('EAGAIN: resource temporarily unavailable, read'), { code: 'EAGAIN' });
    return into.write(record, 'utf8');
  }

  close(): void {
    this.isClosed = true;
  }
}
