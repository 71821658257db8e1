// Captured sessions with two other implementations: whoever knows the password can check every code and read every packet, and our own
// encoders make the same bytes.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { decodeMessage, encodeRequest, encodeResponse } from '../../../../drivers/ipmi/messages.ts';
import { decodePacket, encodePlain, encodeSealed, encodeSigned, encodeVersion15, PAYLOAD } from '../../../../drivers/ipmi/rmcp.ts';
import * as codec from '../../../../drivers/ipmi/session-codec.ts';
import * as keys from '../../../../drivers/ipmi/session-keys.ts';
import type { CipherSuite } from '../../../../drivers/ipmi/types.ts';

const TESTDATA = join(import.meta.dirname, '../../../../drivers/ipmi/testdata');
const PASSWORD = keys.padKey(Buffer.from('only-for-tests'));

/** The comment above a packet of a session ends in its data. */
function readExchange(file: string): { packet: Buffer; data: string }[] {
  const lines = readFileSync(join(TESTDATA, file), 'utf8').trim().split('\n');
  return lines.flatMap((line, i) => {
    if (line.startsWith('#')) return [];
    const data = lines[i - 1]?.split(': ').at(-1) ?? '';
    return [{ packet: Buffer.from(line.slice(2), 'hex'), data: data === '(nothing)' ? '' : data }];
  });
}

for (const [file, suite] of [
  ['openipmi-suite-3.txt', 3],
  ['ipmitool-suite-17.txt', 17],
] as const) {
  t.test(file, async (t) => {
    const { hashBytes, codeBytes } = keys.suiteHash(suite as CipherSuite);
    const exchange = { suite, userKey: PASSWORD, bmcKey: PASSWORD } as keys.Exchange;
    let sealed = 0;
    for (const { packet, data } of readExchange(file)) {
      const p = decodePacket(packet, codeBytes);
      if (p.kind === 'version15') {
        const m = decodeMessage(p.message);
        const again = m.netFn % 2 === 1 ? encodeResponse(m) : encodeRequest(m);
        // ipmitool says checksum and addresses as we do.
        t.same(encodeVersion15(p.sequence, p.sessionId, again), packet);
      } else if (p.kind === 'plain') {
        t.same(encodePlain(p.payloadType, again(p.payloadType, p.payload)), packet, `payload ${p.payloadType.toString(16)}`);
      } else {
        sealed++;
        const k = keys.sessionKeys(exchange);
        t.ok(keys.sameBytes(keys.integrityCode(k, p.signed), p.code), 'integrity');
        const message = keys.decryptPayload(k, p.payload);
        const m = decodeMessage(message);
        t.equal(m.data.toString('hex'), data);
        t.same(m.netFn % 2 === 1 ? encodeResponse(m) : encodeRequest(m), message);
        const encrypted = keys.encryptPayload(k, message, p.payload.subarray(0, 16));
        const signed = encodeSigned(PAYLOAD.message, p.sessionId, p.sequence, encrypted);
        t.same(encodeSealed(signed, keys.integrityCode(k, signed)), packet, 'the same bytes');
      }
    }
    t.ok(sealed >= 8);

    function again(type: number, payload: Buffer): Buffer {
      switch (type) {
        case PAYLOAD.openSessionRequest:
          return codec.encodeOpenSessionRequest(codec.decodeOpenSessionRequest(payload));
        case PAYLOAD.openSessionResponse: {
          const m = codec.decodeOpenSessionResponse(payload);
          Object.assign(exchange, m);
          return codec.encodeOpenSessionResponse(m, payload[2]);
        }
        case PAYLOAD.rakp1: {
          const m = codec.decodeRakp1(payload);
          Object.assign(exchange, m);
          return codec.encodeRakp1(m);
        }
        case PAYLOAD.rakp2: {
          const m = codec.decodeRakp2(payload, hashBytes);
          if (!('code' in m)) throw new Error('the capture has no error');
          Object.assign(exchange, { bmcRandom: m.bmcRandom, guid: m.guid });
          t.ok(keys.sameBytes(keys.rakp2Code(exchange), m.code), 'RAKP 2 proves the password');
          return codec.encodeRakp2(m);
        }
        case PAYLOAD.rakp3: {
          const m = codec.decodeRakp3(payload);
          t.ok(keys.sameBytes(keys.rakp3Code(exchange), m.code), 'RAKP 3 too');
          return codec.encodeRakp3(m);
        }
        default: {
          t.equal(type, PAYLOAD.rakp4);
          const m = codec.decodeRakp4(payload, codeBytes);
          t.ok(keys.sameBytes(keys.sessionKeys(exchange).rakp4Code, m.code), 'RAKP 4 closes it');
          return codec.encodeRakp4(m);
        }
      }
    }
  });
}
