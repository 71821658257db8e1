// The configuration of a CoServer as its first start has left it, in a folder of its own.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { CoServerConfig } from '../../../../appliance/config.ts';
import { FRESH_RECORD, initialState, type State } from '../../../../appliance/core/machine.ts';
import { loadConfig } from '../../../../appliance/runtime/load-config.ts';
import { PROPOSED } from '../../../../appliance/setup/answers.ts';
import { planFiles } from '../../../../appliance/setup/plan.ts';

export const PAIR_ID = '3c'.repeat(16);

/** Writes it there. */
export function configured(
  folder: string,
  passwordHash: string,
  coServer: 'A' | 'B' = 'A',
  watchdog = '',
): { config: CoServerConfig; file: string } {
  const mac = (n: number): string => `52:54:00:00:aa:0${n}`;
  const nics = [1, 2].map((number) => ({
    number,
    name: `port${number}`,
    mac: mac(number),
    driver: null,
    bus: null,
    speedMbps: null,
    carrier: true,
  }));
  const [own, other] = coServer === 'A' ? ['192.0.2.21', '192.0.2.22'] : ['192.0.2.22', '192.0.2.21'];
  const files = planFiles({
    answers: {
      ...PROPOSED,
      coServer,
      'management.address': `${own}/24`,
      'management.gateway': '192.0.2.1',
      'witness.address': '192.0.2.100',
      'fence.address': '192.0.2.12',
      'fence.username': 'twinstep',
      'fence.password': 'old-bmc',
      password: passwordHash,
    },
    nics,
    roles: { [mac(1)]: 'link1', [mac(2)]: 'mgmt0' },
    pairId: PAIR_ID,
    machine: { kvm: true, watchdog, bmc: '', serial: '' },
    partner: { managementAddress: other, handOver: null },
    stateFolder: folder,
    runFolder: join(folder, 'run'),
  });
  for (const { path, text } of files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text, { mode: 0o600 });
  }
  const file = join(folder, 'config.yaml');
  return { config: loadConfig(file), file };
}

export function stateOf(me: 'A' | 'B', change: Partial<State> = {}): State {
  const begun = initialState({
    me,
    incarnation: 'aa',
    pairId: PAIR_ID,
    version: '0.1.0',
    record: FRESH_RECORD,
    links: 1,
    now: 0,
    adoptable: false,
    canCompare: true,
  });
  return { ...begun, ...change };
}
