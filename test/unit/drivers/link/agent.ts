// The partner B of cut.test.ts: receives numbered messages, tells every 1000th and every fault as a JSON line, answers each 1000th.
import { createInterface } from 'node:readline';
import { PairChannel } from '../../../../drivers/link/index.ts';

const { port, links, key } = JSON.parse(process.argv[2] ?? '{}');
const channel = new PairChannel({ side: 'B', port, links, key: Buffer.from(key, 'hex') });
const tell = (event: string, data: unknown): void => console.log(JSON.stringify({ event, data }));
let expected = 0;
channel.on('message', (message) => {
  const number = message.readUInt32BE(0);
  if (number !== expected) tell('fault', { number, expected });
  expected = number + 1;
  if (expected % 1000 === 0) {
    tell('received', expected);
    channel.send(message.subarray(0, 4));
  }
});
channel.on('up', () => tell('up', null));
channel.on('down', (reason) => tell('down', reason));
channel.on('reset', (reason) => {
  expected = 0;
  tell('reset', reason);
});
createInterface({ input: process.stdin }).on('line', (line) => {
  const [link, up] = line.split(' ');
  channel.linkVerdict(Number(link), up === 'up');
});
tell('ready', null);
