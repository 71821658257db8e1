import fc from 'fast-check';
import t from 'tap';
import {
  buildFrame,
  ETHER_TYPE_LOCAL,
  FRAME_MAX_BYTES,
  macFromBytes,
  macToBytes,
  packFrames,
  parseEthernet,
  unpackFrames,
} from '../../../../drivers/ethernet/codec.ts';

t.test('a frame of the README', async (t) => {
  const frame = buildFrame('52:54:00:00:00:02', '52:54:00:00:00:01', ETHER_TYPE_LOCAL, Buffer.from('Twin'));
  t.equal(frame.toString('hex'), '52540000000252540000000188b55477696e');
  t.same(parseEthernet(frame), {
    destination: '52:54:00:00:00:02',
    source: '52:54:00:00:00:01',
    etherType: 0x88b5,
    vlan: undefined,
    payloadOffset: 14,
  });
  t.equal(packFrames([frame]).toString('hex'), `00000012${frame.toString('hex')}`);
});

t.test('a VLAN tag is looked behind', async (t) => {
  const tagged = Buffer.from('5254000000025254000000018100000508000000', 'hex');
  t.same(parseEthernet(tagged), {
    destination: '52:54:00:00:00:02',
    source: '52:54:00:00:00:01',
    etherType: 0x0800,
    vlan: 5,
    payloadOffset: 18,
  });
  t.equal(parseEthernet(tagged.subarray(0, 17)), undefined);
  t.equal(parseEthernet(tagged.subarray(0, 13)), undefined);
});

t.test('MAC addresses', async (t) => {
  t.equal(macFromBytes(macToBytes('AA:bb:00:01:02:ff')), 'aa:bb:00:01:02:ff');
  for (const bad of ['', 'aa:bb', 'aa:bb:cc:dd:ee:fg', 'aabbccddeeff', 'aa:bb:cc:dd:ee:ff:00']) {
    t.throws(() => macToBytes(bad), { name: 'RangeError', message: `'${bad}' is not a MAC address (like 52:54:00:12:34:56)` });
  }
});

t.test('batches: packed and unpacked, cut anywhere', async () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ minLength: 14, maxLength: 200 }), { maxLength: 20 }), fc.nat(), (frames, cut) => {
      const batch = packFrames(frames);
      const first = unpackFrames(batch.subarray(0, cut % (batch.length + 1)));
      const second = unpackFrames(batch.subarray(first.usedBytes));
      const all = [...first.frames, ...second.frames];
      if (first.usedBytes + second.usedBytes !== batch.length || all.length !== frames.length) throw new Error('lost');
      for (const [i, f] of frames.entries()) if (!all[i]?.equals(f)) throw new Error(`frame ${i}`);
    }),
  );
});

t.test('impossible lengths are named, never followed', async (t) => {
  t.throws(() => unpackFrames(Buffer.from('0000000d00', 'hex')), /a frame of 13 bytes at offset 0/);
  t.throws(() => unpackFrames(Buffer.from('ffffffff00', 'hex')), /a frame of 4294967295 bytes/);
  t.throws(() => packFrames([new Uint8Array(FRAME_MAX_BYTES + 1)]), /a frame of 65601 bytes/);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      try {
        const { usedBytes } = unpackFrames(Buffer.from(bytes));
        if (usedBytes > bytes.length) throw new Error('beyond the end');
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
      }
    }),
  );
});
