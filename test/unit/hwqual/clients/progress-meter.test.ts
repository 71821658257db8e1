import t from 'tap';
import { HUNG_MS, ProgressMeter } from '../../../../hwqual/lab/clients/progress-meter.ts';

t.test('only waiting counts', async (t) => {
  const meter = new ProgressMeter();
  t.equal(meter.longestMs('round', 5000), 0, 'idle from the start');
  meter.expect(1000);
  meter.expect(1400);
  meter.progress(1500);
  meter.rest(1700);
  t.equal(meter.longestMs('round', 9000), 500);
  meter.expect(9000);
  t.equal(meter.longestMs('round', 9900), 900, 'a stall that goes on counts so far');
  meter.rest(10_000);
  t.equal(meter.longestMs('round', 20_000), 1000);
});

t.test('windows', async (t) => {
  const meter = new ProgressMeter();
  meter.expect(0);
  meter.progress(300);
  meter.startWindow('round');
  t.equal(meter.longestMs('round', 400), 100, 'what goes on began before the window');
  t.equal(meter.longestMs('sample', 400), 300, 'the other window is its own');
  meter.progress(2300);
  t.equal(meter.longestMs('round', 2300), 2000, 'a stall across windows counts with its whole length');
});

t.test('hung', async (t) => {
  const meter = new ProgressMeter();
  t.notOk(meter.isHung(1e9), 'idle is never hung');
  meter.expect(0);
  t.notOk(meter.isHung(HUNG_MS - 1));
  t.ok(meter.isHung(HUNG_MS));
  meter.progress(HUNG_MS);
  t.notOk(meter.isHung(HUNG_MS + 1));
  meter.abandon(2 * HUNG_MS + 500);
  t.equal(meter.longestMs('round', 1e9), HUNG_MS + 500);
  t.notOk(meter.isHung(1e9));
});
