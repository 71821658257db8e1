// One CoServer's end of a burn-in of links, as a process in a network namespace: what is asked comes as JSON in the arguments, the result
// goes to standard output.
import { type BurnInOptions, runBurnIn } from '../../hwqual/burn-in/index.ts';

const asked = JSON.parse(process.argv[2] ?? '{}') as Pick<BurnInOptions, 'coServer' | 'durationS' | 'links' | 'answerOnly' | 'stateDir'> & {
  key: string;
  /** A pattern of what is shown of the links: then it ends. */
  until: string;
};
const until = new RegExp(asked.until);
const stop = new AbortController();
const result = await runBurnIn(
  {
    pairId: '00',
    memoryShare: 0.1,
    scratch: { guestDisk: '/nowhere/disk0', sizeMiB: 16, area: null },
    heartbeat: { intervalMs: 10, timeoutMs: 1_000 },
    fence: null,
    ownBmc: '',
    watchdog: { device: '', timeoutS: 10 },
    program: new URL('../unit/hwqual/burn-in/worker-thread.ts', import.meta.url),
    tests: ['links', 'clock'],
    ...asked,
    pairKey: Buffer.from(asked.key, 'hex'),
  },
  ({ tests }) => {
    if (tests.some((test) => test.id === 'links' && until.test(test.text))) stop.abort();
  },
  stop.signal,
);
process.stdout.write(JSON.stringify(result));
