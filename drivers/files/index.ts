// Files that are whole after a loss of power: as they were, or as they were to be.
export { moveInto, putWhole, putWholeSync, writeAsideSync } from './durable.ts';
