// What every console shows, already in words: the types, and the two helpers that make them.
import type { CoServerName } from '../core/snapshot.ts';
import { printable } from './format.ts';
import type { SettingsModel } from './settings-views.ts';
import type { SoftwareModel } from './update-views.ts';

/** How a fact is meant. Renderers add a mark to the colour: colour alone is never the signal. */
export type Tone = 'good' | 'info' | 'warning' | 'critical' | 'unknown';

export interface Fact {
  label: string;
  value: string;
  tone: Tone;
}

/** Is the workload protected? Two replicas that run are not: the secondary must be proven. */
export interface Standing {
  kind: 'protected' | 'unproven' | 'unfit' | 'alone';
  text: string;
  tone: Tone;
}

export interface HeadlineModel {
  word: string;
  standing: Standing;
  sentence: string;
  tone: Tone;
  /** The CoServer whose picture this is. */
  coServer: CoServerName;
  date: string;
  clock: string;
  facts: Fact[];
}

/** Who decides if the partner is lost now. */
export interface ArbiterModel {
  word: string;
  tone: Tone;
  sentence: string;
  facts: Fact[];
}

/** What is going on, what ends it, what the operator can do. */
export interface AttentionModel {
  key: string;
  tone: Tone;
  title: string;
  sentence: string;
  row: string;
  /** What ends it by itself, or ''. */
  ends: string;
  /** action: asked for here; null: the text says all. */
  ways: { text: string; action: ActionModel | null }[];
}

export interface CoServerModel {
  name: CoServerName;
  /** The console runs on this one. */
  here: boolean;
  present: boolean;
  tone: Tone;
  /** What it is for the workload: 'runs the workload', 'ready to take over', ... */
  part: string;
  /** The replica that it runs. */
  replica: 'primary' | 'secondary' | 'unproven' | 'unfit' | null;
  phase: string;
  sentence: string;
  facts: Fact[];
}

export interface LinkModel {
  name: string;
  nic: string;
  up: boolean;
  tone: Tone;
  state: string;
  detail: string;
  /** '7 heartbeat frames dropped: 5 forged, 2 replayed'; '': none. */
  dropped: string;
}

export interface WorkloadModel {
  name: string;
  tone: Tone;
  state: string;
  sentence: string;
  addresses: string[];
  facts: Fact[];
}

export interface ProgressModel {
  what: string;
  /** 0..1 */
  fraction: number;
  percent: string;
  detail: string;
}

export interface SinglePointsModel {
  tone: Tone;
  title: string;
  lines: string[];
}

export interface CauseModel {
  key: string;
  label: string;
  perMinute: string;
  total: string;
}

export interface ModeModel {
  word: string;
  tone: Tone;
  sentence: string;
  /** One line for an overview. */
  brief: string;
  facts: Fact[];
  /** Why checkpoints were asked for, most frequent first. */
  causes: CauseModel[];
}

export interface AuditModel {
  word: string;
  tone: Tone;
  sentence: string;
  facts: Fact[];
}

/** The two copies of the disk. */
export interface DiskModel {
  word: string;
  tone: Tone;
  sentence: string;
  /** One line for an overview. */
  brief: string;
  facts: Fact[];
}

/** A part of a server that wants to be looked at. */
export interface FaultModel {
  key: string;
  tone: Tone;
  title: string;
  /** Where it sits, what was read, what to do, what it does to the pair, since when. */
  facts: Fact[];
  /** What was read before, oldest first. */
  evidence: string[];
}

export interface QualificationModel {
  word: string;
  tone: Tone;
  sentence: string;
  items: { key: string; tone: Tone; item: string; verdict: string; a: string; b: string; rule: string }[];
}

export interface ReadingGroup extends FigureGroup {
  /** sensors: a few characters each; parts: a line each. */
  kind: 'sensors' | 'parts';
}

/** The hardware of the CoServer whose picture this is, and the faults of both. */
export interface HardwareModel {
  word: string;
  tone: Tone;
  sentence: string;
  /** One line for an overview. */
  brief: string;
  /** The worst first. */
  faults: FaultModel[];
  server: Fact[];
  readings: ReadingGroup[];
  sources: Fact[];
  /** What is left out, or ''. */
  more: string;
  qualification: QualificationModel;
}

export interface IncidentModel {
  /** Stays the same while others come and go: what is unfolded stays unfolded. */
  key: string;
  date: string;
  clock: string;
  coServer: CoServerName;
  /** What was found, in two or three words. */
  found: string;
  sentence: string;
  evidence: string[];
}

export interface EventModel {
  key: string;
  date: string;
  clock: string;
  coServer: CoServerName;
  tone: Tone;
  severity: string;
  text: string;
  /** The applied row of the decision table in words, or ''. */
  row: string;
  /** What was known when the row was applied. */
  evidence: Fact[];
}

export interface TakeoverStepModel {
  step: string;
  atMs: number;
  at: string;
  took: string;
  /** The step's share of the whole, 0..1, for a bar. */
  start: number;
  width: number;
}

export interface TakeoverModel {
  title: string;
  when: string;
  reason: string;
  row: string;
  total: string;
  totalMs: number;
  steps: TakeoverStepModel[];
  /** Older ones, newest first, one line each. */
  earlier: string[];
}

export interface FigureGroup {
  title: string;
  facts: Fact[];
}

/** other: what is asked of a CoServer that runs nothing, as while it is paired. */
export type ActionGroup = 'other' | 'guest' | 'maintenance' | 'mode' | 'points' | 'emergency' | 'software' | 'settings';

export interface ActionModel {
  name: string;
  label: string;
  allowed: boolean;
  reason: string;
  group: ActionGroup;
  /** What must be typed for it, and what it means. */
  typed: { word: string; meaning: string } | null;
  /** 1, 2, ... of those that are possible now; null: it is not. */
  number: number | null;
}

export interface ActionGroupModel {
  group: ActionGroup;
  title: string;
  actions: ActionModel[];
}

export interface PointModel {
  key: string;
  name: string;
  when: string;
  kind: string;
  on: string;
  kept: string;
  /** Why it cannot be used any more, or not now; or ''. */
  trouble: string;
  inUse: boolean;
  tone: Tone;
  /** Remove it, go back to it. */
  actions: ActionModel[];
}

export interface PointsModel {
  /** In a few words. */
  brief: string;
  tone: Tone;
  /** Newest first. */
  points: PointModel[];
  take: ActionModel | null;
  /** Older ones that are not among them. */
  more: number;
  /** Why none can be gone back to now, the same for all; empty: see their actions. */
  whyNotBack: string;
}

export interface ConsoleAddressModel {
  coServer: CoServerName;
  here: boolean;
  url: string;
  fingerprint: string | null;
}

export interface ConsoleModel {
  headline: HeadlineModel;
  /** The most severe first. */
  attention: AttentionModel[];
  arbiter: ArbiterModel;
  coServers: CoServerModel[];
  links: LinkModel[];
  workload: WorkloadModel;
  mode: ModeModel;
  audit: AuditModel | null;
  disk: DiskModel | null;
  hardware: HardwareModel | null;
  /** Newest first. */
  incidents: IncidentModel[];
  progress: ProgressModel | null;
  singlePoints: SinglePointsModel;
  events: EventModel[];
  takeover: TakeoverModel | null;
  figures: FigureGroup[];
  /** Of the latest checkpoints, oldest first. */
  recent: { at: number; pauseMs: number; bytes: number; sentBytes: number }[];
  /** By group; those that say nothing now are left out. */
  actions: ActionModel[];
  points: PointsModel;
  consoles: ConsoleAddressModel[];
  software: SoftwareModel;
  settings: SettingsModel;
  lab: boolean;
}

export const fact = (label: string, value: string, tone: Tone = 'info'): Fact => ({ label, value: printable(value), tone });

/** Equal ones get a number behind them. */
export function uniqueKeys(keys: readonly string[]): string[] {
  const seen = new Map<string, number>();
  return keys.map((key) => {
    const count = (seen.get(key) ?? 0) + 1;
    seen.set(key, count);
    return count === 1 ? key : `${key}-${count}`;
  });
}

export function never(value: never): never {
  throw new Error(`a value the consoles do not know: ${String(value)}`);
}
