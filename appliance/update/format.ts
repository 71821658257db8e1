// What whoever makes updates needs of the format.
export { encodeHead, encodeManifest, type Manifest } from './bundle.ts';
export { isVersion } from './version.ts';
