// A thread of the burn-in, as the product's.
import { parentPort, workerData } from 'node:worker_threads';
import { type BurnInRole, runBurnInWorker } from '../../../../hwqual/burn-in/worker.ts';

if (parentPort) void runBurnInWorker((workerData as BurnInRole).setup, parentPort);
