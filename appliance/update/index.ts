// What the rest of the appliance uses of updates.
export { type Manifest, type RefusalKind, UpdateRefusal } from './bundle.ts';
export { runUpdate } from './command.ts';
export { followHealth } from './health.ts';
export { pairAttention } from './pair-attention.ts';
export type { PairNow } from './pair-order.ts';
export { PairUpdater, type PairUpdaterParts } from './pair-updater.ts';
export { compatibleByWish, readLevel, readWish } from './pair-wish.ts';
export { findPlace, isAppliance, type Place } from './place.ts';
export type { News } from './record.ts';
export { prepareRestart, restartServer, whyNotRestart } from './restart.ts';
export { type ReceiveOptions, type UpdateStatus, UpdateStore } from './update-store.ts';
export { UploadDesk } from './upload.ts';
