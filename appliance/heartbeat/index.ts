// Who hears whom over the dedicated links: in a thread of its own.
export * from './api.ts';
export { type RunningHeartbeat, runHeartbeatWorker } from './worker.ts';
