// Who hears whom over the dedicated links: in a thread of its own.
export * from './api.ts';
export { DROP_KINDS, DROP_WORDS, type DropCounts, type DropKind, type DropReport } from './dropped.ts';
export { type RunningHeartbeat, runHeartbeatWorker } from './worker.ts';
