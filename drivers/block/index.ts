// A disk kept in a file or on a block device.
export { type CopiedHow, type CopyAside, copyAside } from './copy-aside.ts';
export { deviceIdentity } from './device-identity.ts';
export { disksBelow } from './disks-below.ts';
export { deviceNumbers } from './medium.ts';
export { FileStore, type FileStoreOptions, type StoreCache } from './store.ts';
export {
  type BlockStore,
  SmallDiskError,
  type SpaceStore,
  StoreError,
  type StoreErrorKind,
  type StoreExtent,
  type StoreOperation,
  type ZeroOptions,
  type ZeroSpace,
} from './types.ts';
