// The burn-in of one server and of the links to its partner. README.md says what is tested and how.
export { type BurnInProgress, runBurnIn } from './burn-in.ts';
export { runBurnInCommand } from './command.ts';
export type { BurnInOptions } from './context.ts';
export { type BurnInResult, TEST_IDS, type TestId, type TestResult, type TestVerdict } from './result.ts';
export { type BurnInDoors, type BurnInFlags, burnInOptions, runBurnInHere, whyNotNow } from './run-here.ts';
export { BurnInScreen } from './screen.ts';
export { type BurnInRole, runBurnInWorker } from './worker.ts';
