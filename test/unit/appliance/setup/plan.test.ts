// What the first start writes: a configuration that the product takes, for a BMC as it is told and for a server as slow as it is.
import t from 'tap';
import { stringify } from 'yaml';
import { parseConfig } from '../../../../appliance/runtime/load-config.ts';
import { type Answers, PROPOSED } from '../../../../appliance/setup/answers.ts';
import { planConfig } from '../../../../appliance/setup/plan.ts';
import { HASH, PAIR_ID } from './two-dialogues.ts';

const MAC = '52:54:00:00:aa:01';
const ANSWERS: Answers = {
  ...PROPOSED,
  coServer: 'A',
  'management.address': '192.0.2.21/24',
  'witness.address': '192.0.2.100',
  'fence.address': '192.0.2.12',
  'fence.username': 'twinstep',
  'fence.password': 'secret',
  password: HASH,
};

function planned(answers: Partial<Answers> = {}, kvm = true) {
  const config = planConfig({
    answers: { ...ANSWERS, ...answers },
    nics: [{ number: 1, name: 'enp1s0', mac: MAC, driver: 'igb', bus: '0000:01:00.0', speedMbps: 1000, carrier: true }],
    roles: { [MAC]: 'link1' },
    pairId: PAIR_ID,
    machine: { kvm, watchdog: '/dev/watchdog', bmc: '/dev/ipmi0', serial: '/dev/ttyS0' },
    partner: { managementAddress: '192.0.2.22', handOver: null },
    stateFolder: '/var/lib/twinstep',
    runFolder: '/run/twinstep',
  });
  return parseConfig(stringify(config), 'config.yaml');
}

t.test("the other server's BMC is asked with the cipher suite that was answered", async (t) => {
  t.equal(planned().fence.cipherSuite, 17);
  t.equal(planned({ 'fence.cipherSuite': '3' }).fence.cipherSuite, 3);
});

t.test('a server without KVM gets the time that an emulated one needs', async (t) => {
  const [fast, slow] = [planned(), planned({}, false)];
  t.equal(slow.engine.acceleration, 'tcg');
  t.equal(slow.engine.version, 'image', 'an update may bring another one');
  t.ok(slow.heartbeat.timeoutMs >= 20 * fast.heartbeat.timeoutMs, 'also for engine, replica and threads');
  t.ok(slow.watchdog.timeoutS > fast.watchdog.timeoutS);
  t.ok(slow.disk.timeoutMs > fast.disk.timeoutMs && slow.checkpoint.hold.dataMs > fast.checkpoint.hold.dataMs);
  t.equal(planned({ 'guest.level': '2' }).watchdog.timeoutS, 3, 'its partner waits for it at level 2');
});
