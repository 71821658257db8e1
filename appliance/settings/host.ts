// Changes the settings of the CoServer that runs: looked at (changes.ts), written so that a loss of power leaves them whole (record.ts), told in the
// history, and taken into use: a password and a witness at once, the rest by a start of this process under a guest that runs on.
import { existsSync, readFileSync } from 'node:fs';
import type { CoServerConfig } from '../config.ts';
import { LoginLimiter } from '../console/api/login-limiter.ts';
import { hashPassword, PasswordVerifier } from '../console/api/password.ts';
import type { RequestAnswer } from '../console/api/types.ts';
import type { ChangeHow, SettingsPicture, SettingsRequest } from '../console/settings-state.ts';
import type { ActionView, AttentionView } from '../core/snapshot.ts';
import type { State } from '../core/state.ts';
import type { SettingsMessage, WitnessPlace } from '../wire/partner-settings.ts';
import { settleAddress } from './addresses.ts';
import { type Change, changeOf, groupsOf, type Known, otherOf, SETTINGS } from './changes.ts';
import { type FenceAccess, fenceFiles, managementFiles, type NewFile, passwordFileOf, passwordFiles, type Sources } from './edits.ts';
import { LevelSetting } from './level-setting.ts';
import { type ManagementAddress, managementOf, nicsFileOf } from './nics.ts';
import { PartnerLine } from './partner-line.ts';
import { PartnerWishes } from './partner-wishes.ts';
import { commitSettings, noteSettings, readSettingsRecord, type Trial } from './record.ts';
import { goBack, nicsBeside, sourcesOf } from './start.ts';
import { KEEP_ADDRESS, OLD_ADDRESS, TRIAL_MS, trialActions, trialAttention, wentBack } from './trial.ts';
import { costOfRestart, whyNotLevel, whyNotWitness } from './when.ts';
import { WitnessSetting } from './witness-setting.ts';

/** The partner may be away for days, or for the moment of its own restart. */
const TELL_PEER_EVERY_MS = 5_000;
/** Whose turn it is to start again changes with a life of the partner. */
const LOOK_EVERY_MS = 1_000;
/** Where a host gives the configuration at each start of the server, what is written would be gone with the next one. */
const GIVEN = '/run/';

export interface SettingsParts {
  /** As it is in the file. Its sections are those that the rest of the process has: what is taken into use at once is changed in them. */
  config: CoServerConfig;
  configFile: string;
  /** What is wrong with a configuration, all of it; null: nothing. */
  problemOf(text: string): string | null;
  state(): State;
  /** What goes on that must not meet a change; ''. */
  whyBusy(): string;
  /** At which this process would run if it started now: an update may step down from what is configured. */
  levelAtStart(configured: 2 | 3): 2 | 3;
  /** Rejects when that BMC does not answer so. */
  readBmc(access: Required<Omit<FenceAccess, 'password'>> & { password: string }): Promise<unknown>;
  tell(severity: 'info' | 'warning', text: string): void;
  changed(): void;
  /** To the partner. */
  say(message: SettingsMessage): void;
  /** @param session Which one stays open. */
  takePassword(hash: string, session: string | undefined): void;
  /** Null: none for now. */
  takeWitness(place: WitnessPlace | null): void;
  takePeer(address: string): void;
  /** This process is to end, and to be started again. */
  restart(why: string): void;
  /** Random, of this process. */
  firstNumber: number;
}

const no = (reason: string): RequestAnswer => ({ accepted: false, reason });
const yes = (text: string): RequestAnswer => ({ accepted: true, detail: { text } });

export class Settings implements SettingsRequest {
  readonly #p: SettingsParts;
  readonly #line: PartnerLine;
  readonly #wishes: PartnerWishes;
  readonly #limiter = new LoginLimiter();
  #trial: Trial | null;
  #until = 0;
  #timer: NodeJS.Timeout | null = null;
  #peerTimer: NodeJS.Timeout | null = null;
  #levelTimer: NodeJS.Timeout | null = null;
  readonly #level: LevelSetting;
  readonly #witness: WitnessSetting;
  #isChanging = false;
  /** This process ends by itself: nothing more is changed in it. */
  #isLeaving = false;

  constructor(parts: SettingsParts) {
    this.#p = parts;
    this.#line = new PartnerLine((message) => parts.say(message), parts.firstNumber);
    const commit = (files: readonly NewFile[]): void => this.#commit(files);
    const onBoth = { ...parts, line: this.#line, sources: () => this.#sources(), commit };
    const level = new LevelSetting(parts.config.workload.level, onBoth);
    this.#level = level;
    this.#witness = new WitnessSetting(onBoth);
    this.#wishes = new PartnerWishes({ ...parts, whyNothing: () => this.#whyNothing(), commit, level });
    this.#trial = readSettingsRecord(parts.config.stateDir).trial;
  }

  /** Before the consoles listen: their address may be a new one. Never rejects. */
  async settle(): Promise<void> {
    const { config, configFile, tell } = this.#p;
    this.#witness.settle();
    const { former, news } = readSettingsRecord(config.stateDir);
    if (news !== '') tell('warning', news);
    const wanted = managementOf(textOf(nicsFileOf(configFile)), config);
    if (former !== '' && wanted)
      await settleAddress(config.management.nic, wanted, former).catch((error: Error) =>
        tell('warning', `The management address ${wanted.address} could not be set: ${error.message}.`),
      );
    if (former !== '' || news !== '') noteSettings(config.stateDir, { former: '', news: '' });
  }

  /** The consoles listen. */
  start(): void {
    if (this.#trial) {
      this.#until = performance.now() + TRIAL_MS;
      this.#timer = setTimeout(() => this.#giveUp('nobody said within two minutes that it is to stay'), TRIAL_MS);
    }
    this.#peerTimer = setInterval(() => void this.tellPartner().catch(() => undefined), TELL_PEER_EVERY_MS);
    this.#levelTimer = setInterval(() => this.followLevel(), LOOK_EVERY_MS);
  }

  stop(): void {
    if (this.#timer) clearTimeout(this.#timer);
    for (const timer of [this.#peerTimer, this.#levelTimer]) if (timer) clearInterval(timer);
  }

  actions(): ActionView[] {
    return trialActions(this.#trial);
  }

  attention(): AttentionView[] {
    return trialAttention(this.#trial, Math.max(0, this.#until - performance.now()));
  }

  /** Null: no action of the settings. */
  action(name: string, by: string): RequestAnswer | null {
    if (name !== KEEP_ADDRESS && name !== OLD_ADDRESS) return null;
    if (!this.#trial || this.#isLeaving) return no('No new address is on trial.');
    if (name === OLD_ADDRESS) return this.#giveUp(`asked at ${by}`);
    try {
      noteSettings(this.#p.config.stateDir, { trial: null, isPeerToTell: true });
    } catch (error) {
      return no(notWritten(error));
    }
    this.#p.tell('info', `The management address ${this.#trial.to.address} stays, said at ${by}.`);
    if (this.#timer) clearTimeout(this.#timer);
    this.#trial = null;
    this.#p.changed();
    void this.tellPartner().catch(() => undefined);
    return { accepted: true };
  }

  picture(): SettingsPicture {
    return { groups: groupsOf(this.#known()) };
  }

  async change(name: string, values: Readonly<Record<string, string>>, how: ChangeHow): Promise<RequestAnswer> {
    const setting = SETTINGS.find((s) => s === name);
    if (!setting) return no(`There is no setting '${name}'; there are: ${SETTINGS.join(', ')}.`);
    const known = this.#known();
    const whyNot = groupsOf(known).find((g) => g.name === setting)?.whyNot ?? '';
    if (whyNot !== '') return no(whyNot);
    const change = changeOf(setting, values, known);
    if ('problem' in change) return no(change.problem);
    this.#isChanging = true;
    try {
      return await this.#make(change, how);
    } catch (error) {
      return no(notWritten(error));
    } finally {
      this.#isChanging = false;
      this.#p.changed();
    }
  }

  /** From the partner. */
  async heard(message: SettingsMessage): Promise<void> {
    if (message.kind === 'answer') {
      this.#line.answered(message);
      return;
    }
    this.#line.answer(message.number, await this.#wishes.take(message));
    this.#p.changed();
  }

  #make(change: Change, how: ChangeHow): Promise<RequestAnswer> | RequestAnswer {
    switch (change.kind) {
      case 'password':
        return this.#password(change, how);
      case 'management':
        return this.#management(change, how);
      case 'fence':
        return this.#fence(change, how);
      case 'witness':
        return this.#witness.change(change, how.by);
      case 'level':
        return this.#level.change(change.level, how);
      default:
        return change satisfies never;
    }
  }

  // ---- each of them ------------------------------------------------------------------------------------------------------------

  async #password({ old, password }: Extract<Change, { kind: 'password' }>, { by, session }: ChangeHow): Promise<RequestAnswer> {
    const { config, state, tell, takePassword } = this.#p;
    const before = config.console.passwordHash;
    if (before !== '') {
      const admission = this.#limiter.admit('old', performance.now());
      if (!admission.admitted) return no(`Too many attempts: try again in ${admission.retryAfterS} s.`);
      if ((await new PasswordVerifier(before).check(old)) !== 'right') return no('The present password is another one.');
      this.#limiter.succeeded('old');
    }
    const hash = await hashPassword(password);
    this.#commit(passwordFiles(this.#sources(), hash));
    config.console.passwordHash = hash;
    takePassword(hash, session);
    const other = otherOf(config);
    const refusal = state().partnerHeard ? await this.#line.ask({ kind: 'password', from: before, to: hash }) : `it is not heard`;
    const there =
      refusal === '' ? `CoServer ${other} has it too.` : `On this CoServer only (${other}: ${refusal}): do the same on the other one.`;
    tell('info', `The administrator's password was changed, asked at ${by}: whoever was signed in elsewhere is signed out. ${there}`);
    return yes(`The new password counts. ${there}`);
  }

  #management(to: ManagementAddress, { by, via, isAccepted, answered }: ChangeHow): RequestAnswer {
    const { config, configFile, tell } = this.#p;
    const nics = nicsBeside(configFile);
    const from = managementOf(nics.text, config);
    if (!from) return no(`The file ${nics.path} has no line for ${config.management.nic}.`);
    const cost = this.#cost(isAccepted);
    if (cost) return cost;
    const trial = via === 'web' ? { from, to, isBegun: false } : null;
    this.#commit(managementFiles(this.#sources(), nics, to), { trial, former: from.address, isPeerToTell: trial === null });
    const host = to.address.split('/')[0];
    tell('info', `The management address becomes ${to.address} in place of ${from.address}, asked at ${by}. This process starts again.`);
    this.#leave('the management address was changed', answered);
    const port = config.console.port === 443 ? '' : `:${config.console.port}`;
    const where = config.console.port === 0 ? '' : ` The web console is at https://${host}${port}/ in a moment.`;
    const back = `Sign in there and say within two minutes that the address is to stay; otherwise ${from.address} comes back by itself.`;
    return yes(`Written.${where} ${trial ? back : ''}`.trimEnd());
  }

  async #fence(change: Extract<Change, { kind: 'fence' }>, { by, isAccepted, answered }: ChangeHow): Promise<RequestAnswer> {
    const { config, tell, readBmc } = this.#p;
    const other = otherOf(config);
    const silent = isAccepted || change.address === '' ? null : await this.#tryBmc(change, readBmc);
    const cost = this.#cost(isAccepted, silent);
    if (cost) return cost;
    this.#commit(fenceFiles(this.#sources(), change));
    const what = change.address === '' ? 'is not used any more' : `is ${change.address}, user ${change.username}, from now on`;
    tell('info', `The BMC of CoServer ${other} ${what}, asked at ${by}. This process starts again.`);
    this.#leave("the partner's BMC was changed", answered);
    return yes('Written. This process starts again in a moment; the guest runs on.');
  }

  /** Null: it answers. */
  async #tryBmc({ address, username, password, cipherSuite }: FenceAccess, read: SettingsParts['readBmc']): Promise<string | null> {
    const { config } = this.#p;
    const secret = password ?? readFileSync(passwordFileOf(config), 'utf8').trim();
    return await read({ address, username, password: secret, cipherSuite }).then(
      () => null,
      (error: Error) => `The BMC at ${address} does not answer so: ${error.message}.`,
    );
  }

  /** Each second: in its turn this process starts again, to run at the level that is configured. */
  followLevel(): void {
    const level = this.#level.startsAgainAt();
    if (level === null || this.#isLeaving || this.#isChanging || this.#trial || this.#p.whyBusy() !== '') return;
    this.#p.tell('info', `This process starts again, to run at protection level ${level}.`);
    this.#leave('another protection level', undefined);
  }

  // ---- what they have in common ------------------------------------------------------------------------------------------------

  #known(): Known {
    const { config, configFile, state } = this.#p;
    const s = state();
    return {
      config,
      nics: textOf(nicsFileOf(configFile)),
      whyNothing: this.#whyNothing(),
      whyNotWitness: whyNotWitness(s),
      level: this.#level.now,
      runsAtLevel: s.level,
      whyNotLevel: whyNotLevel(s),
    };
  }

  #whyNothing(): string {
    const { configFile, whyBusy } = this.#p;
    if (configFile.startsWith(GIVEN)) return `The configuration is given by this virtual machine's host: change it there.`;
    if (this.#isLeaving) return 'This process starts again just now.';
    if (this.#trial) return 'A new management address is on trial: say first whether it is to stay.';
    if (this.#isChanging) return 'Something else is being changed just now.';
    if (this.#witness.isAsked) return `CoServer ${otherOf(this.#p.config)} has not said yet whether it has the new witness.`;
    return whyBusy();
  }

  /** Null: it may start again. */
  #cost(isAccepted: boolean, more: string | null = null): RequestAnswer | null {
    const against = [more, costOfRestart(this.#p.state())].filter((text) => text !== null);
    return isAccepted || against.length === 0 ? null : { accepted: false, reason: against.join(' '), canForce: true };
  }

  #sources(): Sources {
    return sourcesOf(this.#p.config, this.#p.configFile);
  }

  /** Throws where the file would not be believed at the next start, and the file system's error: then nothing has changed. */
  #commit(files: readonly NewFile[], changed: Parameters<typeof commitSettings>[2] = {}): void {
    const { config, configFile, problemOf } = this.#p;
    const wrong = problemOf(files.find((f) => f.path === configFile)?.text ?? '');
    if (wrong !== null) throw new Error(wrong);
    commitSettings(config.stateDir, files, changed);
  }

  #giveUp(why: string): RequestAnswer {
    const { config, configFile } = this.#p;
    const trial = this.#trial;
    if (!trial || this.#isLeaving) return no('No new address is on trial.');
    try {
      goBack(sourcesOf(config, configFile), trial, wentBack(trial, why));
    } catch (error) {
      return no(notWritten(error));
    }
    this.#leave('the management address was not kept', undefined);
    return { accepted: true };
  }

  #leave(why: string, answered: Promise<unknown> | undefined): void {
    this.#isLeaving = true;
    void (answered ?? Promise.resolve()).then(() => this.#p.restart(why));
  }

  /** Every few seconds: what it is still to be told. Rejects where the disk takes no note of it: it is told once more then. */
  async tellPartner(): Promise<void> {
    const { config, state } = this.#p;
    if (this.#isLeaving || !state().partnerHeard) return;
    await this.#witness.askAgain();
    if (!readSettingsRecord(config.stateDir).isPeerToTell) return;
    if ((await this.#line.ask({ kind: 'address', address: config.management.address })) !== '') return;
    noteSettings(config.stateDir, { isPeerToTell: false });
    this.#p.tell('info', `CoServer ${otherOf(config)} knows the management address ${config.management.address} of this one.`);
  }
}

const notWritten = (error: unknown): string =>
  `It cannot be written (${error instanceof Error ? error.message : String(error)}): nothing was changed.`;

function textOf(path: string): string | null {
  return existsSync(path) ? readFileSync(path, 'utf8') : null;
}
