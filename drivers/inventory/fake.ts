// A machine as files in a folder: SMBIOS table at the byte, cpuinfo, sysfs. Two with the same knobs are twins; one knob makes them differ.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export interface FakeStructure {
  type: number;
  handle?: number;
  /** What follows the header. Offsets in the standard count from the header: `at` of 4 is its first byte. */
  fields: { at: number; bytes: number; value: number }[];
  length: number;
  strings?: string[];
}

/** The bytes of /sys/firmware/dmi/tables/DMI. The end of the table is added. */
export function smbiosTable(structures: readonly FakeStructure[]): Buffer {
  const end = { type: 127, fields: [], length: 4 };
  return Buffer.concat(
    [...structures, end].map((structure: FakeStructure, index) => {
      const bytes = Buffer.alloc(structure.length);
      bytes.writeUInt8(structure.type, 0);
      bytes.writeUInt8(structure.length, 1);
      bytes.writeUInt16LE(structure.handle ?? index, 2);
      for (const field of structure.fields) bytes.writeUIntLE(field.value, field.at, field.bytes);
      const strings = (structure.strings ?? []).map((text) => `${text}\0`).join('');
      return Buffer.concat([bytes, Buffer.from(`${strings || '\0'}\0`, 'latin1')]);
    }),
  );
}

export interface FakeMachineKnobs {
  biosVersion?: string;
  biosDate?: string;
  cpuModel?: string;
  microcode?: string;
  flags?: string;
  dimmMib?: number;
  dimmPart?: string;
  nicDevice?: string;
  diskSectors?: number;
  diskFirmware?: string;
  clocksource?: string;
}

const text = (at: number, value: number) => ({ at, bytes: 1, value });
const word = (at: number, value: number) => ({ at, bytes: 2, value });
const ARRAY_HANDLE = 0x1000;
const SIZE_EXTENDED = 0x7fff;

export class FakeMachine {
  /** For the option of that name. */
  readonly root = mkdtempSync(join(tmpdir(), 'twinstep-machine-'));

  constructor(knobs: FakeMachineKnobs = {}) {
    this.#firmware(knobs);
    this.#kernel(knobs);
    this.#devices(knobs);
  }

  set(path: string, content: string | Buffer): void {
    const file = join(this.root, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }

  link(path: string, target: string): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    symlinkSync(target, join(this.root, path));
  }

  remove(path: string): void {
    rmSync(join(this.root, path), { recursive: true, force: true });
  }

  close(): void {
    rmSync(this.root, { recursive: true, force: true });
  }

  #firmware({
    biosVersion = '2.19.1',
    biosDate = '03/24/2025',
    cpuModel = 'Twintest 6430',
    dimmMib = 32_768,
    dimmPart = 'M1',
  }: FakeMachineKnobs) {
    const dimm = (slot: string): FakeStructure => ({
      type: 17,
      length: 0x28,
      fields: [
        word(0x04, ARRAY_HANDLE),
        word(0x08, 80),
        word(0x0a, 64),
        word(0x0c, dimmMib < SIZE_EXTENDED ? dimmMib : SIZE_EXTENDED),
        text(0x10, 1),
        text(0x11, 2),
        text(0x12, 0x22),
        word(0x15, 4_800),
        text(0x17, 3),
        text(0x18, 4),
        text(0x1a, 5),
        text(0x1b, 2),
        { at: 0x1c, bytes: 4, value: dimmMib },
        word(0x20, 4_400),
      ],
      strings: [slot, 'BANK 0', 'Twintest', `S-${slot}`, dimmPart],
    });
    const empty: FakeStructure = {
      type: 17,
      length: 0x28,
      fields: [word(0x04, ARRAY_HANDLE), word(0x0c, 0), text(0x10, 1)],
      strings: ['A3'],
    };
    const cpu = (socket: string): FakeStructure => ({
      type: 4,
      length: 0x30,
      fields: [
        text(0x04, 1),
        text(0x05, 3),
        text(0x10, 2),
        text(0x18, 0x41),
        text(0x23, 0xff),
        text(0x25, 0xff),
        word(0x2a, 32),
        word(0x2e, 64),
      ],
      strings: [socket, cpuModel],
    });
    this.set(
      'sys/firmware/dmi/tables/DMI',
      smbiosTable([
        { type: 0, length: 0x18, fields: [text(0x04, 1), text(0x05, 2), text(0x08, 3)], strings: ['Twintest Inc.', biosVersion, biosDate] },
        {
          type: 1,
          length: 0x1b,
          fields: [text(0x04, 1), text(0x05, 2), text(0x07, 3), ...Array.from({ length: 16 }, (_, i) => text(0x08 + i, i + 1))],
          strings: ['Twintest Inc.', 'TwinServer 2', 'T0001'],
        },
        { type: 2, length: 0x0f, fields: [text(0x04, 1), text(0x05, 2), text(0x06, 3)], strings: ['Twintest Inc.', '0TW1N', 'A01'] },
        cpu('CPU1'),
        cpu('CPU2'),
        { type: 16, handle: ARRAY_HANDLE, length: 0x17, fields: [text(0x05, 3), text(0x06, 6), word(0x0d, 3)] },
        dimm('A10'),
        dimm('A2'),
        empty,
      ]),
    );
  }

  #kernel({ cpuModel = 'Twintest 6430', microcode = '0x2b000639', flags, clocksource = 'tsc' }: FakeMachineKnobs): void {
    const cpu = (processor: number, socket: number, core: number): string =>
      Object.entries({
        processor,
        vendor_id: 'GenuineIntel',
        'cpu family': 6,
        model: 143,
        'model name': cpuModel,
        stepping: 8,
        microcode,
        'cpu MHz': 2_100 + processor,
        'physical id': socket,
        'core id': core,
        flags: flags ?? 'vmx tsc constant_tsc nonstop_tsc avx512f',
      })
        .map(([name, value]) => `${name}\t: ${value}\n`)
        .join('');
    this.set('proc/cpuinfo', [cpu(0, 0, 0), cpu(1, 0, 0), cpu(2, 1, 0), cpu(3, 1, 0)].join('\n'));
    this.set('proc/meminfo', 'MemTotal:       65536000 kB\nMemFree:        1 kB\n');
    this.set('proc/sys/kernel/osrelease', '6.12.48-amd64\n');
    this.set('sys/devices/system/clocksource/clocksource0/current_clocksource', `${clocksource}\n`);
    this.set('dev/kvm', '');
  }

  #devices({ nicDevice = '1521', diskSectors = 7_501_476_528, diskFirmware = 'TN01' }: FakeMachineKnobs): void {
    this.#pci('0000:00:17.0', '0x010601', '8086', 'a282', 'ahci');
    this.#pci('0000:65:00.0', '0x010802', '144d', 'a80a', 'nvme');
    this.#pci('0000:00:1f.0', '0x060100', '8086', 'a1c3', 'lpc_ich');
    this.#pci('0000:00:1b.0', '0x010700', '1000', '00e6', 'mpt3sas');
    for (const [index, nic] of ['link2', 'link1'].entries()) {
      const bus = `0000:01:00.${1 - index}`;
      this.#pci(bus, '0x020000', '8086', nicDevice, 'igb');
      this.set(`sys/class/net/${nic}/address`, `52:54:00:00:00:0${index}\n`);
      this.set(`sys/class/net/${nic}/carrier`, '1\n');
      this.set(`sys/class/net/${nic}/speed`, '1000\n');
      this.set(`sys/class/net/${nic}/mtu`, '9000\n');
      this.link(`sys/class/net/${nic}/device`, `../../../bus/pci/devices/${bus}`);
    }
    this.set('sys/class/net/br0/address', '02:00:00:00:00:01\n');
    const disk = 'sys/block/nvme0n1';
    for (const [file, value] of Object.entries({
      size: diskSectors,
      'queue/logical_block_size': 512,
      'queue/physical_block_size': 4096,
      'queue/rotational': 0,
      'queue/write_cache': 'write through',
      'device/model': 'TWINTEST NVME1000                       ',
      'device/firmware_rev': `${diskFirmware}    `,
      'device/serial': 'NVM0001             ',
    }))
      this.set(`${disk}/${file}`, `${value}\n`);
    this.set('sys/block/loop0/size', '0\n');
    this.set('sys/class/watchdog/watchdog0/identity', 'iTCO_wdt\n');
    mkdirSync(join(this.root, 'sys/class/iommu/dmar0'), { recursive: true });
  }

  #pci(bus: string, code: string, vendor: string, device: string, driver: string): void {
    const folder = `sys/bus/pci/devices/${bus}`;
    const values = {
      class: code,
      vendor: `0x${vendor}`,
      device: `0x${device}`,
      subsystem_vendor: '0x1028',
      subsystem_device: '0x0716',
      revision: '0x01',
    };
    for (const [file, value] of Object.entries(values)) this.set(`${folder}/${file}`, `${value}\n`);
    this.link(`${folder}/driver`, `../../drivers/${driver}`);
  }
}
