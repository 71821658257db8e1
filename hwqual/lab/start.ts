// `npm start`: the pair on this machine. Builds what is missing, starts both CoServers, then shows the state of the pair and
// obeys single keys; or runs the story: clients, faults, and a report of what the clients noticed.

import { join } from 'node:path';
import { emitKeypressEvents } from 'node:readline';
import { Command, CommanderError } from 'commander';
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import { EvidenceKeeper, RESULTS_FOLDER, resultsName, saveReport } from '../campaigns/results.ts';
import { runStory } from '../campaigns/story.ts';
import { ClientsProcess } from './clients/controller.ts';
import { labControl } from './control.ts';
import { describeStatus, type LabStatus } from './describe.ts';
import { type HeldLab, holdLab } from './holder.ts';
import type { Lab } from './lab.ts';
import { LabError, messageOf } from './lab-error.ts';
import { prepareParts, requireRoot } from './prepare.ts';
import { alreadyRuns, runningSupervisor } from './record.ts';
import { renderScreen } from './screen.ts';
import { CO_SERVERS, coServerPaths, type LabSettings, labSettings } from './settings.ts';
import { readSnapshot } from './snapshot-client.ts';
import { whyNotDuplex } from './wait-duplex.ts';

/** Between two pictures on the screen. */
const REFRESH_MS = 500;
const MAX_LAB_EVENTS = 20;

interface StartOptions {
  story?: boolean;
  rounds: string;
  report?: string;
  port?: string;
  instance: string;
  bundle?: string;
}

async function look(lab: Lab): Promise<LabStatus> {
  const [A, B] = await Promise.all(CO_SERVERS.map((name) => readSnapshot(coServerPaths(lab.settings, name).consoleSocket)));
  return { coServers: { A: A ?? null, B: B ?? null }, lab: lab.view() };
}

/** What each key does now. */
function keyAction(lab: Lab, key: string): (() => Promise<unknown>) | null {
  const view = lab.view();
  const power = (name: CoServerName) => (view.coServers[name].powered ? lab.powerOff(name) : lab.powerOn(name));
  const freeze = (name: CoServerName) => (view.coServers[name].frozen === 'no' ? lab.freeze(name, 'all') : lab.thaw(name));
  const cable = (l: 1 | 2) => lab.setLink(l, view.links[l] === 'up' ? 'down' : 'up');
  switch (key) {
    case 'a':
      return () => power('A');
    case 'b':
      return () => power('B');
    case '1':
      return () => cable(1);
    case '2':
      return () => cable(2);
    case 'f':
      return () => freeze('A');
    case 'g':
      return () => freeze('B');
    default:
      return null;
  }
}

/** The live screen; resolves when the lab is gone. */
async function showScreen({ lab, gone, takeDown }: HeldLab): Promise<void> {
  const { stdin, stdout } = process;
  const events: { at: number; text: string }[] = [];
  const note = (text: string) => {
    events.push({ at: Date.now(), text });
    if (events.length > MAX_LAB_EVENTS) events.shift();
  };
  lab.on('event', note);
  let drawing = false;
  const draw = async () => {
    if (drawing) return;
    drawing = true;
    try {
      const lines = renderScreen({ status: await look(lab), password: lab.password, labEvents: events }, stdout.columns, stdout.rows - 1);
      stdout.write(`\x1b[H${lines.map((l) => `${l}\x1b[K`).join('\r\n')}\x1b[J`);
    } finally {
      drawing = false;
    }
  };
  stdout.write('\x1b[?1049h\x1b[?25l\x1b[2J');
  stdin.setRawMode(true);
  emitKeypressEvents(stdin);
  stdin.on('keypress', (_text: string | undefined, key: { name?: string; ctrl?: boolean; sequence?: string }) => {
    if (key.name === 'q' || (key.ctrl && key.name === 'c')) {
      note('quitting');
      void takeDown().catch(() => undefined);
    } else keyAction(lab, key.name ?? key.sequence ?? '')?.().catch((error: unknown) => note(messageOf(error)));
    void draw();
  });
  const timer = setInterval(() => void draw(), REFRESH_MS);
  try {
    await gone;
  } finally {
    clearInterval(timer);
    stdin.setRawMode(false);
    stdin.pause();
    stdout.write('\x1b[?25h\x1b[?1049l');
  }
}

/** Without a terminal: a line for every change. */
async function showLines({ lab, gone }: HeldLab): Promise<void> {
  let last = '';
  lab.on('event', (text) => process.stdout.write(`${text}\n`));
  const timer = setInterval(async () => {
    const status = await look(lab);
    const text = whyNotDuplex(status.coServers) ?? describeStatus(status).split('\n').slice(0, 3).join('; ');
    // Round trips change at every look.
    const stable = text.replace(/, [\d.]+ ms/g, '');
    if (stable !== last) process.stdout.write(`${text}\n`);
    last = stable;
  }, REFRESH_MS);
  await gone.finally(() => clearInterval(timer));
}

/** Answers the exit status. */
async function tellStory(held: HeldLab, settings: LabSettings, rounds: number, reportFile: string | undefined): Promise<number> {
  const at = Date.now();
  const control = labControl(settings, (text) => process.stdout.write(`${new Date().toISOString().slice(11, 23)} ${text}\n`));
  held.lab.on('event', (text) => control.log(text));
  const clients = new ClientsProcess({
    spawn: (command) => control.spawnLan(command),
    onIncident: (i) => control.log(`client: ${JSON.stringify(i)}`),
  });
  const file = reportFile ?? join(RESULTS_FOLDER, resultsName('story', at), 'report.json');
  const evidence = new EvidenceKeeper(control, file.replace(/(\.json)?$/, '-evidence'));
  try {
    const report = await runStory({
      rounds,
      lab: control,
      clients,
      onRound: async (round, soFar) => {
        await evidence.keep(round);
        await saveReport(soFar, file);
      },
    });
    const { json, page } = await saveReport(report, file);
    process.stdout.write(
      `\n${report.ok ? 'Nothing was lost and no connection hung.' : `NOT as promised:\n  ${report.problems.join('\n  ')}`}\n`,
    );
    process.stdout.write(`report ${json}\n  page ${page}\n`);
    return report.ok ? 0 : 1;
  } finally {
    await clients.close().catch(() => undefined);
  }
}

async function start(options: StartOptions): Promise<number> {
  const settings = labSettings({ instance: options.instance, ...(options.port === undefined ? {} : { webPort: Number(options.port) }) });
  const rounds = Number(options.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) throw new LabError(`--rounds ${options.rounds}`, 'give a whole number from 1');
  requireRoot();
  const pid = runningSupervisor(settings);
  if (pid !== undefined) throw alreadyRuns(settings, pid);
  const tell = (text: string) => process.stdout.write(`${text}\n`);
  const parts = await prepareParts(settings, options.bundle === undefined ? {} : { bundle: options.bundle }, tell);
  const held = await holdLab(settings, parts, tell);
  for (const name of CO_SERVERS) tell(`web console of ${name}: ${held.lab.view().coServers[name].web}`);
  tell(`password of the web consoles: ${held.lab.password}`);
  if (options.story) {
    let interrupted = false;
    void held.gone.then(
      () => {
        interrupted = true;
      },
      () => undefined,
    );
    const code = await tellStory(held, settings, rounds, options.report);
    if (interrupted) return 130;
    await held.takeDown();
    return code;
  }
  if (process.stdin.isTTY && process.stdout.isTTY) await showScreen(held);
  else {
    tell('The pair runs. Ctrl-C ends it and leaves nothing behind.');
    await showLines(held);
  }
  tell('The pair is gone.');
  return 0;
}

const program = new Command('start')
  .description('The pair on this machine: two CoServers, a LAN with clients, a witness.')
  .option('--story', 'run clients and faults unattended, report what the clients noticed, end')
  .option('--rounds <n>', 'faults in the story', '6')
  .option('--report <file>', 'where the story puts its report (JSON, and a page beside it)')
  .option('--port <n>', "of A's web console on this machine; B's is the next one")
  .option('--instance <name>', 'keeps labs apart: one to four small letters or digits', process.env.TWINSTEP_LAB_INSTANCE ?? '0')
  .option('--bundle <folder>', 'run this twinstep.mjs instead of building the tree')
  .exitOverride()
  .showHelpAfterError()
  .allowExcessArguments(false);

try {
  program.parse();
  process.exit(await start(program.opts<StartOptions>()));
} catch (error) {
  if (error instanceof CommanderError) process.exit(error.exitCode);
  process.stderr.write(`${messageOf(error)}\n`);
  process.exit(1);
}
