// A new server in the place of a lost partner, for the process that runs.
export { finishReplacement, markReplaced, replacedMark } from './files.ts';
export { Replacement, type ReplacementParts } from './host.ts';
