// The answer file: what it may hold, and how each mistake is named. The example is the README's own.
import { readFileSync } from 'node:fs';
import t from 'tap';
import { readAnswerFile } from '../../../../appliance/setup/answer-file.ts';
import { HASH } from './two-dialogues.ts';

const README = readFileSync(new URL('../../../../appliance/setup/README.md', import.meta.url), 'utf8');
const EXAMPLE = /```yaml\n([\s\S]*?)```/.exec(README)?.[1] ?? '';
const SECRET = 'lamp-river-cheese';

const LEAST = `coServer: A
management:
  address: 192.0.2.21/24
witness:
  address: 192.0.2.100
password: ${SECRET}
`;

const problems = (text: string): string[] => {
  const read = readAnswerFile(text);
  return read.kind === 'wrong' ? read.problems : [];
};

t.test('the example of the README', async (t) => {
  const read = readAnswerFile(EXAMPLE);
  if (read.kind === 'wrong') return t.fail(read.problems.join('; '));
  t.equal(read.file.answers.coServer, 'A');
  t.strictSame(read.file.ports, { link1: 'enp1s0f0', link2: 'enp1s0f1', lan0: 'enp2s0', mgmt0: '52:54:00:12:34:56' });
  t.match(read.file.secret, /^[0-9a-f]{32}$/);
  t.equal(read.file.answers['guest.memoryMiB'], '8192');
  t.equal(read.file.useDiskAsItIs, false);
});

t.test('the least', async (t) => {
  const read = readAnswerFile(LEAST);
  t.match(read, {
    kind: 'answers',
    file: { password: SECRET, secret: '', ports: {}, answers: { coServer: 'A', 'witness.address': '192.0.2.100' } },
  });
  t.match(read, { file: { stateEncryption: 'none' } }, 'off by default');
  t.match(readAnswerFile(`${LEAST}stateEncryption: tpm2\n`), { file: { stateEncryption: 'tpm2' } });
  const hashed = readAnswerFile(LEAST.replace(`password: ${SECRET}`, `passwordHash: '${HASH}'`));
  t.match(hashed, { kind: 'answers', file: { password: '', answers: { password: HASH } } });
  const digits = readAnswerFile(LEAST.replace(SECRET, '0073190426880155'));
  t.match(digits, { kind: 'answers', file: { password: '0073190426880155' } }, 'as it is written, though it is a number');
});

t.test('mistakes, with their lines and remedies', async (t) => {
  const cases: [string, RegExp][] = [
    [
      `${LEAST}managment:\n  gateway: 192.0.2.1\n`,
      /^line 7: there is no key 'managment': remove it, or write one of coServer, management, witness/,
    ],
    [
      LEAST.replace('  address: 192.0.2.100', '  adress: 192.0.2.100'),
      /^line 5: there is no key 'witness.adress': remove it, or write one of address, port$/,
    ],
    [LEAST.replace('coServer: A', 'coServer: C'), /^line 1: coServer 'C': Choose A or B/],
    [LEAST.replace('192.0.2.21/24', '192.0.2.21'), /^line 3: management.address '192.0.2.21': .*like 192.0.2.21\/24/],
    [LEAST.replace('coServer: A\n', ''), /^coServer: Choose A or B/],
    [LEAST.replace(/password.*\n/, ''), /^password: a password is needed: there is none by default/],
    [LEAST.replace('witness:\n  address: 192.0.2.100', 'witness: 192.0.2.100'), /^line 4: 'witness' needs keys below it/],
    [LEAST.replace('192.0.2.100', '[1, 2]'), /^line 5: 'witness.address' needs one value behind it/],
    [`${LEAST}guest:\n  level: 4\n`, /^line 8: guest.level '4': 2 or 3/],
    [`${LEAST}guest:\n  useDiskAsItIs: perhaps\n`, /write true/],
    [`${LEAST}stateEncryption: yes\n`, /^line 7: stateEncryption 'yes': write tpm2, or none/],
    [`${LEAST}pairing:\n  secret: short\n`, /^line 8: pairing.secret: it needs 32 to 128 hexadecimal digits.*openssl rand -hex 16/],
    [`${LEAST}ports:\n  link1: a\n  guest: a\n  management: b\n`, /^line 8: ports.link1 'a': each port may have one use/],
    [`${LEAST}ports:\n  link1: a\n  guest: b\n`, /^ports.management: a port is needed/],
    [`${LEAST}passwordHash: '${HASH}'\n`, /^line 7: passwordHash: give the password or its hash/],
    [LEAST.replace(`password: ${SECRET}`, 'passwordHash: nonsense'), /^line 6: passwordHash: it is not an argon2id hash/],
    [`${LEAST}fence:\n  address: 192.0.2.12\n`, /^fence.username: The user/],
    [`${LEAST}fence:\n  cipherSuite: 5\n`, /^line 8: fence.cipherSuite '5': 17 is needed, or 3/],
    ['', /'the file' needs keys below it/],
    [`${LEAST}coServer: B\n`, /^line 7: this is not YAML \(DUPLICATE_KEY\)/],
  ];
  for (const [text, expected] of cases) t.match(problems(text)[0], expected);
});

t.test('what is secret is never repeated', async (t) => {
  const secrets = [
    'hushhush',
    'password: [hushhush',
    'fence:\n  address: 192.0.2.12\n  username: u\n  password: hushhush-hushhush-hushhush\n',
  ];
  const texts = [
    LEAST.replace(SECRET, 'hushhush'),
    LEAST.replace(`password: ${SECRET}`, 'password: [hushhush'),
    LEAST.replace(`password: ${SECRET}`, 'password:\n  - hushhush'),
    LEAST.replace(`password: ${SECRET}`, 'passwordHash: hushhush'),
    `${LEAST}${secrets[2]}`,
    `${LEAST}pairing:\n  secret: hushhush\n`,
  ];
  for (const text of texts) {
    const said = problems(text);
    t.ok(said.length > 0, 'refused');
    t.notMatch(said.join(' '), /hush/);
  }
});
