// NICs and disks as files in a folder, which the real driver reads.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export class FakeCounters {
  readonly #folder = mkdtempSync(join(tmpdir(), 'twinstep-counters-'));
  readonly sysfs = join(this.#folder, 'sys');
  readonly procfs = join(this.#folder, 'proc');

  /** `carrier` null: the NIC is down, and reading it gives nothing. */
  nic(name: string, { carrier = '1' as string | null, speed = '1000', duplex = 'full', changes = 1, statistics = {} } = {}): void {
    const folder = join(this.sysfs, 'class/net', name);
    const counts = { rx_packets: 0, tx_packets: 0, rx_errors: 0, rx_missed_errors: 0, tx_errors: 0, ...statistics };
    for (const [file, value] of Object.entries(counts)) this.#write(join(folder, 'statistics', file), String(value));
    this.#write(join(folder, 'carrier_changes'), String(changes));
    for (const [file, value] of Object.entries({ carrier, speed, duplex })) {
      if (carrier === null || value === null) rmSync(join(folder, file), { force: true });
      else this.#write(join(folder, file), value);
    }
  }

  removeNic(name: string): void {
    rmSync(join(this.sysfs, 'class/net', name), { recursive: true, force: true });
  }

  /** `lines` as /proc/diskstats has them; `real`: disks that stand for themselves, not for others. */
  disks(lines: readonly string[], real: readonly string[]): void {
    this.#write(join(this.procfs, 'diskstats'), lines.join('\n'));
    rmSync(join(this.sysfs, 'block'), { recursive: true, force: true });
    mkdirSync(join(this.sysfs, 'block/loop0'), { recursive: true });
    for (const name of real) mkdirSync(join(this.sysfs, 'block', name, 'device'), { recursive: true });
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #write(file: string, text: string): void {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `${text}\n`);
  }
}
