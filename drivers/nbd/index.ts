// The Network Block Device protocol: a server for one export, and a small client.
export { NbdClient } from './client.ts';
export { NbdServer, type NbdServerEvents } from './server.ts';
export { NbdError, type NbdExport } from './types.ts';
