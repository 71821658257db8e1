// The console's server and what it is made of, for the process that starts it.
export { type CertificateOptions, type ConsoleCertificate, consoleCertificate, newCertificate } from './certificate.ts';
export { type GuardOptions, REQUEST_HEADER, registerGuard, type Secret } from './guard.ts';
export { type Lab, labAt } from './lab.ts';
export { LiveHub } from './live.ts';
export { hashPassword } from './password.ts';
export { type ConsoleServer, type ConsoleServerOptions, startConsoleServer } from './server.ts';
export { Sessions } from './sessions.ts';
export type { ActionArgs, ActionRequest, LabAction, PointRequest, RequestAnswer, SnapshotSource } from './types.ts';
export { closeServer, listenOnAddress, servePage, tlsServer } from './web-server.ts';
