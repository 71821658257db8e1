// Inventories as BMCs store them, well or badly; and the BMC's own watchdog.
import t from 'tap';
import { FakeIpmiDevice } from '../../../../drivers/ipmi/fake-local.ts';
import { openLocalIpmi } from '../../../../drivers/ipmi/index.ts';

const text = (s: string): Buffer => Buffer.concat([Buffer.from([0xc0 | s.length]), Buffer.from(s, 'latin1')]);

function withChecksum(b: Buffer): Buffer {
  b[b.length - 1] = 0;
  b[b.length - 1] = -b.reduce((sum, byte) => sum + byte, 0) & 0xff;
  return b;
}

function area(head: readonly number[], fields: readonly Buffer[], mark = true): Buffer {
  const body = Buffer.concat([Buffer.from(head), ...fields, Buffer.from(mark ? [0xc1] : [])]);
  const b = Buffer.concat([body, Buffer.alloc(8 - (body.length % 8))]);
  b[1] = b.length / 8;
  return withChecksum(b);
}

/** Header and areas, one after the other. */
function inventory(areas: { chassis?: Buffer; board?: Buffer; product?: Buffer }): Buffer {
  const header = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);
  let at = 8;
  for (const [i, b] of [areas.chassis, areas.board, areas.product].entries()) {
    if (b === undefined) continue;
    header[2 + i] = at / 8;
    at += b.length;
  }
  const rest = [areas.chassis, areas.board, areas.product].filter((b) => b !== undefined);
  return Buffer.concat([withChecksum(header), ...rest]);
}

const BOARD = area([1, 0, 25, 0, 0, 0], [text('Maker'), text('Board'), text('S1'), text('P1'), text('')]);
const PRODUCT = area([1, 0, 25], ['Maker', 'Server', 'P2', 'v1', 'S2', '', ''].map(text));

async function open(t: { teardown: (fn: () => unknown) => void }) {
  const device = new FakeIpmiDevice();
  const bmc = await openLocalIpmi('/dev/ipmi0', { native: device });
  t.teardown(() => bmc.close());
  const { parts } = device.machine;
  const read = async (bytes: Buffer) => {
    parts.inventories.set(0, bytes);
    const [first] = await bmc.inventories();
    return first;
  };
  return { device, bmc, parts, read };
}

t.test('what a part is', async (t) => {
  const { read, parts } = await open(t);
  const whole = { product: { name: 'Server', serial: 'S2', custom: [] }, board: { serial: 'S1', madeOnS: undefined }, problem: undefined };
  t.match(await read(inventory({ board: BOARD, product: PRODUCT })), whole);
  parts.maxBytes = 8;
  t.match(await read(inventory({ board: BOARD, product: PRODUCT })), whole, 'little at once');
  parts.maxBytes = 0xff;
  parts.inWords = true;
  t.match(await read(inventory({ board: BOARD, product: PRODUCT })), whole, 'in words');
  parts.inWords = false;
  // Types of text: bytes, BCD plus, packed; of another language than English, Unicode.
  const fields = [Buffer.from([0x02, 0xab, 0xcd]), Buffer.from([0x42, 0x12, 0xa3]), Buffer.from([0x83, 0x29, 0xdc, 0xa6])];
  t.match((await read(inventory({ product: area([1, 0, 25], fields) })))?.product, {
    manufacturer: 'abcd',
    name: '12 3',
    partNumber: 'IPMI',
  });
  const unicode = Buffer.concat([Buffer.from([0xc4]), Buffer.from('Äß', 'utf16le')]);
  t.equal((await read(inventory({ product: area([1, 0, 7], [unicode]) })))?.product?.manufacturer, 'Äß');
  t.equal((await read(inventory({ product: area([1, 0, 25], [text('No mark')], false) })))?.product?.manufacturer, 'No mark');
  t.equal((await read(inventory({ product: area([1, 0, 25], [text('a\u001b[2Jb')]) })))?.product?.manufacturer, 'a [2Jb');
});

t.test('what is wrong with one is said, and the rest counts', async (t) => {
  const { read, bmc, device, parts } = await open(t);
  const damaged = Buffer.from(BOARD);
  damaged[9] = (damaged[9] ?? 0) ^ 1;
  t.match(await read(inventory({ board: damaged, product: PRODUCT })), {
    board: undefined,
    product: { name: 'Server' },
    problem: /^a FRU area with a wrong checksum$/,
  });
  t.match(await read(Buffer.alloc(64, 0xff)), { problem: /version 15: not written/ });
  t.match(await read(Buffer.from([1, 0, 0, 1, 0, 0, 0, 0])), { problem: /header with a wrong checksum/ });
  t.match(await read(withChecksum(Buffer.from([1, 0, 0, 200, 0, 0, 0, 0]))), { problem: /a FRU of 8 bytes with an area up to 1602/ });
  const long = area([1, 0, 25], [text('Maker')]);
  long[3] = 0xff;
  t.match(await read(inventory({ product: withChecksum(long) })), { problem: /a FRU field that ends outside of its area/ });
  t.match(await read(inventory({ product: withChecksum(Buffer.from([1, 0, 25, 0, 0, 0, 0, 0])) })), { problem: /without length/ });
  const answer = device.machine.answer.bind(device.machine);
  device.machine.answer = (netFn, command, data) => (command === 0x11 ? Buffer.from([0, 0]) : answer(netFn, command, data));
  t.match(await read(inventory({ board: BOARD })), { problem: /a FRU that ends after 0 bytes/ });
  device.machine.answer = answer;
  parts.inventories.clear();
  t.match(await bmc.inventories(), [{ device: 0, problem: /there is no such sensor, record or data/ }]);
});

t.test('the watchdog of the BMC', async (t) => {
  const { bmc, parts } = await open(t);
  t.match(await bmc.watchdog(), { running: false, timeoutMs: 0 });
  await t.rejects(bmc.startWatchdog(), { name: 'IpmiError', reason: 'rejected', message: /no watchdog that was set: set it before/ });
  await bmc.setWatchdog({ use: 'smsOs', action: 'hardReset', timeoutMs: 10_000 });
  t.match(await bmc.watchdog(), { running: false, use: 'smsOs', action: 'hardReset', timeoutMs: 10_000 });
  await bmc.startWatchdog();
  await bmc.startWatchdog();
  t.equal(parts.starts, 2);
  t.equal((await bmc.watchdog()).running, true);
  await bmc.setWatchdog({ use: 'smsOs', action: 'hardReset', timeoutMs: 20_000, keepRunning: true });
  t.match(await bmc.watchdog(), { running: true, timeoutMs: 20_000 });
  await bmc.stopWatchdog();
  t.match(await bmc.watchdog(), { running: false, action: 'none' });
  await t.rejects(bmc.setWatchdog({ use: 'smsOs', action: 'none', timeoutMs: 0 }), RangeError);
});
