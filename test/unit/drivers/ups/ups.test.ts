import t from 'tap';
import { getRequest, judgeStatus, numberOf, parseReply } from '../../../../drivers/ups/codec.ts';
import { FakeUpsd } from '../../../../drivers/ups/fake.ts';
import { readUps } from '../../../../drivers/ups/index.ts';

t.test('replies', async (t) => {
  t.same(parseReply('VAR rack ups.status "OB LB"', 'rack'), { kind: 'variable', name: 'ups.status', value: 'OB LB' });
  t.same(parseReply('VAR rack ups.id "a \\"b\\" \\\\c"', 'rack'), { kind: 'variable', name: 'ups.id', value: 'a "b" \\c' });
  t.same(parseReply('ERR DATA-STALE', 'rack'), { kind: 'error', code: 'DATA-STALE' });
  for (const line of ['', 'VAR', 'VAR rack ups.status OL', 'VAR other ups.status "OL"', 'VAR rack ups.status "OL', 'OK'])
    t.same(parseReply(line, 'rack'), { kind: 'malformed' }, line);
  for (const value of ['OL \u001b[2J', 'OL\r', 'OL '.repeat(200)])
    t.same(parseReply(`VAR rack ups.status "${value}"`, 'rack'), { kind: 'malformed' }, 'nothing that moves a cursor, nothing endless');
});

t.test('what a status says', async (t) => {
  t.same(judgeStatus('OL CHRG'), { onBattery: false, low: false });
  t.same(judgeStatus('OB DISCHRG'), { onBattery: true, low: false });
  t.same(judgeStatus('OB LB'), { onBattery: true, low: true });
  t.same(judgeStatus('OL LB'), { onBattery: false, low: false }, 'charging after an outage');
  t.same(judgeStatus('FSD OL'), { onBattery: true, low: true });
  for (const status of ['', 'OFF', 'WAIT', 'OLD']) t.equal(judgeStatus(status), null, status);
  t.same(['97', '97.5', '', '-1', 'x', '9'.repeat(400)].map(numberOf), [97, 97.5, null, null, null, null]);
});

t.test('a name cannot smuggle in another request', async (t) => {
  t.equal(getRequest('rack-1', 'ups.status'), 'GET VAR rack-1 ups.status\n');
  t.throws(() => getRequest('rack\nSET VAR', 'ups.status'), /no name of a UPS/);
  t.throws(() => getRequest('', 'ups.status'), /no name of a UPS/);
});

t.test('a reading, and what is wrong in words', async (t) => {
  const upsd = await FakeUpsd.start();
  t.teardown(() => upsd.close());
  const target = { address: '127.0.0.1', port: upsd.port, name: 'rack' };
  t.same(await readUps(target), { onBattery: false, low: false, chargePercent: null, runtimeS: null, status: 'OL' });
  upsd.variables.set('ups.status', 'OB LB').set('battery.charge', '12').set('battery.runtime', '300');
  t.same(await readUps(target), { onBattery: true, low: true, chargePercent: 12, runtimeS: 300, status: 'OB LB' });
  upsd.variables.set('ups.status', 'OFF');
  await t.rejects(readUps(target), /neither on line nor on battery: its status is "OFF"/);
  await t.rejects(readUps({ ...target, name: 'other' }), /the UPS other at 127\.0\.0\.1:\d+: upsd does not know it/);
  for (const [said, message] of [
    ['ERR DATA-STALE\n', /does not hear it any more/],
    ['ERR DRIVER-NOT-CONNECTED\n', /its driver does not run/],
    ['ERR ACCESS-DENIED\n', /does not let this address ask/],
    ['ERR STRANGE\n', /upsd refused: STRANGE/],
    ['hello\n', /upsd answered "hello"/],
    ['\u001b[2Jhello\n', /upsd answered "\?\[2Jhello"/],
    ['x'.repeat(5_000), /does not stop talking/],
    ['VAR rack ups.status "OL"\n'.repeat(500), /does not stop talking/],
  ] as const) {
    upsd.instead = said;
    await t.rejects(readUps(target), message);
  }
  upsd.isSilent = true;
  await t.rejects(readUps({ ...target, timeoutMs: 50 }), /no answer within 50 ms/);
  await upsd.close();
  await t.rejects(readUps(target), /ECONNREFUSED/);
});
