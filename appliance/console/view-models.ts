// What every console shows, already in words: the types, and the two helpers that make them.
import type { CoServerName } from '../core/snapshot.ts';
import { printable } from './format.ts';

/** How a fact is meant. Renderers add a mark to the colour: colour alone is never the signal. */
export type Tone = 'good' | 'info' | 'warning' | 'critical' | 'unknown';

export interface Fact {
  label: string;
  value: string;
  tone: Tone;
}

export interface HeadlineModel {
  word: string;
  sentence: string;
  tone: Tone;
  /** The CoServer whose picture this is. */
  coServer: CoServerName;
  date: string;
  clock: string;
  facts: Fact[];
  arbiter: Fact;
}

export interface CoServerModel {
  name: CoServerName;
  /** The console runs on this one. */
  here: boolean;
  present: boolean;
  tone: Tone;
  /** What it is for the workload: 'runs the workload', 'ready to take over', ... */
  part: string;
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

export interface ActionModel {
  name: string;
  label: string;
  allowed: boolean;
  reason: string;
}

export interface ConsoleAddressModel {
  coServer: CoServerName;
  here: boolean;
  url: string;
  fingerprint: string | null;
}

export interface ConsoleModel {
  headline: HeadlineModel;
  coServers: CoServerModel[];
  links: LinkModel[];
  workload: WorkloadModel;
  progress: ProgressModel | null;
  singlePoints: SinglePointsModel;
  events: EventModel[];
  takeover: TakeoverModel | null;
  figures: FigureGroup[];
  /** Of the latest checkpoints, oldest first. */
  recent: { at: number; pauseMs: number; bytes: number; sentBytes: number }[];
  actions: ActionModel[];
  consoles: ConsoleAddressModel[];
  lab: boolean;
}

export const fact = (label: string, value: string, tone: Tone = 'info'): Fact => ({ label, value: printable(value), tone });

export function never(value: never): never {
  throw new Error(`a value the consoles do not know: ${String(value)}`);
}
