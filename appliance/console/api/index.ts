// The console's server and what it is made of, for the process that starts it.
export { type CertificateOptions, type ConsoleCertificate, consoleCertificate } from './certificate.ts';
export { type Lab, labAt } from './lab.ts';
export { hashPassword } from './password.ts';
export { type ConsoleServer, type ConsoleServerOptions, startConsoleServer } from './server.ts';
export type { ActionArgs, ActionRequest, LabAction, PointRequest, RequestAnswer, SnapshotSource } from './types.ts';
