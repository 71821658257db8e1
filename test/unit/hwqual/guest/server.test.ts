// The guest's real server, compiled and run here in a network namespace of its own: driven by the real clients and by hand.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t from 'tap';
import { ClientsProcess, defaultClients } from '../../../../hwqual/lab/clients/controller.ts';
import { parseRecords } from '../../../../hwqual/lab/guest/data-disk.ts';

if (process.getuid?.() !== 0) t.bailout('these tests need a network namespace: run them as root');

// Not /tmp: `list` reads with O_DIRECT, which tmpfs may not have.
const folder = mkdtempSync('/var/tmp/guest-server-');
const binary = join(folder, 'server');
const source = join(import.meta.dirname, '../../../../hwqual/lab/guest/server.c');
execFileSync('gcc', ['-O1', '-g', '-Wall', '-Wextra', '-Werror', '-pthread', '-o', binary, source]);
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

interface Served {
  process: ChildProcess;
  enter: (command: string[]) => ChildProcess;
}

async function serve(records: string): Promise<Served> {
  const child = spawn('unshare', ['--net', 'sh', '-c', 'ip link set lo up && exec "$0" "$1"', binary, records], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  for await (const line of createInterface({ input: child.stdout })) if (line === 'GUEST READY') break;
  const enter = (command: string[]): ChildProcess => spawn('nsenter', ['-t', String(child.pid), '-n', '--', ...command], { stdio: 'pipe' });
  return { process: child, enter };
}

/** Sends text to a port inside and answers what comes until the server closes. */
async function talk(served: Served, port: number, text: string): Promise<string> {
  const script =
    'const s=require("net").connect(+process.argv[1],"::1",()=>s.end(process.argv[2]));s.on("data",d=>process.stdout.write(d));s.on("error",e=>console.log(e.message))';
  const child = served.enter([process.execPath, '-e', script, String(port), text]);
  let answer = '';
  child.stdout?.on('data', (piece: Buffer) => {
    answer += piece.toString('latin1');
  });
  await new Promise((done) => child.once('close', done));
  return answer;
}

t.test('all kinds of clients over IPv4 and IPv6', async (t) => {
  const served = await serve(join(folder, 'all'));
  t.teardown(() => served.process.kill('SIGKILL'));
  const clients = new ClientsProcess({ spawn: served.enter, target: { ipv4: '127.0.0.1', ipv6: '::1' } });
  const quick = defaultClients().map((spec) =>
    'rateBytesPerS' in spec && spec.bytes < 1e9 ? { ...spec, bytes: 300_000, rateBytesPerS: 2_000_000 } : spec,
  );
  await clients.open(quick);
  await new Promise((done) => setTimeout(done, 1500));
  const report = await clients.mark('end');
  for (const [kind, counts] of Object.entries(report.kinds)) {
    t.ok(counts.operations > 0, `${kind}: ${counts.operations} operations`);
    t.equal(counts.hung + counts.broken + counts.wrong, 0, `${kind} without fault`);
  }
  t.strictSame([...clients.incidents], []);
  const records = await clients.verifyRecords();
  t.equal(records.lostCount, 0);
  await clients.stop();
  const acknowledged = await clients.acknowledged();
  await clients.close();
  const file = new Set(parseRecords(readFileSync(join(folder, 'all'))));
  t.ok(acknowledged.length > 0 && acknowledged.every((number) => file.has(number)));
});

t.test('the record protocol', async (t) => {
  const records = join(folder, 'records');
  let served = await serve(records);
  t.equal(await talk(served, 9009, 'append 3\nappend 1\r\nlist\n'), 'ok 3\nok 1\nrecords 2\n3\n1\nend\n');
  const bad = [
    'append\n',
    'append x\n',
    'append -1\n',
    'append 1 2\n',
    'append 1234567890123456789\n',
    'delete 1\n',
    '\n',
    `${'y'.repeat(100)}\n`,
  ];
  for (const line of bad) t.match(await talk(served, 9009, line), /^error [^\n]+\n$/, JSON.stringify(line.slice(0, 30)));
  t.equal(await talk(served, 9009, 'append 999999999999999999\n'), 'ok 999999999999999999\n');
  served.process.kill('SIGKILL');
  await new Promise((done) => served.process.once('exit', done));

  // A power failure tore an unacknowledged record: the others are there, and the file goes on after them.
  const whole = readFileSync(records);
  writeFileSync(records, Buffer.concat([whole, whole.subarray(0, 13)]));
  served = await serve(records);
  t.teardown(() => served.process.kill('SIGKILL'));
  t.equal(await talk(served, 9009, 'append 8\nlist\n'), 'ok 8\nrecords 4\n3\n1\n999999999999999999\n8\nend\n');

  const damaged = readFileSync(records);
  damaged[40] = 0x39;
  writeFileSync(records, damaged);
  t.match(await talk(served, 9009, 'list\n'), /^records 4\n3\nerror record 1 is damaged\n$/);
});

t.test('HTTP', async (t) => {
  const served = await serve(join(folder, 'http'));
  t.teardown(() => served.process.kill('SIGKILL'));
  const sha = (text: string): string => createHash('sha256').update(text).digest('hex');
  for (const length of [0, 1, 55, 56, 63, 64, 65, 119, 120, 1000]) {
    const body = 'z'.repeat(length);
    const answer = await talk(served, 80, `PUT /sink HTTP/1.1\r\nContent-Length: ${length}\r\n\r\n${body}`);
    t.ok(answer.startsWith('HTTP/1.1 200 OK\r\n') && answer.endsWith(`\r\n\r\n${sha(body)}`), `SHA-256 of ${length} bytes`);
  }
  const chunked =
    'PUT /sink HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nTrailer: x\r\n\r\n';
  const continued = await talk(served, 80, chunked);
  t.ok(continued.startsWith('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n'));
  t.ok(continued.endsWith(sha('hello world')));
  const two = await talk(served, 80, 'HEAD /file/10 HTTP/1.1\r\n\r\nGET /file/0 HTTP/1.1\r\n\r\n');
  t.equal(two.match(/200 OK/g)?.length, 2, 'pipelined requests on one connection');
  const refused: [string, number][] = [
    ['GET / HTTP/1.1\r\n\r\n', 404],
    ['GET /file/x HTTP/1.1\r\n\r\n', 400],
    ['GET /file/99999999999 HTTP/1.1\r\n\r\n', 400],
    ['PUT /file/1 HTTP/1.1\r\nContent-Length: 0\r\n\r\n', 405],
    ['PUT /panic HTTP/1.1\r\nContent-Length: 0\r\n\r\n', 403],
    ['PUT /poweroff HTTP/1.1\r\nContent-Length: 0\r\n\r\n', 403],
    ['PUT /sink HTTP/1.1\r\n\r\n', 411],
    ['PUT /sink HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n', 400],
    ['PUT /sink HTTP/1.1\r\nContent-Length: -1\r\n\r\n', 400],
    ['nonsense\r\n\r\n', 400],
    [`GET /file/1 HTTP/1.1\r\nX: ${'y'.repeat(2000)}\r\n\r\n`, 400],
  ];
  for (const [request, status] of refused)
    t.match(await talk(served, 80, request), new RegExp(`^HTTP/1.1 ${status} `), JSON.stringify(request.slice(0, 40)));
  t.equal(await talk(served, 80, 'PUT /sink HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc'), '', 'a body that ends too early gets no answer');
});
