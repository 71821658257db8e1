// What a console knows of the settings that may be changed after the first start, and how it asks for a change. What they are and what is refused is
// the process's (appliance/settings): consoles show fields, take values, and show the answer.
import type { RequestAnswer } from './api/types.ts';

export interface SettingField {
  id: string;
  label: string;
  kind: 'text' | 'secret' | 'choice';
  /** What holds now; of a secret always ''. */
  value: string;
  choices: readonly { value: string; text: string }[];
}

export interface SettingGroup {
  name: string;
  title: string;
  /** What holds now, a sentence. */
  now: string;
  /** What a change does, a sentence or two. */
  effect: string;
  fields: readonly SettingField[];
  /** Why it cannot be changed now; '': it can. */
  whyNot: string;
}

/** The answer of `GET /api/settings`. */
export interface SettingsPicture {
  groups: readonly SettingGroup[];
}

export type SettingsState = { kind: 'unknown'; reason: string } | { kind: 'known'; picture: SettingsPicture };

/** At which kind of console it is asked: only one over the network can lose its way. */
export type Via = 'web' | 'serial' | 'local';

export interface ChangeHow {
  via: Via;
  /** In words; it is recorded. */
  by: string;
  /** What stands against it was read, and it is wanted all the same. */
  isAccepted: boolean;
  /** Whose session outlives a new password; whatever the console takes for that. */
  session?: string;
  /** When whoever asked has the answer: what is asked for may end this process. */
  answered?: Promise<unknown>;
}

/** Accepted: `detail.text` says what comes of it. `canForce`: asked for again, accepted, it is done. */
export interface SettingsRequest {
  picture(): SettingsPicture;
  /** `values`: by field; what is missing stays as it is. */
  change(name: string, values: Readonly<Record<string, string>>, how: ChangeHow): Promise<RequestAnswer>;
}

export const SETTINGS_NOT_ASKED: SettingsState = { kind: 'unknown', reason: 'They have not been asked for yet.' };

/** Missing: nothing can be changed here. */
export function settingsState(source: Pick<SettingsRequest, 'picture'> | undefined): SettingsState {
  if (!source) return { kind: 'unknown', reason: 'Nothing can be changed here now.' };
  try {
    return { kind: 'known', picture: source.picture() };
  } catch (error) {
    return { kind: 'unknown', reason: `The settings cannot be read: ${(error as Error).message}.` };
  }
}

/** What was typed, and what the rest is now: complete. */
export function valuesOf(group: SettingGroup, typed: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(group.fields.map((f) => [f.id, typed[f.id] ?? f.value]));
}
