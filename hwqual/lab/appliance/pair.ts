// The tales of two appliances. `pair`: both boot the built image for the first time and take their answers from a stick, their operator compares
// the code on both serial consoles and confirms it, they qualify, run a guest at level 3, lose the server that runs it by its BMC, go on, and join
// again. `levels`: the same with a configuration that they are given, and once more at level 2. `rolling`: an update goes over both; `engines`: one with
// another engine. Figures, screens and pictures go into the report.
import type { KeyObject } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { CoServerName } from '../../../appliance/core/snapshot.ts';
import { engineRootPath } from '../../../image/engine/engine-root.ts';
import { isDuplex, primaryOf, runsWorkload } from '../../campaigns/pair-picture.ts';
import { run } from '../command.ts';
import { TinyClient, type TinyStatus } from '../guest/tiny/client.ts';
import { LabError, messageOf } from '../lab-error.ts';
import { insideRack } from '../machines/enter.ts';
import { Rack } from '../machines/rack.ts';
import { type MachinesSettings, machinesSettings } from '../machines/settings.ts';
import { ADDRESSES, CO_SERVERS, partnerOf } from '../settings.ts';
import { nextEngine, versionWithEngine } from './other-engine.ts';
import type { Level } from './pair-configuration.ts';
import { changeEngine } from './pair-engines.ts';
import { PairReport } from './pair-report.ts';
import { leavePair, type PairUpdateParts, updatePair } from './pair-update.ts';
import type { Stage } from './stage.ts';
import { Twins } from './twins.ts';
import { signingKey } from './update-tale.ts';
import type { Version } from './versions.ts';
import { WebPage } from './web-page.ts';

/** Emulation on a busy machine: nothing is concluded from time but what the report tells. */
const PATIENCE_S = 2_400;
/** A key that was pressed while the console was starting is pressed again. */
const AGAIN_S = 30;
/** Of one question to the guest: it stands still while its other server is lost. */
const GUEST_ANSWER_MS = 600_000;
const RECORDS_BEFORE = 20;
const RECORDS_AFTER = 10;
const ENTER = '\r';

/** Set for the part of this program that runs inside the rack. */
const INSIDE = 'TWINSTEP_MACHINES_INSIDE';

export interface PairOptions {
  /** Of the rack; keeps labs apart. */
  instance?: string | undefined;
  /** Of A's web console on this machine; B's is the next one. */
  port?: string | undefined;
  /** The folder for the report. */
  report: string;
}

export interface PairWorld {
  built: Version;
  tools: string;
  /** An empty folder. */
  work: string;
  options: PairOptions;
  say(line: string): void;
}

const settingsOf = ({ instance, port }: PairOptions): MachinesSettings =>
  machinesSettings({ ...(instance === undefined ? {} : { instance }), ...(port === undefined ? {} : { webPort: Number(port) }) });

/** True: this program runs in the rack's namespace. False: it has run there, to its end. */
export async function insidePairsRack(options: PairOptions): Promise<boolean> {
  const settings = settingsOf(options);
  if (process.env[INSIDE] !== settings.instance) {
    await new Rack(settings).sweep();
    process.env[INSIDE] = settings.instance;
  }
  if (!(await insideRack(settings, engineRootPath()))) return false;
  // Other tales that run here too speak to their machines over it.
  await run('ip', ['link', 'set', 'lo', 'up']);
  return true;
}

/** Throws when something is not as it should be; the report has what was seen until then. */
export const pairTale = (world: PairWorld): Promise<void> =>
  tell(world, 'answers', async (tale) => {
    await tale.powerOn();
    await tale.firstStart();
    await tale.qualify();
    await tale.protect(3);
  });

export const levelsTale = (world: PairWorld): Promise<void> =>
  tell(world, 'configuration', async (tale) => {
    await tale.powerOn();
    await tale.pair();
    await tale.qualify();
    await tale.protect(3);
    await tale.changeLevel(2);
    await tale.protect(2);
  });

export const rollingTale = async (stage: Stage): Promise<void> => {
  const key = signingKey(stage.options);
  await tell(stage, 'configuration', async (tale) => {
    await tale.powerOn();
    await tale.pair();
    await tale.qualify();
    await tale.update(key);
  });
};

export const enginesTale = async (stage: Stage): Promise<void> => {
  const key = signingKey(stage.options);
  // Before there are machines that want the processors.
  const update = await versionWithEngine(stage.built, { ...stage, version: '50.0.0', engine: nextEngine() });
  await tell(stage, 'configuration', async (tale) => {
    await tale.powerOn();
    await tale.pair();
    await tale.qualify();
    await tale.engines(key, update);
    await tale.protect(3);
  });
};

async function tell(world: PairWorld, told: 'answers' | 'configuration', go: (tale: PairTale) => Promise<void>): Promise<void> {
  const { options, say } = world;
  const report = new PairReport(options.report, say);
  const twins = await Twins.make({ ...world, settings: settingsOf(options), captures: options.report, level: 3, told });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => void twins.close());
  try {
    await go(new PairTale(world, twins, report, told));
  } catch (error) {
    for (const name of CO_SERVERS)
      report.screen(`failed-${name}`, `the console of ${name} when the tale failed`, twins.persons[name].screen());
    report.note(`failed: ${messageOf(error)}`);
    throw error;
  } finally {
    for (const name of CO_SERVERS) report.file(`serial-${name.toLowerCase()}.log`, `everything on the serial line of ${name}`);
    await twins.close();
  }
}

class PairTale {
  readonly #world: PairWorld;
  readonly #twins: Twins;
  readonly #report: PairReport;
  readonly #told: 'answers' | 'configuration';
  readonly #guest = new TinyClient();
  #record = 0;

  constructor(world: PairWorld, twins: Twins, report: PairReport, told: 'answers' | 'configuration') {
    this.#told = told;
    this.#world = world;
    this.#twins = twins;
    this.#report = report;
  }

  /** Both at once, from disks as they were flashed, to the product's screen and page. */
  async powerOn(): Promise<void> {
    this.#report.begin('power on');
    for (const name of CO_SERVERS) await this.#twins.powerOn(name);
    await Promise.all(CO_SERVERS.map((name) => this.#firstBoot(name)));
    for (const name of CO_SERVERS) {
      const complaint = /Twinstep: .*cannot be .*/.exec(this.#twins.persons[name].said());
      if (complaint !== null) throw new LabError(`machine ${name} says: ${complaint[0]}`);
      this.#keepScreen(`first-${name}`, name, 'at first');
      await this.#memory(name, 'before pairing, without a guest');
    }
    await this.#video('A', 'video-A');
    if (this.#told === 'configuration') await this.#webPicture('A', 'web-unpaired', 'before pairing');
  }

  async #firstBoot(name: CoServerName): Promise<void> {
    const person = this.#twins.persons[name];
    const reached = (what: string) => this.#report.figure(`${name}: ${what}`, this.#twins.sincePowerOnS(name));
    const step = (pattern: RegExp, what: string) => person.hears(pattern, PATIENCE_S).then(() => reached(what));
    await step(/Twinstep: version \S+ is starting/, 'first line of ours');
    await step(/slot a \(\w+\) is whole/, 'all of the root is read and its hashes are right');
    await step(/first boot: making the state partition/, 'the state partition is being made');
    if (this.#told === 'answers') {
      await person.sees(/First start: /, PATIENCE_S);
      return reached("the product's first screen: the first start");
    }
    await step(/copying the guest's initrd/, "the guest's files are taken from the stick");
    await Promise.all([
      person.sees(/Not paired/, PATIENCE_S).then(() => reached("the product's first screen")),
      this.#twins.webAnswers(name, PATIENCE_S).then(() => reached('the web console answers')),
    ]);
  }

  /** The answers are on the stick; what nobody else can answer is whether both screens show the same. */
  async firstStart(): Promise<void> {
    this.#report.begin('first start');
    const { persons } = this.#twins;
    const code = await this.#sameCode();
    this.#report.figure('both show the same code', this.#twins.sincePowerOnS('A'));
    for (const name of CO_SERVERS) this.#keepScreen(`code-${name}`, name, 'with the code to compare');
    for (const name of CO_SERVERS) {
      const shows = new RegExp(`The other one shows ${code} < yes`);
      await persons[name].typesUntil('y', shows, PATIENCE_S, AGAIN_S);
      persons[name].type(ENTER);
    }
    await Promise.all(CO_SERVERS.map((name) => persons[name].sees(/First start: (?!pairing)/, PATIENCE_S)));
    this.#report.figure('paired', this.#twins.sincePowerOnS('A'));
    await Promise.all(CO_SERVERS.map((name) => persons[name].sees(/First start: (?!pairing|are the two alike)/, PATIENCE_S)));
    this.#report.figure('both are read and compared', this.#twins.sincePowerOnS('A'));
    for (const name of CO_SERVERS) this.#keepScreen(`summary-${name}`, name, 'of the first start, at its end');
    await Promise.all(
      CO_SERVERS.map(async (name) => {
        await persons[name].sees(/generation \d+, up for/, PATIENCE_S);
        this.#report.figure(`${name}: the console of the pair`, this.#twins.sincePowerOnS(name));
        await this.#twins.webAnswers(name, PATIENCE_S);
        this.#report.figure(`${name}: the web console answers`, this.#twins.sincePowerOnS(name));
      }),
    );
  }

  /** As one person who walks from one console to the other. */
  async pair(): Promise<void> {
    this.#report.begin('pairing');
    const code = await this.#sameCode();
    this.#report.figure('both show the same code', this.#twins.sincePowerOnS('A'));
    for (const name of CO_SERVERS) this.#keepScreen(`code-${name}`, name, 'with the code to compare');
    for (const name of CO_SERVERS) await this.#confirm(name, code);
    this.#report.figure('the code is confirmed on both', this.#twins.sincePowerOnS('A'));
  }

  /** A code that was given up, because the other one was silent for too long, may stand on one screen a moment longer than on the other. */
  async #sameCode(): Promise<string> {
    const { A, B } = this.#twins.persons;
    const pattern = /shows the code (\d{6})/;
    const [first] = await Promise.all([A.sees(pattern, PATIENCE_S), B.sees(pattern, PATIENCE_S)]);
    const code = first[1] ?? '';
    const found = await B.sees(new RegExp(`shows the code ${code}`), AGAIN_S).catch(() => null);
    return found === null ? this.#sameCode() : code;
  }

  async #confirm(name: CoServerName, code: string): Promise<void> {
    const person = this.#twins.persons[name];
    // Once: a second one would be the password's first letter.
    person.type('a');
    await person.sees(/Password:/, PATIENCE_S);
    person.type(`${this.#twins.secrets.password}${ENTER}`);
    const found = await person.sees(new RegExp(`(\\d) +CoServer ${partnerOf(name)} shows ${code} too: confirm`), PATIENCE_S);
    this.#keepScreen(`actions-${name}`, name, 'where the code is confirmed');
    person.type(found[1] ?? '');
    await person.sees(/too: confirm\? y: ask for it/, PATIENCE_S);
    person.type('y');
    // Confirmed here; or there was a confirmation there already, and the product goes on with its start.
    await person.sees(/^(?!.*too: confirm\? y: ask for it)/, PATIENCE_S);
  }

  async qualify(): Promise<void> {
    this.#report.begin('qualification');
    const { persons } = this.#twins;
    await this.#twins.until(
      'both are paired and qualified',
      ({ A, B }) => {
        const verdicts = [A, B].map((picture) => picture?.hardware?.qualification.verdict);
        const refused = [A, B].find((picture) => picture?.hardware?.qualification.verdict === 'refused');
        if (refused) throw new LabError(`they do not qualify: ${refused.hardware?.qualification.sentence ?? ''}`);
        return verdicts.every((verdict) => verdict === 'passed') ? true : null;
      },
      PATIENCE_S,
    );
    this.#report.figure('paired and qualified, since power on', this.#twins.sincePowerOnS('A'));
    for (const name of CO_SERVERS) {
      await persons[name].typesUntil('8', /\[8 hw\]/, PATIENCE_S, AGAIN_S);
      this.#keepScreen(`qualified-${name}`, name, 'with the verdict of the qualification');
      persons[name].type('1');
    }
  }

  /** The guest runs on both, or beside an equal disk; its server loses its power; it goes on, or is started again; the pair is whole again. */
  async protect(level: Level): Promise<void> {
    this.#report.begin(`level ${level}`);
    const twins = this.#twins;
    await twins.until('the pair is whole', (both) => (isDuplex(both) ? true : null), PATIENCE_S);
    this.#report.figure('the pair is whole, since power on', twins.sincePowerOnS('A'));
    const before = await this.#append(RECORDS_BEFORE);
    const lost = await twins.until('one runs the guest', (both) => primaryOf(both), PATIENCE_S);
    const survivor = partnerOf(lost);
    for (const name of CO_SERVERS) {
      this.#keepScreen(`level-${level}-${name}`, name, `at level ${level}`);
      await this.#memory(name, 'with the guest');
    }
    await this.#webPicture(lost, `web-level-${level}`, `at level ${level}`);

    this.#report.note(`${lost} runs the guest and loses its power by its BMC`);
    const lostAt = performance.now();
    await twins.powerOff(lost);
    this.#report.figure(`the BMC says that ${lost} is off, since it was asked`, (performance.now() - lostAt) / 1000);
    const after = await this.#append(RECORDS_AFTER, (first) =>
      this.#report.figure('the guest writes again, since then', (first - lostAt) / 1000),
    );
    const isRunning = (picture: Parameters<typeof runsWorkload>[0] | null) => picture !== null && runsWorkload(picture);
    await twins.until(`${survivor} runs the guest`, (both) => (isRunning(both[survivor]) ? true : null), PATIENCE_S);
    this.#keepScreen(`level-${level}-lost`, survivor, `${lost} is lost`);
    await this.#webPicture(survivor, `web-level-${level}-lost`, `${lost} is lost`);
    const restarts = after.starts - before.starts;
    this.#report.note(`the guest was started ${restarts} times meanwhile; it has all ${after.records} records`);
    if (restarts !== (level === 3 ? 0 : 1)) throw new LabError(`at level ${level} the guest was started ${restarts} times`);

    await twins.powerOn(lost);
    await twins.until('the pair is whole again', (both) => (isDuplex(both) ? true : null), PATIENCE_S);
    this.#report.figure(`${lost} has joined again, since its power on`, twins.sincePowerOnS(lost));
    await this.#append(1);
    for (const name of CO_SERVERS) this.#keepScreen(`level-${level}-again-${name}`, name, 'whole again');
    await this.#webPicture(lost, `web-level-${level}-again`, 'whole again');
  }

  /** A version that works goes over both; one that does not is left by both. The guest runs on. */
  async update(key: KeyObject): Promise<void> {
    const parts = await this.#updates(key);
    await updatePair(parts);
    for (const name of CO_SERVERS) this.#keepScreen(`updated-${name}`, name, 'after the update');
    await this.#webPicture('A', 'web-updated', 'after the update');
    await leavePair(parts);
    await this.#webPicture('A', 'web-given-up', 'after an update that was given up');
  }

  /** A version with another engine goes over both, once the operator has said that the guest may be restarted. */
  async engines(key: KeyObject, version: Version): Promise<void> {
    const parts = await this.#updates(key);
    await changeEngine({
      ...parts,
      version,
      keep: (file, what) => {
        for (const name of CO_SERVERS) this.#keepScreen(`${file}-${name}`, name, what);
      },
    });
    await this.#webPicture('A', 'web-engines', 'after the update');
  }

  async #updates(key: KeyObject): Promise<PairUpdateParts> {
    const { built, tools } = this.#world;
    await this.#twins.until('the pair is whole', (both) => (isDuplex(both) ? true : null), PATIENCE_S);
    const append = (count: number) => this.#append(count);
    return { twins: this.#twins, report: this.#report, built, tools, key, append, patienceS: PATIENCE_S };
  }

  /** Both are switched off, the one without the guest first, and are told the other level. */
  async changeLevel(level: Level): Promise<void> {
    this.#report.begin(`change to level ${level}`);
    const primary = await this.#twins.until('one runs the guest', (both) => primaryOf(both), PATIENCE_S);
    await this.#twins.powerOff(partnerOf(primary));
    await this.#twins.powerOff(primary);
    this.#twins.setLevel(level);
    for (const name of CO_SERVERS) await this.#twins.powerOn(name);
  }

  /** Acknowledged records; `onFirst` gets the moment of the first. Throws unless the guest has each that it ever acknowledged. */
  async #append(count: number, onFirst: (atMs: number) => void = () => undefined): Promise<TinyStatus> {
    for (let i = 0; i < count; i++) {
      await this.#guest.append(++this.#record, GUEST_ANSWER_MS);
      if (i === 0) onFirst(performance.now());
    }
    const status = await this.#guest.status(GUEST_ANSWER_MS);
    if (status.records !== this.#record || status.last !== this.#record)
      throw new LabError(`the guest acknowledged ${this.#record} records and has ${status.records}, the last one is ${status.last}`);
    return status;
  }

  async #memory(name: CoServerName, when: string): Promise<void> {
    const { totalMiB, availableMiB } = await this.#twins.memory(name);
    this.#report.figure(`${name}: memory in use ${when} (MemTotal - MemAvailable)`, totalMiB - availableMiB, 'MiB');
    if (when.includes('without') && this.#told === 'answers') return;
    const picture = (await this.#twins.pictures())[name];
    if (picture) this.#report.figure(`${name}: of it our process ${when} (resident)`, picture.process.rssBytes / 2 ** 20, 'MiB');
  }

  #keepScreen(file: string, name: CoServerName, what: string): void {
    this.#report.screen(file, `the serial console of ${name} ${what}`, this.#twins.persons[name].screen());
  }

  async #video(name: CoServerName, file: string): Promise<void> {
    await this.#twins.videoScreen(name, join(this.#report.folder, `${file}.png`));
    this.#report.file(`${file}.png`, `the first video console of ${name}`);
  }

  async #webPicture(name: CoServerName, file: string, what: string): Promise<void> {
    const profile = join(this.#world.work, 'browser');
    const page = await WebPage.signIn(profile, `https://${ADDRESSES.management[name]}/`, this.#twins.secrets.password);
    try {
      await page.picture(join(this.#report.folder, `${file}.png`));
    } finally {
      await page.close();
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    }
    this.#report.file(`${file}.png`, `the web console of ${name}, ${what}`);
  }
}
