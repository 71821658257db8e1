// Words that all parts of the driver share: errors, cipher suites, what a BMC is asked with.

/** 3: RAKP-HMAC-SHA1, HMAC-SHA1-96, AES-CBC-128. 17: RAKP-HMAC-SHA256, HMAC-SHA256-128, AES-CBC-128 (IPMI 2.0, table 22-20). */
export type CipherSuite = 3 | 17;

/** Why a BMC did not do what it was asked. */
export type IpmiReason =
  /** No answer to an attempt to open a session; no IPMI device of the kernel. */
  | 'unreachable'
  /** Unknown user, wrong password, or a privilege that this user does not have. */
  | 'refused'
  /** It does not offer the cipher suite. */
  | 'cipherSuite'
  /** It has no room for another session. */
  | 'busy'
  /** It answered before, and does not any more; or the session is closed. Whether the last command was carried out is not known. */
  | 'lost'
  /** It answered the command with an error: `completionCode`. */
  | 'rejected'
  /** It answered with bytes that are no answer. */
  | 'garbled'
  /** The caller's signal. */
  | 'aborted';

/** Its message names the BMC and never a secret. */
export class IpmiError extends Error {
  readonly reason: IpmiReason;
  /** IPMI 2.0, table 5-2; only with the reason `rejected`, and `refused` for want of privilege. */
  readonly completionCode: number | undefined;
  constructor(reason: IpmiReason, message: string, completionCode?: number) {
    super(message);
    this.name = 'IpmiError';
    this.reason = reason;
    this.completionCode = completionCode;
  }
}

/** Bytes that are not what they should be. The only error that the codecs throw on what comes from outside. */
export class IpmiCodecError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'IpmiCodecError';
  }
}

/** What a command may be given with. */
export interface CommandOptions {
  /** Gives up this command at once; the BMC may still carry it out. */
  signal?: AbortSignal;
  /** For one answer; the transport's own when left out. */
  timeoutMs?: number;
  /** How often it is repeated when no answer comes, where a command can be lost on the way; the transport's own when left out. */
  retries?: number;
}

export interface CommandAnswer {
  /** IPMI 2.0, table 5-2. */
  completionCode: number;
  /** What follows the completion code. */
  data: Buffer;
}

/**
 * A way to one BMC: a session over LAN, or the kernel's device. Commands are carried out one at a time, in their order. `command` throws an
 * IpmiError (lost, busy, aborted) when there is no answer; an answer with an error is an answer.
 */
export interface BmcTransport {
  /** "the BMC at 10.0.0.1". */
  readonly name: string;
  command(netFn: number, lun: number, command: number, data: Buffer, options?: CommandOptions): Promise<CommandAnswer>;
  /** Never rejects. */
  close(): Promise<void>;
}

export interface IpmiOptions {
  /** IPv4 or IPv6 address of the BMC: names are not looked up, a fence must not wait for a name server. */
  address: string;
  /** UDP; 623 when left out. */
  port?: number;
  /** At most 16 bytes. */
  username: string;
  /** At most 20 bytes. */
  password: string;
  /** `best` (the default) asks for 17 and takes 3 when the BMC says that it does not offer 17. */
  cipherSuite?: CipherSuite | 'best';
  /** Chassis control needs an operator (the default). */
  privilege?: 'user' | 'operator' | 'administrator';
  /** `name` (the default): the BMC finds the user by name alone. `nameAndPrivilege`: among those with just this privilege, as some want. */
  lookup?: 'name' | 'nameAndPrivilege';
  /** The BMC's key (K_G), where one is set: at most 20 bytes. */
  bmcKey?: string;
  /** An address of this machine to ask from. */
  localAddress?: string;
  /** For one answer; 1000 when left out. */
  timeoutMs?: number;
  /** How often a question is repeated after the first time; 3 when left out. */
  retries?: number;
  /** A session that is silent for this long is kept open by a harmless question; BMCs close after 60 s. 20,000 when left out, 0: never. */
  keepAliveMs?: number;
  /** Gives up at once, now and later in the session. */
  signal?: AbortSignal;
}
