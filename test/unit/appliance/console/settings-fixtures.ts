// What `GET /api/settings` answers: as the process makes it of a configuration.
import type { RequestAnswer } from '../../../../appliance/console/api/types.ts';
import type { ChangeHow, SettingsPicture, SettingsRequest } from '../../../../appliance/console/settings-state.ts';
import { groupsOf } from '../../../../appliance/settings/changes.ts';
import { PROPOSED } from '../../../../appliance/setup/answers.ts';
import { planConfig } from '../../../../appliance/setup/plan.ts';
import { HASH, PAIR_ID } from '../setup/two-dialogues.ts';

const MAC = '52:54:00:00:aa:01';

export function settings(more: { whyNothing?: string; whyNotWitness?: string } = {}): SettingsPicture {
  const config = planConfig({
    answers: {
      ...PROPOSED,
      coServer: 'A',
      'management.address': '192.0.2.21/24',
      'witness.address': '192.0.2.100',
      'fence.address': '192.0.2.12',
      'fence.username': 'twinstep',
      'fence.password': 'secret',
      password: HASH,
    },
    nics: [{ number: 1, name: 'enp1s0', mac: MAC, driver: 'igb', bus: '0000:01:00.0', speedMbps: 1000, carrier: true }],
    roles: { [MAC]: 'mgmt0' },
    pairId: PAIR_ID,
    machine: { kvm: true, watchdog: '', bmc: '', serial: '' },
    partner: { managementAddress: '192.0.2.22', handOver: null },
    stateFolder: '/var/lib/twinstep',
    runFolder: '/run/twinstep',
  });
  const nics = `mgmt0 ${MAC} 192.0.2.21/24 192.0.2.1\n`;
  return { groups: groupsOf({ config, nics, whyNothing: '', whyNotWitness: '', level: 3, runsAtLevel: 3, whyNotLevel: '', ...more }) };
}

/** Answers as told, and remembers what it was asked. */
export class FakeSettings implements SettingsRequest {
  readonly asked: { name: string; values: Readonly<Record<string, string>>; how: ChangeHow }[] = [];
  answers: RequestAnswer[] = [];
  more: Parameters<typeof settings>[0] = {};

  picture(): SettingsPicture {
    return settings(this.more);
  }

  async change(name: string, values: Readonly<Record<string, string>>, how: ChangeHow): Promise<RequestAnswer> {
    this.asked.push({ name, values, how });
    return this.answers.shift() ?? { accepted: true, detail: { text: 'Written.' } };
  }
}
