import t from 'tap';
import { runRequest } from '../../../../../appliance/console/cli/request.ts';
import { harness } from '../api/harness.ts';
import { duplex, holding } from '../fixtures.ts';

// Slow machines: a busy one needs several times what an idle one does.
t.setTimeout(120_000);

async function run(...argv: string[]) {
  let [stdout, stderr] = ['', ''];
  const code = await runRequest(argv, {
    stdout: {
      write: (text) => {
        stdout += text;
      },
    },
    stderr: {
      write: (text) => {
        stderr += text;
      },
    },
  });
  return { code, stdout, stderr };
}

t.test('which there are, asked for, refused without the word', async (t) => {
  const h = await harness({ first: holding() });
  t.teardown(() => h.close());
  const at = ['--socket', h.socketPath];
  t.match((await run(...at)).stdout, /Emergency: it can lose data\n {2}force-start --typed 'force': Start here by force\n {6}If the other/);
  const untyped = await run('force-start', ...at);
  t.equal(untyped.code, 1);
  t.match(untyped.stderr, /^twinstep request: "Start here by force" needs the word 'force'/);
  t.equal((await run('force-start', '--typed', 'yes', ...at)).code, 1);
  t.strictSame(h.asked, []);
  t.match(await run('force-start', '--typed', 'force', ...at), { code: 0, stdout: /^force-start: accepted/ });
  t.strictSame(h.asked, [{ action: 'force-start', args: {}, by: 'the local socket' }]);
  t.match(await run('explode', ...at), { code: 1, stderr: /There is no action 'explode'/ });
  t.match(await run('../../api/snapshot', ...at), { code: 1 });
});

t.test('the core refuses: its reason; nobody answers: the remedy', async (t) => {
  const h = await harness({ first: duplex(), answer: { accepted: false, reason: 'B is busy.' } });
  t.match(await run('move-workload', '--socket', h.socketPath), { code: 1, stderr: 'twinstep request: B is busy.\n' });
  await h.close();
  t.match(await run('move-workload', '--socket', h.socketPath), { code: 3, stderr: /twinstep does not run here/ });
  t.equal((await run('a', 'b')).code, 2);
  t.equal((await run('--help')).code, 0);
});

t.test('what an answer brings for whoever asked is printed as it is, and in no log', async (t) => {
  const show = 'Twinstep witness enrolment\nkey  5a5a\n';
  const h = await harness({ first: duplex(), answer: { accepted: true, detail: { show } } });
  t.teardown(() => h.close());
  t.strictSame(await run('move-workload', '--socket', h.socketPath), { code: 0, stdout: show, stderr: '' });
  t.notMatch(h.log.join(), '5a5a');
});
