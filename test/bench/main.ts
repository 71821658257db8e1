// `npm run bench -- lockstep`: what lockstep costs, beside no Twinstep, no protection, passive mode and stock COLO. And the others: mirror, witness, hardware.
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { MAXIMUM_PAIRS } from '../../appliance/witness/enrolment.ts';
import { LabError, messageOf } from '../../hwqual/lab/lab-error.ts';
import { prepareParts, requireRoot } from '../../hwqual/lab/prepare.ts';
import { alreadyRuns, runningSupervisor } from '../../hwqual/lab/record.ts';
import { labSettings } from '../../hwqual/lab/settings.ts';
import { runCampaign } from './campaign.ts';
import { buildBenchGuest } from './guest/build.ts';
import { benchHardware } from './hardware-bench.ts';
import { describeMachine } from './machine.ts';
import { MEASURES } from './measure.ts';
import { MIRROR_VARIANTS } from './mirror/variants.ts';
import { benchMirror, MIRROR_MEASURES } from './mirror-bench.ts';
import { DEFAULTS, MIRROR_DEFAULTS, OptionError, parseMirrorOptions, parseOptions } from './options.ts';
import { plots } from './plots.ts';
import { isBusy, markdown, type Report, terminalText } from './report.ts';
import { saveReport } from './save-report.ts';
import { VARIANTS } from './variants/variant.ts';
import { benchWitness } from './witness-bench.ts';

const RESULTS = join(import.meta.dirname, 'results');

interface RawOptions {
  seconds?: string;
  rounds?: string;
  variants?: string;
  measures?: string;
  instance: string;
  port?: string;
  bundle?: string;
  out: string;
  pairs: string;
  folder: string;
}

function say(line: string): void {
  process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${line}\n`);
}

/** Once: what is under way is taken down, and what was measured so far is written. */
function abortOnSignals(): AbortController {
  const abort = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => abort.abort());
  return abort;
}

async function bench(what: string, raw: RawOptions): Promise<number> {
  if (what === 'witness') {
    const [pairs, seconds] = [Number(raw.pairs), Number(raw.seconds ?? DEFAULTS.seconds)];
    if (!Number.isInteger(pairs) || pairs < 1 || pairs > MAXIMUM_PAIRS)
      throw new OptionError(`--pairs ${raw.pairs}: 1 to ${MAXIMUM_PAIRS}`);
    if (!(seconds > 0 && seconds <= 3600)) throw new OptionError(`--seconds ${raw.seconds}: more than 0, at most 3600`);
    for (const file of await benchWitness({ pairs, seconds, folder: raw.folder, out: raw.out, say })) process.stdout.write(`${file}\n`);
    return 0;
  }
  if (what === 'hardware') {
    const { seconds, rounds } = parseOptions({ ...raw, seconds: raw.seconds ?? '10', rounds: raw.rounds ?? '6' });
    for (const file of await benchHardware({ seconds, rounds, out: raw.out, say })) process.stdout.write(`${file}\n`);
    return 0;
  }
  if (what === 'mirror') {
    const chosen = parseMirrorOptions(raw);
    requireRoot();
    const { signal } = abortOnSignals();
    for (const file of await benchMirror({ ...chosen, folder: raw.folder, out: raw.out, signal, say })) process.stdout.write(`${file}\n`);
    return signal.aborted ? 130 : 0;
  }
  if (what !== 'lockstep') throw new OptionError(`there is no benchmark "${what}"; there are: lockstep, mirror, witness, hardware`);
  const options = parseOptions(raw);
  requireRoot();
  const settings = labSettings({ instance: raw.instance, ...(raw.port === undefined ? {} : { webPort: Number(raw.port) }) });
  const pid = runningSupervisor(settings);
  if (pid !== undefined) throw alreadyRuns(settings, pid);
  const abort = abortOnSignals();

  const lab = await prepareParts(settings, raw.bundle === undefined ? {} : { bundle: raw.bundle }, say);
  const guest = await buildBenchGuest(lab.engineRoot, abort.signal, say);
  const startedMs = Date.now();
  const report: Report = {
    at: new Date(startedMs).toISOString(),
    complete: false,
    durationS: 0,
    options,
    machine: await describeMachine(lab.engineRoot, lab.workload.acceleration),
    samples: [],
  };
  if (isBusy(report.machine)) say(`others are at work on this machine (load ${report.machine.loadAtStart}): the figures will be noise`);
  let failure: unknown = null;
  try {
    await runCampaign({ settings, lab, guest, options, signal: abort.signal, say, onSample: (sample) => report.samples.push(sample) });
    report.complete = true;
  } catch (error) {
    failure = error;
  }
  report.durationS = (Date.now() - startedMs) / 1000;
  if (report.samples.length > 0) {
    process.stdout.write(`\n${terminalText(report)}\n\n`);
    for (const file of saveReport(raw.out, what, report, plots(report), markdown)) process.stdout.write(`${file}\n`);
  }
  if (abort.signal.aborted) {
    say('interrupted; nothing was left running');
    return 130;
  }
  if (failure !== null) throw failure;
  return 0;
}

const program = new Command('bench')
  .description(
    'lockstep: measures variants of one guest in turn and compares them. mirror: the disk beside other servers of disks. witness: grants per second. hardware: what watching it costs.',
  )
  .argument('<what>', 'lockstep, mirror, witness or hardware')
  .option('--seconds <n>', `of each measure (default: ${DEFAULTS.seconds}; mirror: ${MIRROR_DEFAULTS.seconds}, hardware: 10)`)
  .option('--rounds <n>', `how often every variant is visited (default: ${DEFAULTS.rounds})`)
  .option('--variants <names>', `some of ${VARIANTS.join(',')}; mirror: of ${MIRROR_VARIANTS.join(',')} (default: all)`)
  .option('--measures <names>', `some of ${MEASURES.join(',')}; mirror: of ${MIRROR_MEASURES.join(',')} (default: all)`)
  .option('--out <folder>', 'where the results go', RESULTS)
  .option('--instance <name>', 'keeps labs apart: one to four small letters or digits', process.env.TWINSTEP_LAB_INSTANCE ?? '0')
  .option('--port <n>', "of A's web console on this machine; B's is the next one")
  .option('--bundle <folder>', 'measure this twinstep.mjs instead of building the tree')
  .option('--pairs <n>', 'witness: how many, two connections each', '300')
  .option('--folder <path>', 'mirror, witness: on the disk to be measured', '/var/tmp')
  .exitOverride()
  .showHelpAfterError()
  .allowExcessArguments(false);

try {
  program.parse();
  process.exitCode = await bench(program.args[0] ?? '', program.opts<RawOptions>());
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode;
  else {
    process.stderr.write(`${error instanceof LabError ? messageOf(error) : error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
process.exit();
