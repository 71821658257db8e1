// A client of the guest, for the client's namespace. Prints one line of JSON per answer.
//   get HOST BYTES      HTTP download, checked byte by byte
//   put HOST BYTES      HTTP upload, checked by its SHA-256
//   udp HOST COUNT      echo: COUNT datagrams at once; one line per answer, then waits to be killed
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { request } from 'node:http';
import { ContentChecker, contentBytes } from '../../hwqual/lab/clients/content.ts';

const [what, host = '', amount = ''] = process.argv.slice(2);
const say = (o: unknown): boolean => process.stdout.write(`${JSON.stringify(o)}\n`);
const n = Number(amount);
const started = performance.now();
const rate = () => ({ ms: Math.round(performance.now() - started), mbitPerS: Math.round((n * 8) / (performance.now() - started) / 1000) });

switch (what) {
  case 'get':
    request({ host, path: `/file/${n}` }, (response) => {
      const checker = new ContentChecker();
      let wrongAt = -1;
      let bytes = 0;
      response.on('data', (d: Buffer) => {
        bytes += d.length;
        if (wrongAt < 0) wrongAt = checker.push(d);
      });
      response.on('end', () => say({ status: response.statusCode, bytes, wrongAt, ...rate() }));
    }).end();
    break;
  case 'put': {
    const content = contentBytes(0, n);
    const sha256 = createHash('sha256').update(content).digest('hex');
    const r = request({ host, path: '/sink', method: 'PUT', headers: { 'content-length': n } }, (response) => {
      let text = '';
      response.on('data', (d: Buffer) => (text += d));
      response.on('end', () => say({ status: response.statusCode, matches: text.includes(sha256), ...rate() }));
    });
    r.end(content);
    break;
  }
  case 'udp': {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    socket.on('message', (m) => say({ echo: m.toString(), ms: Math.round(performance.now() - started) }));
    for (let i = 0; i < n; i++) socket.send(`datagram ${i}`, 7, host);
    break;
  }
  default:
    throw new Error(`unknown client '${what}'`);
}
