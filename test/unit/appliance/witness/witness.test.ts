// The witness over its wire: grants, restarts, and what a CoServer is told when something does not fit.
import { rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { connect, createServer, getCACertificates, setDefaultCACertificates } from 'node:tls';
import t from 'tap';
import { consoleCertificate } from '../../../../appliance/console/api/certificate.ts';
import { deriveKey } from '../../../../appliance/wire/keys.ts';
import { WITNESS_LINE_BYTES, WITNESS_PROTOCOL } from '../../../../appliance/wire/witness.ts';
import { WitnessClient } from '../../../../appliance/witness/client.ts';
import { PairFolder } from '../../../../appliance/witness/enrolment.ts';
import { startWitness, type Witness } from '../../../../appliance/witness/server.ts';
import { enrol, newPair, stateFolder, type TestPair, Voice } from './bench-pair.ts';

function voices(t: { teardown: (f: () => void) => void }) {
  return (...args: ConstructorParameters<typeof Voice>) => {
    const voice = new Voice(...args);
    t.teardown(() => voice.client.close());
    return voice;
  };
}

t.test('a new pair, a restart, a loss of memory', async (t) => {
  const stateDir = stateFolder(t);
  const pair = newPair();
  enrol(stateDir, pair);
  const open = (port: number) => startWitness({ host: '127.0.0.1', port, stateDir, log: () => undefined });
  let witness = await open(0);
  t.teardown(() => witness.close());
  const { port } = witness;
  const voice = voices(t);
  const a = voice(port, pair, 'A', { generation: 0, state: 'fresh' });
  await a.unconfirmed();
  t.match(await a.client.claim(0), { kind: 'unconfirmed', reason: /no memory of this pair/ }, 'one side of a new pair is not enough');
  const b = voice(port, pair, 'B', { generation: 0, state: 'fresh' });
  await Promise.all([a.confirmed(), b.confirmed()]);
  const answers = await Promise.all([a.client.claim(0), b.client.claim(0)]);
  t.same(answers.map((x) => x.kind).sort(), ['granted', 'refused'], 'exactly one of two simultaneous claims');
  const [owner, loser] = answers[0]?.kind === 'granted' ? [a, b] : [b, a];
  t.equal((await owner.client.claim(0)).kind, 'granted', 'its own grant again: the answer was lost');

  // The answer is not on its disk yet.
  owner.client.setReport({ generation: 0, state: 'other' });
  await witness.close();
  await Promise.all([a.reachable(false), b.reachable(false)]);
  witness = await open(port);
  await Promise.all([a.unconfirmed(), b.unconfirmed()]);
  loser.client.setReport({ generation: 0, state: 'stopped' });
  t.match(
    await owner.client.claim(0),
    { kind: 'unconfirmed', reason: /another life|restarted/ },
    'a restarted witness says nothing again either',
  );
  owner.client.setReport({ generation: 1, state: 'simplex' });
  await owner.confirmed();
  t.equal((await owner.client.claim(1)).kind, 'granted', 'the simplex owner has confirmed it');

  owner.client.setReport({ generation: 2, state: 'duplex' });
  loser.client.setReport({ generation: 2, state: 'duplex' });
  await witness.close();
  rmSync(join(stateDir, 'memory.log'));
  await Promise.all([a.reachable(false), b.reachable(false)]);
  witness = await open(port);
  await Promise.all([a.stands(2, null), b.stands(2, null)]);
  t.pass('both in duplex have confirmed an empty one');
  t.equal((await b.client.claim(2)).kind, 'granted');
});

t.test('what a CoServer is told when something does not fit', async (t) => {
  const stateDir = stateFolder(t);
  const lines: string[] = [];
  const witness = await startWitness({ host: '127.0.0.1', port: 0, stateDir, log: (_severity, line) => lines.push(line) });
  t.teardown(() => witness.close());
  const voice = voices(t);
  const pair = newPair();
  const unknown = voice(witness.port, pair, 'A');
  await unknown.why(/does not know this pair: enrol it there with 'twinstep witness enrol'/);
  t.rejects(unknown.client.claim(1), /does not know this pair/, 'a claim says why it is not heard');
  t.ok(witness.counters.unknownPair > 0);
  t.ok(lines.some((l) => l.includes(pair.pairId) && l.includes('not enrolled')));

  enrol(stateDir, pair);
  await unknown.reachable();
  t.pass('an enrolled pair is served at once, without a restart');
  const wrong = voice(witness.port, { ...pair, pairKey: newPair().pairKey }, 'B');
  await wrong.why(/has another key for this pair/);
  t.ok(witness.counters.wrongKey > 0);
  new PairFolder(stateDir).remove(pair.pairId);
  await unknown.why(/does not know this pair/);
  await unknown.reachable(false);
  const all = lines.join('\n') + JSON.stringify([unknown.reasons, wrong.reasons]);
  t.notOk(all.includes(deriveKey(pair.pairKey, 'witness').toString('hex')) || all.includes(pair.pairKey.toString('hex')), 'no key is told');
});

/** A connection that says these lines and collects what comes back until its end. */
function say(port: number, pair: TestPair, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: '127.0.0.1',
      port,
      minVersion: 'TLSv1.3',
      ciphers: 'TLS_AES_128_GCM_SHA256',
      pskCallback: () => ({ psk: deriveKey(pair.pairKey, 'witness'), identity: pair.pairId }),
      checkServerIdentity: () => undefined,
    });
    let heard = '';
    socket.on('secureConnect', () => socket.write(text));
    socket.on('data', (chunk) => {
      heard += chunk.toString();
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(heard));
  });
}

t.test('other protocols and malformed lines', async (t) => {
  const stateDir = stateFolder(t);
  const pair = newPair();
  enrol(stateDir, pair);
  const witness = await startWitness({ host: '127.0.0.1', port: 0, stateDir, log: () => undefined });
  t.teardown(() => witness.close());
  const newer = await say(witness.port, pair, '{"kind":"hello","protocol":9,"more":true}\n');
  t.match(
    newer,
    /^\{"kind":"hello","protocol":2\}\n.*"code":"protocol".*this witness speaks protocol 2, the CoServer 9/,
    'a newer CoServer',
  );
  t.match(
    await say(witness.port, pair, '{"id":1,"kind":"ping"}\n'),
    /"code":"protocol".*a hello is needed/,
    'one of protocol 1, which had no hello',
  );
  t.equal(witness.counters.otherProtocol, 2);
  const hello = '{"kind":"hello","protocol":2,"coServer":"A","incarnation":"0011223344556677"}\n';
  t.match(
    await say(witness.port, pair, `${hello}{"id":1,"kind":"claim","generation":-1,"seen":null}\n`),
    /"code":"malformed".*generation is -1/,
  );
  t.match(await say(witness.port, pair, `${hello}${'x'.repeat(WITNESS_LINE_BYTES + 1)}`), /"code":"malformed".*longer than/);
  t.equal(witness.counters.malformed, 2);

  const future = createServer(
    { minVersion: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256', pskCallback: () => deriveKey(pair.pairKey, 'witness') },
    (socket) => {
      socket.on('error', () => undefined);
      socket.write('{"kind":"hello","protocol":3}\n');
    },
  );
  await new Promise<void>((resolve) => future.listen(0, '127.0.0.1', resolve));
  t.teardown(() => future.close());
  const voice = voices(t)((future.address() as AddressInfo).port, pair, 'A');
  await voice.why(/speaks protocol 3, this CoServer 2: update this CoServer/);
  t.pass('a newer witness is named');
});

t.test('a witness that talks without end is not listened to', async (t) => {
  const pair = newPair();
  const talker = createServer(
    { minVersion: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256', pskCallback: () => deriveKey(pair.pairKey, 'witness') },
    (socket) => {
      socket.on('error', () => undefined);
      socket.write(`${JSON.stringify({ kind: 'error', id: 0, code: 'malformed', reason: 'x'.repeat(5_000) })}\n`);
    },
  );
  await new Promise<void>((resolve) => talker.listen(0, '127.0.0.1', resolve));
  t.teardown(() => talker.close());
  await voices(t)((talker.address() as AddressInfo).port, pair, 'A').why(/a line of its reply is too long/);
  t.pass('said so, and not its five thousand characters');
});

t.test('one memory has one witness', async (t) => {
  const stateDir = stateFolder(t);
  const witness = await startWitness({ host: '127.0.0.1', port: 0, stateDir, log: () => undefined });
  await t.rejects(startWitness({ host: '127.0.0.1', port: 0, stateDir, log: () => undefined }), /another witness runs with the state in/);
  await witness.close();
  const next: Witness = await startWitness({ host: '127.0.0.1', port: 0, stateDir, log: () => undefined });
  await next.close();
});

t.test('a certificate that this machine trusts does not stand in for the key', async (t) => {
  const { key, cert } = await consoleCertificate({ stateDir: stateFolder(t), coServer: 'A', names: ['stranger'] });
  const trusted = getCACertificates('default');
  setDefaultCACertificates([...trusted, cert]);
  t.teardown(() => setDefaultCACertificates(trusted));
  const heard: string[] = [];
  const stranger = createServer({ key, cert, minVersion: 'TLSv1.3' }, (socket) => {
    socket.on('error', () => socket.destroy());
    socket.on('data', (bytes) => heard.push(bytes.toString()));
    socket.write(`{"kind":"hello","protocol":${WITNESS_PROTOCOL}}\n`);
  });
  await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve));
  t.teardown(() => stranger.close());
  const said = await new Promise<[boolean, string]>((resolve) => {
    const voice = new WitnessClient({
      ...{ address: '127.0.0.1', port: (stranger.address() as AddressInfo).port, coServer: 'A', incarnation: '1'.repeat(16) },
      ...newPair(),
      onReachable: (...news) => resolve(news),
    });
    t.teardown(() => voice.close());
  });
  t.match(said, [false, /certificate instead of the key of this pair/]);
  t.same(heard, [], 'and nothing is said to it');
});
