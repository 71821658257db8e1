// One page of the dialogue as a browser shows it: what it says, its fields, what is to be read. Pure. Secrets that were typed are not in it.
import type { Block } from './blocks.ts';
import { type Choice, type Field, fieldsOf } from './fields.ts';
import { pageBlocks, TITLES } from './pages.ts';
import { goOnText, messageOf } from './picture.ts';
import { PAGES, type Page, type SetupFacts, type SetupState } from './state.ts';

export interface ViewField {
  id: string;
  label: string;
  kind: Field['kind'];
  /** '' of a secret. */
  value: string;
  /** A secret that was typed, here or before. */
  isSet: boolean;
  choices: readonly Choice[];
}

export interface SetupView {
  version: string;
  /** '': not chosen yet. */
  coServer: string;
  page: Page;
  title: string;
  /** 1 ... steps. */
  step: number;
  steps: number;
  above: readonly Block[];
  fields: readonly ViewField[];
  below: readonly Block[];
  message: string;
  isBusy: boolean;
  /** What is done when the page is answered. */
  goOn: string;
}

export function setupView(state: SetupState, facts: SetupFacts): SetupView {
  // How a browser gets in is said where somebody stands before the server.
  const { above, below } = pageBlocks(state, { ...facts, web: null });
  return {
    version: facts.version,
    coServer: state.isServerChosen ? (state.values.coServer ?? '') : '',
    page: state.page,
    title: TITLES[state.page],
    step: PAGES.indexOf(state.page) + 1,
    steps: PAGES.length,
    above,
    fields: fieldsOf(state, facts).map(viewOf),
    below,
    message: messageOf(state),
    isBusy: state.busy !== null,
    goOn: goOnText(state.page),
  };
}

function viewOf({ id, label, kind, value, choices }: Field): ViewField {
  const isSecret = kind === 'secret';
  return { id, label, kind, value: isSecret ? '' : value, isSet: isSecret && value !== '', choices };
}
