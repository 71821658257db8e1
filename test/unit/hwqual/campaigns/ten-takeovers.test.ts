import t from 'tap';
import {
  establishedIn,
  runTakeovers,
  stallTable,
  stayingClients,
  takeoversPlan,
} from '../../../../hwqual/campaigns/ten-takeovers-campaign.ts';
import { FakeClients, FakeClock, FakeLab } from './fake-pair.ts';

const HEAD = '  sl  local_address rem_address   st tx_queue rx_queue';
const row = (port: string, state = '01') => `   0: 0100004D0A:${port} 0A004D0A:0007 ${state} 00000000:00000000`;

/** The clients' kernel shows these ports, one more list for each time it is asked. */
class LabWithSockets extends FakeLab {
  readonly #ports: (call: number) => string[];
  #calls = 0;

  constructor(clock: FakeClock, ports: (call: number) => string[]) {
    super(clock);
    this.#ports = ports;
  }

  override async execLan(): Promise<{ status: number; stdout: string; stderr: string }> {
    return { status: 0, stdout: [HEAD, ...this.#ports(this.#calls++).map((p) => row(p))].join('\n'), stderr: '' };
  }
}

const PORTS = ['A001', 'A002', 'A003', 'A004', 'A005', 'A006', 'A007', 'A008'];

t.test('the primary each time, connections of every lasting kind over both families', async (t) => {
  t.ok(takeoversPlan(10).every((p) => p.action === 'powerOffPrimary' && p.phase === null));
  t.equal(takeoversPlan(10).length, 10);
  t.throws(() => takeoversPlan(0), /whole number/);
  for (const family of [4, 6])
    for (const kind of ['download', 'upload', 'echoTcp', 'record'])
      t.ok(
        stayingClients().some((c) => c.kind === kind && c.family === family),
        `${kind} over IPv${family}`,
      );
});

t.test('established sockets only', async (t) => {
  const table = [HEAD, row('A001'), row('A002', '06'), '', row('A003')].join('\n');
  t.same([...establishedIn(table)], ['0100004D0A:A001 0A004D0A:0007', '0100004D0A:A003 0A004D0A:0007']);
});

t.test('the same sockets through all takeovers', async (t) => {
  const clock = new FakeClock();
  // Not all are established at once.
  const lab = new LabWithSockets(clock, (call) => [...PORTS.slice(call < 2 ? 3 : 0), `B00${call}`]);
  const report = await runTakeovers({ count: 3, lab, clients: new FakeClients(clock), clock });
  t.strictSame(report.problems, []);
  t.equal(report.rounds.length, 3);
  t.match(report.rounds[2]?.remarks, ['8 connections are the ones of the beginning']);
  t.match(stallTable(report), /download +3/);
});

t.test('a connection that was opened anew is found', async (t) => {
  const clock = new FakeClock();
  const lab = new LabWithSockets(clock, (call) => (call < 3 ? PORTS : [...PORTS.slice(1), 'C001']));
  const report = await runTakeovers({ count: 3, lab, clients: new FakeClients(clock), clock });
  t.equal(report.ok, false);
  t.match(report.problems.join('; '), /round 2: 7 of 8 connections are the ones of the beginning/);
});
