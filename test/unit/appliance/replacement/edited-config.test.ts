// The configuration of the CoServer that stays: it reaches the new server, and never switches the old one's BMC in its place.
import t from 'tap';
import { stringify } from 'yaml';
import { editedConfig } from '../../../../appliance/replacement/edited-config.ts';
import { parseConfig } from '../../../../appliance/runtime/load-config.ts';
import { PROPOSED } from '../../../../appliance/setup/answers.ts';
import { planConfig } from '../../../../appliance/setup/plan.ts';
import { HASH, PAIR_ID } from '../setup/two-dialogues.ts';

const MAC = '52:54:00:00:aa:01';
const CONFIG = planConfig({
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
  roles: { [MAC]: 'link1' },
  pairId: PAIR_ID,
  machine: { kvm: true, watchdog: '/dev/watchdog', bmc: '', serial: '' },
  partner: { managementAddress: '192.0.2.22', handOver: null },
  stateFolder: '/var/lib/twinstep',
  runFolder: '/run/twinstep',
});
const SOURCE = `# By hand.\n${stringify(CONFIG)}`;
const SAME = '192.0.2.22';

t.test('another address, and its own BMC', async (t) => {
  const bmc = { address: '192.0.2.13', username: 'root', password: 'new', cipherSuite: 3 as const };
  const { text, password } = editedConfig(SOURCE, CONFIG, { managementAddress: '192.0.2.33', bmc });
  const edited = parseConfig(text, 'config.yaml');
  t.match(text, /^# By hand\./, 'what people wrote stays');
  t.notMatch(text, 'new', 'no password');
  t.strictSame(password, { path: '/var/lib/twinstep/state/bmc.password', text: 'new\n' });
  t.strictSame(edited, {
    ...CONFIG,
    management: { ...CONFIG.management, peer: '192.0.2.33' },
    console: { ...CONFIG.console, urls: { A: CONFIG.console.urls.A, B: 'https://192.0.2.33/' } },
    fence: { ...CONFIG.fence, address: '192.0.2.13', username: 'root', cipherSuite: 3 },
  });
});

t.test('without a BMC nobody is switched off any more; with nothing else to change the file stays as it is', async (t) => {
  for (const bmc of [null, { address: '', username: '', password: '', cipherSuite: 17 as const }]) {
    const { text, password } = editedConfig(SOURCE, CONFIG, { managementAddress: SAME, bmc });
    t.equal(password, null);
    t.strictSame(parseConfig(text, 'config.yaml'), { ...CONFIG, fence: { ...CONFIG.fence, address: '' } });
  }
  const without = { ...CONFIG, fence: { ...CONFIG.fence, address: '' } };
  const source = `# By hand.\n${stringify(without)}`;
  t.equal(editedConfig(source, without, { managementAddress: SAME, bmc: null }).text, source);
});
