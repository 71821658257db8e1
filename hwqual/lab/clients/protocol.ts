// The messages between the clients' process (main.ts, inside the LAN) and its controller: one JSON value per line.
// Controller to process: Request. Process to controller: Answer to a request by its id, and Notice at any time.
import type { Percentiles } from './histogram.ts';

/** As they are reported: those that the guest opens have names of their own. */
export const CLIENT_KINDS = [
  'download',
  'upload',
  'echoTcp',
  'echoUdp',
  'short',
  'record',
  'guestDownload',
  'guestUpload',
  'guestEcho',
  'guestShort',
  'guestRecord',
] as const;
export type ClientKind = (typeof CLIENT_KINDS)[number];
export type Family = 4 | 6;

/** `by: 'guest'`: the guest opens the connections (guest-call.ts). UDP has none. */
export type ClientSpec = ConnectionSpec | (ConnectionSpec & { by: 'guest' });

export type ConnectionSpec =
  /** GET of `bytes` at a time on one connection, paced by the server. */
  | { kind: 'download'; family: Family; bytes: number; rateBytesPerS: number }
  /** PUT of `bytes` at a time on one connection, paced by the client. */
  | { kind: 'upload'; family: Family; bytes: number; rateBytesPerS: number; chunked: boolean }
  /** One connection for ever, a request each `everyMs`. */
  | { kind: 'echoTcp'; family: Family; everyMs: number }
  | { kind: 'echoUdp'; family: Family; everyMs: number }
  /** A new connection for each request of `bytes`. */
  | { kind: 'short'; family: Family; everyMs: number; bytes: number }
  /** One connection for ever, an append each `everyMs`. */
  | { kind: 'record'; family: Family; everyMs: number };

/** What a client of this kind is called in reports. */
export function reportedKind(spec: ClientSpec): ClientKind {
  if (!('by' in spec)) return spec.kind;
  switch (spec.kind) {
    case 'download':
      return 'guestDownload';
    case 'upload':
      return 'guestUpload';
    case 'echoTcp':
      return 'guestEcho';
    case 'short':
      return 'guestShort';
    case 'record':
      return 'guestRecord';
    case 'echoUdp':
      throw new Error('UDP has no connections that the guest could open');
    default: {
      const unknown: never = spec;
      throw new Error(`unknown client ${JSON.stringify(unknown)}`);
    }
  }
}

/** One connection that is open, or was when its client was stopped. Those of `short` are not told. */
export interface ConnectionAge {
  kind: ClientKind;
  family: Family;
  /** Given with `open`: when in a campaign it was opened. */
  cohort: string;
  ageMs: number;
  /** Takeovers after which it has made progress. */
  takeovers: number;
}

/** Where the guest is. */
export interface Target {
  ipv4: string;
  ipv6: string;
}

export interface Incident {
  /** Wall clock, ms. */
  at: number;
  kind: ClientKind;
  family: Family;
  what: 'hung' | 'broken' | 'wrong';
  text: string;
}

/** What all clients of one kind saw in one window. */
export interface KindReport {
  clients: number;
  operations: number;
  bytes: number;
  /** The longest time without progress of any of them, ms. */
  stallMs: number;
  hung: number;
  broken: number;
  wrong: number;
  /** UDP only: requests sent again because no answer came. */
  resent: number;
  latencyMs: Percentiles;
}

export interface WindowReport {
  label: string;
  /** Wall clock of its start, and its length, ms. */
  at: number;
  lengthMs: number;
  /** How late the clients' own timers were at worst: their stalls cannot be known better than this. */
  lagMs: number;
  kinds: Partial<Record<ClientKind, KindReport>>;
}

/** Half a second of one kind, for plots. */
export interface KindSample {
  operations: number;
  bytes: number;
  stallMs: number;
}

export interface Sample {
  at: number;
  kinds: Partial<Record<ClientKind, KindSample>>;
}

export interface RecordsReport {
  acknowledged: number;
  onDisk: number;
  /** Acknowledged, and not in the list: all of them are counted, the first ones are named. */
  lostCount: number;
  lost: number[];
  /** On the disk, and neither sent in this run nor there when it began. */
  unknownCount: number;
}

export type Request =
  | { id: number; request: 'open'; target: Target; clients: ClientSpec[]; cohort: string }
  /** Another CoServer runs the guest since `at` (wall clock, ms): open connections have one more takeover to outlive. */
  | { id: number; request: 'takeover'; at: number }
  /** Answers ConnectionAge[]: of all, or of one cohort, whose clients end. */
  | { id: number; request: 'ages' }
  | { id: number; request: 'retire'; cohort: string }
  /** Ends the current window, answers its WindowReport, begins the next with this label. */
  | { id: number; request: 'mark'; label: string }
  | { id: number; request: 'verifyRecords' }
  | { id: number; request: 'acknowledged' }
  /** Ends all clients. The process ends when its stdin does. */
  | { id: number; request: 'stop' };

export type Answer = { id: number; result: unknown } | { id: number; error: string };

export type Notice = { notice: 'sample'; sample: Sample } | { notice: 'incident'; incident: Incident };
