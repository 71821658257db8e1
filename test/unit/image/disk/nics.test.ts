// Network ports at the start of the appliance: named as they were set up; a disk in a server that has none of them is said to be another one's. The shell
// is the appliance's.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { engineRootPath } from '../../../../image/engine/engine-root.ts';

const SCRIPT = join(import.meta.dirname, '../../../../image/disk/overlay/usr/lib/twinstep/nics.sh');
const SET_UP = ['link1 52:54:00:00:00:01 10.0.1.1/24', 'lan0 52:54:00:00:00:02 -', 'mgmt0 52:54:00:00:00:03 192.0.2.1/24 192.0.2.254'];

/** @param there Name and MAC address of what the server has. */
function start(t: Test, there: readonly (readonly [string, string])[], setUp: readonly string[] | null = SET_UP) {
  const folder = t.testdir({ net: {} });
  for (const [name, mac] of there) {
    mkdirSync(join(folder, 'net', name));
    writeFileSync(join(folder, 'net', name, 'address'), `${mac}\n`);
  }
  if (setUp) writeFileSync(join(folder, 'nics'), `${setUp.join('\n')}\n`);
  const words = `tell() { echo "tell $*"; }
    ip() { echo "ip $*"; if [ "$*" != "\${*#* name }" ]; then mv $net/$3 $net/$6; fi; }
    . "$2"; net=$1/net; nics=$1/nics; set_up_nics; echo "strange: $strange"`;
  return execFileSync(join(engineRootPath(), 'usr/bin/busybox'), ['sh', '-c', words, 'sh', folder, SCRIPT], { encoding: 'utf8' })
    .trim()
    .split('\n');
}

t.test('all are there: named, with addresses', async (t) => {
  const said = start(t, [
    ['eth0', '52:54:00:00:00:03'],
    ['eth1', '52:54:00:00:00:01'],
    ['eth2', '52:54:00:00:00:02'],
  ]);
  t.strictSame(said, [
    'ip link set eth1 down name link1',
    'ip addr replace 10.0.1.1/24 dev link1',
    'ip link set link1 up',
    'ip link set eth2 down name lan0',
    'ip link set lan0 up',
    'ip link set eth0 down name mgmt0',
    'ip addr replace 192.0.2.1/24 dev mgmt0',
    'ip link set mgmt0 up',
    'ip route replace default via 192.0.2.254 dev mgmt0',
    'strange:',
  ]);
  t.strictSame(start(t, [], null), ['strange:'], 'nothing was set up');
});

t.test('a link is gone: the product says so itself', async (t) => {
  const said = start(t, [
    ['eth0', '52:54:00:00:00:03'],
    ['eth2', '52:54:00:00:00:02'],
  ]);
  t.ok(said.includes('tell NIC link1 (52:54:00:00:00:01) is not there'));
  t.equal(said.at(-1), 'strange:');
});

t.test("the port of the guest's network is gone: it is named, and what to do", async (t) => {
  const said = start(t, [
    ['eth0', '52:54:00:00:00:03'],
    ['eth1', '52:54:00:00:00:01'],
  ]);
  t.match(
    said.at(-1),
    /^strange: The port of the guest's network is not in this server: lan0 \(52:54:00:00:00:02\)\..*put the card in again/,
  );
});

t.test('none is there: the disk of another server', async (t) => {
  const said = start(t, [['eth0', '52:54:00:99:00:01']]);
  t.match(
    said.at(-1),
    /^strange: None of the network ports .*: link1 \(52:54:00:00:00:01\), lan0 \(.*\), mgmt0 .*disk of another server, or a copy of it\..*install this server anew/,
  );
  t.notOk(said.some((row) => row.startsWith('ip ')));
});
