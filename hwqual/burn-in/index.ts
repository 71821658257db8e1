// The burn-in of one server and of the links to its partner. README.md says what is tested and how.
export { type BurnInProgress, runBurnIn } from './burn-in.ts';
export { type BurnInDoors, burnInOptions, runBurnInCommand } from './command.ts';
export type { BurnInOptions } from './context.ts';
export type { BurnInResult, TestId, TestResult, TestVerdict } from './result.ts';
export { BurnInScreen } from './screen.ts';
export { type BurnInRole, runBurnInWorker } from './worker.ts';
