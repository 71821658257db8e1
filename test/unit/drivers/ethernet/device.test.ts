import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import {
  BROADCAST_MAC,
  buildFrame,
  carrier,
  disableOffloads,
  ETHER_TYPE_ALL,
  ETHER_TYPE_IPV4,
  ETHER_TYPE_LOCAL,
  type FrameSocketHandlers,
  interfaceIndex,
  ioctl,
  macAddress,
  mtuBytes,
  nicDriver,
  nicExists,
  PacketSocket,
  type PacketSocketOptions,
  packFrames,
  parseEthernet,
  unpackFrames,
} from '../../../../drivers/ethernet/index.ts';
import { native } from '../../../../drivers/ethernet/native.ts';
import { enterNamespace, ip, OtherEnd } from './namespace.ts';

t.setTimeout(180_000);
enterNamespace(import.meta.url);

const MAC0 = '52:54:00:aa:00:00';
const MAC1 = '52:54:00:aa:00:01';
ip('link', 'set', 'lo', 'up');
ip('link', 'add', 'v0', 'address', MAC0, 'type', 'veth', 'peer', 'name', 'v1', 'address', MAC1);
ip('link', 'set', 'v0', 'up');
ip('link', 'set', 'v1', 'up');

/** Opens a socket that collects frames. */
function collector(options: Partial<PacketSocketOptions> & { nic: string }, handlers: Partial<FrameSocketHandlers> = {}) {
  const frames: Buffer[] = [];
  const batches: number[] = [];
  const errors: Error[] = [];
  const socket = new PacketSocket(
    { etherType: ETHER_TYPE_LOCAL, ...options },
    {
      onFrames: (batch) => {
        const unpacked = unpackFrames(batch);
        if (unpacked.usedBytes !== batch.length) throw new Error('a batch with an unfinished frame');
        frames.push(...unpacked.frames);
        batches.push(unpacked.frames.length);
      },
      onError: (error) => errors.push(error),
      ...handlers,
    },
  );
  return { socket, frames, batches, errors };
}

function closeAll(...all: { socket: PacketSocket }[]): void {
  for (const { socket } of all) socket.close();
}

async function until(done: () => boolean, what: string): Promise<void> {
  const end = performance.now() + 60_000;
  while (!done()) {
    if (performance.now() > end) throw new Error(`not within 60 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

const payload = (n: number, bytes = 50): Buffer => {
  const b = Buffer.alloc(bytes, n);
  b.writeUInt32BE(n, 0);
  return b;
};

t.test("a NIC's driver", async (t) => {
  t.match(nicDriver('v0'), { driver: 'veth', version: String, firmware: null, bus: null }, 'what it does not say is null');
  t.throws(() => nicDriver('lo'), { code: 'EOPNOTSUPP', message: /NIC 'lo'/ });
  t.throws(() => nicDriver('nope'), { code: 'ENODEV', message: /no such NIC 'nope'/ });
  t.throws(() => native().driverInfo('v0', Buffer.alloc(195)), /buffer of 196 bytes/, 'the kernel writes that much');
});

t.test('errors name the NIC and the remedy', { timeout: 120_000 }, async (t) => {
  t.throws(() => collector({ nic: 'lan0' }), { code: 'ENODEV', message: "no such NIC 'lan0'" });
  t.throws(() => collector({ nic: 'a-name-that-is-longer-than-any-nic' }), /no such NIC 'a-name-that-is-longer-than-any-nic'/);
  t.throws(() => macAddress('lan0'), { code: 'ENODEV' });
  t.equal(nicExists('lan0'), false);
  t.throws(() => native().send({} as never, Buffer.alloc(0)), /not a packet socket/);
  t.throws(() => native().close(JSON.parse('5')), /not a packet socket/);
  t.throws(() => (native().open as unknown as () => void)(), /too few arguments/);
  t.throws(() => native().interfaceRequest('v0', 0x8946, Buffer.alloc(24)), /not allowed here/);
  t.throws(() => native().ethtool('v0', 0x01, 0), /not an ethtool command with one value/);
  t.throws(() => ioctl(0, 0x80ff0001, Buffer.alloc(4)), /smaller than the request's argument/);
  t.throws(() => ioctl(99_999, 0x5401, Buffer.alloc(64)), { code: 'EBADF', message: /ioctl 0x5401 on descriptor 99999/ });
  const unprivileged = execFileSync(
    'setpriv',
    [
      '--bounding-set=-net_raw',
      '--inh-caps=-net_raw',
      process.execPath,
      '--no-warnings',
      '--input-type=module-typescript',
      '-e',
      `import { PacketSocket } from '${import.meta.resolve('../../../../drivers/ethernet/index.ts')}';
       try { new PacketSocket({ nic: 'v0', etherType: 3 }, { onFrames() {} }); } catch (e) { console.log(e.code, e.message); }`,
    ],
    { encoding: 'utf8' },
  );
  t.equal(unprivileged, 'EPERM packet sockets need root (CAP_NET_RAW): Operation not permitted\n');
});

t.test('what the NIC is', { timeout: 120_000 }, async (t) => {
  t.equal(macAddress('v0'), MAC0);
  t.equal(mtuBytes('v0'), 1500);
  t.ok(interfaceIndex('v0') > 0);
  t.equal(carrier('v0'), true);
  ip('link', 'set', 'v1', 'down');
  t.equal(carrier('v0'), false);
  t.equal(carrier('v1'), false);
  ip('link', 'set', 'v1', 'up');
  t.equal(carrier('v0'), true);
});

t.test('batches go out and come in, in order, and own frames do not come back', { timeout: 120_000 }, async (t) => {
  const from = collector({ nic: 'v0' });
  const to = collector({ nic: 'v1' });
  t.teardown(() => closeAll(from, to));
  const sent = Array.from({ length: 500 }, (_, i) => buildFrame(MAC1, MAC0, ETHER_TYPE_LOCAL, payload(i, 46 + (i % 1400))));
  const batch = packFrames(sent);
  t.equal(from.socket.sendBatch(batch), batch.length);
  await until(() => to.frames.length === 500, 'all frames');
  t.ok(to.frames.every((f, i) => f.equals(sent[i] ?? Buffer.alloc(0))));
  t.ok(Math.max(...to.batches) > 1, `batches of up to ${Math.max(...to.batches)}`);
  t.ok(Math.max(...to.batches) <= 64);
  t.equal(from.frames.length, 0);
  t.match(from.socket.statistics(), { sentFrames: 500, sendDropped: 0, receivedFrames: 0 });
  t.match(to.socket.statistics(), { receivedFrames: 500, kernelDropped: 0, oversized: 0, truncated: 0 });
});

t.test(
  'an unfinished frame at the end is left, an impossible length is refused after what is before it',
  { timeout: 120_000 },
  async (t) => {
    const from = collector({ nic: 'v0' });
    const to = collector({ nic: 'v1' });
    t.teardown(() => closeAll(from, to));
    const one = packFrames([buildFrame(MAC1, MAC0, ETHER_TYPE_LOCAL, payload(1))]);
    for (const cut of [1, 3, 4, 20]) t.equal(from.socket.sendBatch(Buffer.concat([one, one.subarray(0, cut)])), one.length);
    t.equal(from.socket.sendBatch(Buffer.alloc(0)), 0);
    t.throws(() => from.socket.sendBatch(Buffer.concat([one, Buffer.from('0000000000', 'hex')])), {
      name: 'RangeError',
      message: `a frame of 0 bytes at offset ${one.length} of the batch`,
    });
    await until(() => to.frames.length === 5, 'the whole ones');
    const large = packFrames([
      buildFrame(MAC1, MAC0, ETHER_TYPE_LOCAL, Buffer.alloc(3000)),
      buildFrame(MAC1, MAC0, ETHER_TYPE_LOCAL, payload(9)),
    ]);
    t.equal(from.socket.sendBatch(large), large.length);
    await until(() => to.frames.length === 6, 'the one that fits');
    t.equal(from.socket.statistics().sendDropped, 1, 'larger than the MTU');
  },
);

t.test('the type filter, other stations, every type', { timeout: 120_000 }, async (t) => {
  const from = collector({ nic: 'v0' });
  const typed = collector({ nic: 'v1' });
  const all = collector({ nic: 'v1', etherType: ETHER_TYPE_ALL, promiscuous: true });
  t.teardown(() => closeAll(from, typed, all));
  t.match(ip('-d', 'link', 'show', 'v1'), /promiscuity 1/);
  from.socket.sendBatch(
    packFrames([
      buildFrame(BROADCAST_MAC, MAC0, 0x88b6, payload(1)),
      buildFrame('52:54:00:bb:00:00', MAC0, ETHER_TYPE_LOCAL, payload(2)),
      buildFrame(MAC1, MAC0, ETHER_TYPE_LOCAL, payload(3)),
    ]),
  );
  await until(() => typed.frames.some((f) => f.readUInt32BE(14) === 3), 'the last one');
  // The kernel speaks on a new NIC, too: IPv6 looks for routers.
  const isOurs = (f: Buffer): boolean => f.readUInt32BE(6) === 0x525400aa && [0x88b6, ETHER_TYPE_LOCAL].includes(f.readUInt16BE(12));
  const numbers = (frames: Buffer[]) => frames.filter(isOurs).map((f) => f.readUInt32BE(14));
  await until(() => numbers(all.frames).length === 3, 'all of them');
  t.same(numbers(all.frames), [1, 2, 3]);
  t.ok(typed.frames.every((f) => parseEthernet(f)?.etherType === ETHER_TYPE_LOCAL));
  all.socket.close();
  t.match(ip('-d', 'link', 'show', 'v1'), /promiscuity 0/);
});

t.test('a full queue: partly taken, then writable, and nothing lost', { timeout: 120_000 }, async (t) => {
  execFileSync('tc', ['qdisc', 'add', 'dev', 'v0', 'root', 'tbf', 'rate', '40mbit', 'burst', '10kb', 'limit', '10mb']);
  let writable = 0;
  const to = collector({ nic: 'v1' });
  let rest = packFrames(Array.from({ length: 300 }, (_, i) => buildFrame(MAC1, MAC0, ETHER_TYPE_LOCAL, payload(i, 1000))));
  let done = false;
  const pump = () => {
    rest = rest.subarray(from.socket.sendBatch(rest));
    done = rest.length === 0;
  };
  const from = collector(
    { nic: 'v0', sendBufferBytes: 40_000 },
    {
      onWritable: () => {
        writable++;
        pump();
      },
    },
  );
  t.teardown(() => {
    for (const c of [from, to]) c.socket.close();
    execFileSync('tc', ['qdisc', 'del', 'dev', 'v0', 'root']);
  });
  pump();
  t.ok(rest.length > 0, 'partly taken');
  await until(() => done && to.frames.length === 300, 'all of them');
  t.ok(to.frames.every((f, i) => f.readUInt32BE(14) === i));
  t.ok(writable > 0, `${writable} times writable`);
  t.equal(from.socket.statistics().sendDropped, 0);
});

t.test('a NIC that goes down is told, and goes on when it is up again', { timeout: 120_000 }, async (t) => {
  const from = collector({ nic: 'v0' });
  const to = collector({ nic: 'v1' });
  t.teardown(() => closeAll(from, to));
  ip('link', 'set', 'v1', 'down');
  await until(() => to.errors.length > 0, 'the error');
  t.match(to.errors[0], { message: "NIC 'v1': ENETDOWN", code: 'ENETDOWN' });
  const lost = packFrames([buildFrame(MAC1, MAC0, ETHER_TYPE_LOCAL, payload(1))]);
  t.equal(from.socket.sendBatch(lost), lost.length, 'lost, not kept');
  ip('link', 'set', 'v1', 'up');
  await until(() => carrier('v0'), 'carrier');
  await until(() => {
    from.socket.sendBatch(packFrames([buildFrame(MAC1, MAC0, ETHER_TYPE_LOCAL, payload(2))]));
    return to.frames.length > 0;
  }, 'a frame');
  t.equal(to.frames[0]?.readUInt32BE(14), 2);
});

t.test('a NIC that vanishes is told', { timeout: 120_000 }, async (t) => {
  ip('link', 'add', 'w0', 'type', 'veth', 'peer', 'name', 'w1');
  ip('link', 'set', 'w0', 'up');
  const gone = collector({ nic: 'w0' });
  t.teardown(() => gone.socket.close());
  ip('link', 'del', 'w0');
  await until(() => gone.errors.length > 0, 'the error');
  t.match(gone.errors[0], { code: 'ENETDOWN' });
  t.equal(nicExists('w0'), false);
  const frame = packFrames([buildFrame(MAC1, MAC0, ETHER_TYPE_LOCAL, payload(1))]);
  t.equal(gone.socket.sendBatch(frame), frame.length);
  t.equal(gone.socket.statistics().sendDropped, 1);
});

t.test(
  'checksums left to the NIC are completed, large segments are counted, offloads can be turned off',
  { timeout: 120_000 },
  async (t) => {
    const other = await OtherEnd.open();
    ip('link', 'add', 'x0', 'type', 'veth', 'peer', 'name', 'x1', 'netns', String(other.pid));
    ip('addr', 'add', '10.9.0.1/24', 'dev', 'x0');
    ip('-6', 'addr', 'add', 'fd09::1/64', 'dev', 'x0', 'nodad');
    ip('link', 'set', 'x0', 'up');
    other.run('ip', 'addr', 'add', '10.9.0.2/24', 'dev', 'x1');
    other.run('ip', '-6', 'addr', 'add', 'fd09::2/64', 'dev', 'x1', 'nodad');
    other.run('ip', 'link', 'set', 'x1', 'up');
    const seen = collector({ nic: 'x0', etherType: ETHER_TYPE_ALL });
    let total = 0;
    const server = createServer((socket) =>
      socket.on('data', (d) => {
        total += d.length;
      }),
    );
    server.listen({ host: '::', port: 9000 });
    await once(server, 'listening');
    t.teardown(() => {
      server.close();
      seen.socket.close();
      other.close();
    });
    const udp = (family: string, to: string) =>
      other.run(
        process.execPath,
        '-e',
        `const s=require('dgram').createSocket('${family}');s.send('hello odd',9000,'${to}',()=>s.close())`,
      );
    udp('udp4', '10.9.0.1');
    udp('udp6', 'fd09::1');
    const isUdp = (f: Buffer) => (f.readUInt16BE(12) === ETHER_TYPE_IPV4 ? f[23] === 17 : f.readUInt16BE(12) === 0x86dd && f[20] === 17);
    await until(() => seen.frames.filter(isUdp).length >= 2, 'two datagrams');
    t.ok(seen.socket.statistics().checksumsCompleted >= 2, 'they came without checksums');
    for (const frame of seen.frames.filter(isUdp)) t.equal(transportSum(frame), 0xffff, 'a correct checksum');

    const upload = async () => {
      total = 0;
      const client = other.spawn(process.execPath, '-e', "const s=require('net').connect(9000,'10.9.0.1',()=>s.end(Buffer.alloc(2e6)))");
      await once(client, 'exit');
      await until(() => total === 2e6, 'the upload');
    };
    await upload();
    const before = seen.socket.statistics();
    t.ok(before.oversized > 0, `${before.oversized} segment trains`);
    const bad = seen.frames.filter((f) => f.readUInt16BE(12) === ETHER_TYPE_IPV4 && f[23] === 6 && transportSum(f) !== 0xffff);
    t.equal(bad.length, 0, 'also their checksums');

    t.same(disableOffloads('x0'), []);
    const left = other.run(
      process.execPath,
      '--no-warnings',
      '--input-type=module-typescript',
      '-e',
      `import { disableOffloads } from '${import.meta.resolve('../../../../drivers/ethernet/index.ts')}'; console.log(JSON.stringify(disableOffloads('x1')))`,
    );
    t.equal(left, '[]\n');
    // Frames are counted when they are read, in order: with this one all of the first upload has been.
    const datagrams = seen.frames.filter(isUdp).length;
    udp('udp4', '10.9.0.1');
    await until(() => seen.frames.filter(isUdp).length > datagrams, 'the last datagram');
    const middle = seen.socket.statistics();
    await upload();
    const after = seen.socket.statistics();
    t.equal(after.oversized, middle.oversized, 'no trains');
    t.equal(after.checksumsCompleted, middle.checksumsCompleted, 'complete checksums');
    t.equal(after.checksumsIncomplete, 0);
  },
);

/** The ones' complement sum over pseudo header and segment: 0xffff when the checksum is right. */
function transportSum(frame: Buffer): number {
  const v4 = frame.readUInt16BE(12) === ETHER_TYPE_IPV4;
  const start = v4 ? 14 + ((frame[14] ?? 0) & 15) * 4 : 54;
  const end = v4 ? 14 + frame.readUInt16BE(16) : 54 + frame.readUInt16BE(18);
  const segment = frame.subarray(start, end);
  const addresses = v4 ? frame.subarray(26, 34) : frame.subarray(22, 54);
  let sum = (v4 ? (frame[23] ?? 0) : (frame[20] ?? 0)) + segment.length;
  for (const part of [addresses, segment]) {
    for (let i = 0; i + 1 < part.length; i += 2) sum += part.readUInt16BE(i);
    if (part.length % 2) sum += (part[part.length - 1] ?? 0) << 8;
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum;
}

t.test('close twice, close within a callback, and use after it', { timeout: 120_000 }, async (t) => {
  const from = collector({ nic: 'v0' });
  let count = 0;
  const to = new PacketSocket(
    { nic: 'v1', etherType: ETHER_TYPE_LOCAL },
    {
      onFrames: () => {
        count++;
        to.close();
        to.close();
      },
    },
  );
  from.socket.sendBatch(packFrames([buildFrame(MAC1, MAC0, ETHER_TYPE_LOCAL, payload(1))]));
  await until(() => count === 1, 'the frame');
  from.socket.sendBatch(packFrames([buildFrame(MAC1, MAC0, ETHER_TYPE_LOCAL, payload(1))]));
  from.socket.close();
  t.throws(() => from.socket.sendBatch(Buffer.alloc(0)), { code: 'EBADF', message: /this packet socket is closed/ });
  t.equal(to.statistics().receivedFrames, 1);
});

t.test('sockets that are closed leave nothing behind', { timeout: 120_000 }, async (t) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const settle = async () => {
    for (let i = 0; i < 5; i++) {
      collect();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const openMany = (n: number) => {
    for (let i = 0; i < n; i++) collector({ nic: 'v0' }).socket.close();
  };
  openMany(20);
  await settle();
  const descriptors = readdirSync('/proc/self/fd').length;
  const before = process.memoryUsage().rss;
  openMany(150); // 10 ms each: the kernel waits until nobody uses the NIC's list
  await settle();
  t.equal(readdirSync('/proc/self/fd').length, descriptors);
  const grownMiB = (process.memoryUsage().rss - before) / 2 ** 20;
  t.ok(grownMiB < 15, `${grownMiB.toFixed(1)} MiB after 150 sockets of 0.2 MiB each`);
});

t.test('workers: several at once, terminated with open sockets, an exception in a callback', { timeout: 120_000 }, async (t) => {
  const url = import.meta.resolve('../../../../drivers/ethernet/index.ts');
  const code = `
    import { parentPort } from 'node:worker_threads';
    import { PacketSocket } from '${url}';
    const open = () => new PacketSocket({ nic: 'v1', etherType: 0x88b5 }, { onFrames: () => { if (process.env.FAIL) throw new Error('thrown by the listener'); parentPort.postMessage('frame'); } });
    open(); open().close(); open();
    parentPort.postMessage('open');`;
  const start = async (env: Record<string, string>) => {
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), {
      env: { ...process.env, ...env },
      execArgv: ['--no-warnings'],
    });
    await once(worker, 'message');
    return worker;
  };
  const from = collector({ nic: 'v0' });
  t.teardown(() => from.socket.close());
  const frame = packFrames([buildFrame(MAC1, MAC0, ETHER_TYPE_LOCAL, payload(1))]);
  const descriptors = () => readdirSync('/proc/self/fd').map((fd) => fd).length;
  const first = await start({});
  await first.terminate();
  const before = descriptors();
  for (let round = 0; round < 5; round++) {
    const workers = await Promise.all([start({}), start({}), start({})]);
    const heard = workers.map((w) => once(w, 'message'));
    from.socket.sendBatch(frame);
    for (const [message] of await Promise.all(heard)) t.equal(message, 'frame');
    from.socket.sendBatch(frame);
    await Promise.all(workers.map((w) => w.terminate()));
  }
  t.equal(descriptors(), before);
  const failing = await start({ FAIL: '1' });
  const failure = once(failing, 'error');
  from.socket.sendBatch(frame);
  t.match(await failure, [{ message: 'thrown by the listener' }]);
});
