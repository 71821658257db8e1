// Hardware as a picture has it: all well, in trouble on both sides, not watched.
import type { HardwareView, Snapshot } from '../../../../appliance/core/snapshot.ts';
import { NOW } from './fixtures.ts';
import { lockstep } from './lockstep-fixtures.ts';

const NOTHING_MORE = { faults: 0, sensors: 0, disks: 0, nics: 0 };

const WELL: HardwareView = {
  watched: true,
  reason: '',
  server: {
    vendor: 'Supermicro',
    model: 'SYS-120C-TR',
    serial: 'S411795X2A03412',
    bios: 'American Megatrends 1.4b, 2023-05-12',
    cpu: 'Intel(R) Xeon(R) Gold 6326 CPU @ 2.90GHz, 32 cores in 2 sockets',
    memoryBytes: 274_877_906_944,
    system: 'Debian GNU/Linux 13 (trixie)',
  },
  faults: [],
  sensors: [
    { name: 'CPU1 Temp', kind: 'temperature', value: 47, unit: 'C', level: 'ok', states: [] },
    { name: 'CPU2 Temp', kind: 'temperature', value: 45, unit: 'C', level: 'ok', states: [] },
    { name: 'System Temp', kind: 'temperature', value: 29, unit: 'C', level: 'ok', states: [] },
    { name: 'FAN1', kind: 'fan', value: 8400, unit: 'RPM', level: 'ok', states: [] },
    { name: 'FAN2', kind: 'fan', value: 8300, unit: 'RPM', level: 'ok', states: [] },
    { name: 'FAN8', kind: 'fan', value: null, unit: 'RPM', level: 'absent', states: [] },
    { name: '12V', kind: 'voltage', value: 12.063, unit: 'V', level: 'ok', states: [] },
    { name: 'VBAT', kind: 'voltage', value: 2.997, unit: 'V', level: 'ok', states: [] },
    { name: 'PS1 Status', kind: 'powerSupply', value: null, unit: '', level: 'ok', states: ['Presence detected'] },
    { name: 'PS2 Status', kind: 'powerSupply', value: null, unit: '', level: 'ok', states: ['Presence detected'] },
    { name: 'Chassis Intru', kind: 'other', value: null, unit: '', level: 'ok', states: [] },
  ],
  disks: [
    {
      disk: '/dev/nvme0n1',
      model: 'SAMSUNG MZQL21T9HCJR-00A07',
      serial: 'S64GNE0R701234',
      passed: true,
      temperatureC: 38,
      percentUsed: 3,
      powerOnHours: 9120,
      reallocatedSectors: null,
    },
    {
      disk: '/dev/sda',
      model: 'ST4000NM0035-1V4107',
      serial: 'ZC1A2B3C',
      passed: true,
      temperatureC: 31,
      percentUsed: null,
      powerOnHours: 61,
      reallocatedSectors: 0,
    },
  ],
  nics: [
    { nic: 'link1', role: 'link', carrier: true, speedMbps: 25_000, errors: 0 },
    { nic: 'link2', role: 'link', carrier: true, speedMbps: 25_000, errors: 0 },
    { nic: 'business', role: 'business', carrier: true, speedMbps: 10_000, errors: 0 },
    { nic: 'management', role: 'management', carrier: true, speedMbps: 1000, errors: 0 },
  ],
  more: NOTHING_MORE,
  sources: [
    { source: 'sensors', state: 'read', reason: '', readAt: NOW - 3_000 },
    { source: 'sel', state: 'read', reason: '', readAt: NOW - 1_000 },
    { source: 'smart', state: 'read', reason: '', readAt: NOW - 245_000 },
    { source: 'disks', state: 'read', reason: '', readAt: NOW - 2_000 },
    { source: 'memory', state: 'absent', reason: 'no memory controller driver is loaded', readAt: null },
    { source: 'pcie', state: 'read', reason: '', readAt: NOW - 2_000 },
    { source: 'cpu', state: 'read', reason: '', readAt: NOW - 2_000 },
    { source: 'machineChecks', state: 'read', reason: '', readAt: NOW - 500 },
    { source: 'nics', state: 'read', reason: '', readAt: NOW - 2_000 },
  ],
  qualification: { verdict: 'passed', sentence: '41 items identical, 2 compatible.' },
};

const MOVES = 'If the workload runs on CoServer A and B is equal, it moves to B before the part fails.';

export const withHardware = (change: Partial<HardwareView> = {}): Snapshot => ({ ...lockstep(), hardware: { ...WELL, ...change } });

/** A fan that fails here, a worn disk there, a port without its cable, a log that cannot be read, two servers that are not equal. */
export function hardwareTroubled(): Snapshot {
  const s = withHardware({
    faults: [
      {
        coServer: 'A',
        code: 'fanFailed',
        severity: 'critical',
        sentence: 'A fan has failed',
        where: 'FAN2',
        detail: '0 RPM, too low, critical',
        remedy: 'Replace the fan.',
        effect: MOVES,
        since: NOW - 421_000,
        evidence: ['600 RPM, too low, critical', '0 RPM, too low, critical'],
      },
      {
        coServer: 'A',
        code: 'sourceUnreadable',
        severity: 'warning',
        sentence: 'A part of the server cannot be watched',
        where: 'SMART',
        detail: '/dev/sda: smartctl printed no JSON',
        remedy: 'Mend what the text names: until then nothing more is known of it.',
        effect: 'It does nothing to the pair.',
        since: NOW - 300_000,
        evidence: ['/dev/sda: smartctl printed no JSON'],
      },
      {
        coServer: 'B',
        code: 'diskWorn',
        severity: 'warning',
        sentence: 'A disk is nearly worn out',
        where: '/dev/nvme0n1 (SAMSUNG MZQL21T9HCJR, serial S64GNE0R...',
        detail: '',
        remedy: 'Order another one.',
        effect: 'It does nothing to the pair.',
        since: null,
        evidence: [],
      },
    ],
    sensors: WELL.sensors.map((x) => (x.name === 'FAN2' ? { ...x, value: 0, level: 'critical' as const } : x)),
    nics: WELL.nics.map((n) => (n.nic === 'link2' ? { ...n, carrier: false, speedMbps: null, errors: 12 } : n)),
    disks: WELL.disks.map((d) => (d.disk === '/dev/sda' ? { ...d, passed: false, reallocatedSectors: 1 } : d)),
    more: { ...NOTHING_MORE, sensors: 9 },
    sources: WELL.sources.map((x) =>
      x.source === 'smart' ? { ...x, state: 'failed' as const, reason: 'smartctl printed no JSON', readAt: NOW - 900_000 } : x,
    ),
    qualification: {
      verdict: 'refused',
      sentence: 'the BIOS version differs, and 1 more',
      items: [
        { item: 'BIOS version', verdict: 'refused', a: '1.4b', b: '1.3', rule: 'must be the same: it sets up the processor' },
        { item: 'microcode', verdict: 'unknown', a: '0xd0003a5', b: 'not known', rule: 'must be known of both' },
        { item: 'processor', verdict: 'identical', a: 'Xeon Gold 6326', b: 'Xeon Gold 6326', rule: 'must be the same' },
      ],
    },
  });
  const card = { kind: 'hardware', leftMs: null } as const;
  return {
    ...s,
    actions: [
      ...s.actions,
      {
        name: 'enter-maintenance',
        label: 'Take this CoServer out for maintenance',
        allowed: true,
        reason: 'The workload moves to B first.',
      },
    ],
    attention: [
      {
        ...card,
        severity: 'critical',
        title: 'CoServer A: a fan has failed',
        sentence: 'FAN2: 0 RPM, too low, critical.',
        row: '16',
        endsWhen: ['no reading has shown it for 60 s'],
        ways: [
          { text: 'Replace the fan.', action: null },
          { text: 'To replace the part, take this CoServer out:', action: 'enter-maintenance' },
        ],
      },
    ],
  };
}

export const notWatched = (): Snapshot =>
  withHardware({
    watched: false,
    reason: 'hardware.watch is off in the configuration of this CoServer',
    server: null,
    sensors: [],
    disks: [],
    nics: [],
    sources: [],
    qualification: { verdict: 'notAsked', sentence: 'By the configuration the two servers are not compared.' },
  });

export const HARDWARE_FIXTURES: Readonly<Record<string, () => Snapshot>> = { hardwareWell: withHardware, hardwareTroubled, notWatched };
