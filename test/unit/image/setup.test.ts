// What the set-up says before it has done anything.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';

const SETUP = join(import.meta.dirname, '../../../image/setup/setup.sh');
const isRoot = process.getuid?.() === 0;
/** The user id of "nobody" on Debian. */
const NOBODY = 65534;

function setup(args: string[], options: { uid?: number; env?: Record<string, string> } = {}) {
  const { status, stderr } = spawnSync('sh', ['-s', '--', ...args], {
    encoding: 'utf8',
    timeout: 30_000,
    cwd: '/',
    // Read from standard input, so that a user who may not enter this folder can run it too.
    input: `set -- "$@"; ${`here='${join(SETUP, '..')}'`}\n${scriptBody()}`,
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
    env: { PATH: process.env.PATH ?? '', ...options.env },
  });
  return { status, stderr };
}

function scriptBody(): string {
  const { stdout } = spawnSync('sed', ['s/^here=.*//', SETUP], { encoding: 'utf8' });
  return stdout;
}

t.test(
  'not root: says why root is needed and how to get there',
  { skip: isRoot ? false : 'needs root to become somebody else' },
  async (t) => {
    const start = setup(['run', 'x.ts'], { uid: NOBODY, env: { npm_lifecycle_event: 'start' } });
    t.equal(start.status, 1);
    t.match(start.stderr, /Twinstep needs root to make network namespaces.*\n {2}Remedy: sudo npm start\n/);
    t.match(setup(['run', 'x.ts'], { uid: NOBODY, env: { npm_lifecycle_event: 'lab:kills' } }).stderr, /Remedy: sudo npm run lab:kills\n/);
  },
);

t.test('an unknown mode is refused', async (t) => {
  const { status, stderr } = setup(['frobnicate']);
  t.equal(status, 1);
  t.match(stderr, /does not know "frobnicate"\n {2}Remedy: use npm start/);
});
