// What a lab of real servers is told: everything wrong in it is named, and nothing of a secret is said.
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { parse, stringify } from 'yaml';
import { LabError } from '../../../../hwqual/lab/lab-error.ts';
import { loadRealLab } from '../../../../hwqual/lab/real-config.ts';

const EXAMPLE = join(import.meta.dirname, '../../../../hwqual/lab/real.example.yaml');
const SECRET = 'kept-from-all';

function lab(change: (text: string) => string = (s) => s, passwordMode = 0o600): string {
  const folder = mkdtempSync(join(tmpdir(), 'real-lab-'));
  writeFileSync(join(folder, 'a.password'), `${SECRET}\n`, { mode: passwordMode });
  writeFileSync(join(folder, 'b.password'), 'another\n', { mode: 0o600 });
  writeFileSync(join(folder, 'console.password'), 'of the web console\n', { mode: 0o600 });
  writeFileSync(join(folder, 'real.yaml'), change(readFileSync(EXAMPLE, 'utf8')));
  return join(folder, 'real.yaml');
}

function refusal(path: string): string {
  try {
    loadRealLab(path);
  } catch (error) {
    if (error instanceof LabError) return error.toString();
    throw error;
  }
  return 'accepted';
}

t.test('the example is a lab, with defaults filled in', async (t) => {
  const config = loadRealLab(lab());
  t.strictSame(config.servers.A.bmc, { address: '192.0.2.11', port: 623, username: 'twinstep', password: SECRET, cipherSuite: 17 });
  t.strictSame(config.servers.B.serial, { device: '/dev/ttyUSB1', baudRate: 115200 });
  t.strictSame(config.servers.B.console, { address: '192.0.2.22', port: 443, password: 'of the web console' });
  t.match(config.faults.fanFailed?.inject, /\{server\}/);
  t.equal(config.personTimeoutMinutes, 15);
});

t.test('mistakes are named with their key, what stands there and what is needed', async (t) => {
  t.match(refusal(lab((s) => s.replace('192.0.2.11', 'bmc-a'))), /servers\.A\.bmc\.address: "bmc-a", an IP address is needed/);
  t.match(refusal(lab((s) => s.replace('cipherSuite: 17 ', 'cipherSuite: 2 '))), /cipherSuite: 2, 3 or 17 is needed/);
  t.match(refusal(lab((s) => s.replace('fanFailed:', 'fanFailled:'))), /faults\.fanFailled: is not known; there are .*fanFailed/);
  t.match(refusal(lab((s) => s.replace('192.0.2.12', '192.0.2.11'))), /is A's BMC too/);
  t.match(refusal(lab((s) => s.replace('ttyUSB1', 'ttyUSB0'))), /is A's too/);
  t.match(refusal(lab((s) => s.replace('b.password', 'c.password'))), /servers\.B\.bmc\.passwordFile: .*c\.password cannot be read/);
  t.match(refusal(lab((s) => s.replace('servers:', 'server:'))), /the file\.server: is not known[\s\S]*servers: missing/);
  t.match(refusal(lab((s) => s.replace('192.0.2.22', 'web'))), /servers\.B\.console\.address: "web", an IP address is needed/);
  t.match(refusal(lab(() => 'servers: [')), /cannot be read/);
  t.match(refusal('/nowhere/real.yaml'), /cannot be read[\s\S]*real\.example\.yaml/);
});

t.test('all mistakes at once', async (t) => {
  const said = refusal(lab((s) => s.replace('192.0.2.11', 'x').replace('/dev/ttyUSB1', 'ttyUSB1').replace('port: 623 ', 'port: 0 ')));
  t.equal(said.split('\n').filter((line) => line.includes('is needed')).length, 3, said);
});

t.test('a password that others may read is refused, and never said', async (t) => {
  const said = refusal(lab(undefined, 0o644));
  t.match(said, /others may read .*a\.password; chmod 600/);
  t.notMatch(said, SECRET);
});

t.test('without serial lines and faults it is a lab too', async (t) => {
  const config = loadRealLab(
    lab((s) => {
      const { servers } = parse(s) as { servers: Record<string, { serial?: unknown }> };
      for (const server of Object.values(servers)) delete server.serial;
      return stringify({ servers });
    }),
  );
  t.equal(config.servers.A.serial.device, '');
  t.strictSame(config.faults, {});
});
