// The Network Block Device protocol: a server for one export, and a small client.
export { NbdClient, type NbdClientOptions } from './client.ts';
export { NbdServer, type NbdServerEvents } from './server.ts';
export { NbdError, type NbdExport, type NbdExtent, type ZeroesOrder } from './types.ts';
