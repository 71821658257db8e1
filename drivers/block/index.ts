// A disk kept in a file or on a block device.
export { type CopiedHow, type CopyAside, copyAside } from './copy-aside.ts';
export { FileStore, type FileStoreOptions } from './store.ts';
export { type BlockStore, StoreError, type StoreErrorKind, type StoreOperation } from './types.ts';
