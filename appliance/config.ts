// The configuration of one CoServer: read once at boot from a YAML file, checked whole, every error named with its key.

export interface CoServerConfig {
  coServer: 'A' | 'B';
  pair: {
    /** 32 hex digits, the same on both CoServers. */
    id: string;
    /** File with the pair's key: 64 hex digits, mode 0600, made by pairing. */
    keyFile: string;
  };
  /** The dedicated links, at least one, in the same order on both CoServers. */
  links: { nic: string; address: string; peer: string }[];
  business: { nic: string };
  management: {
    nic: string;
    address: string;
    /** The partner's management address: another way to hear it when the links are down; empty: none. */
    peer: string;
  };
  witness: { address: string; port: number };
  /** May a partner that was lost join again by itself? */
  rejoin: {
    /** After so many unplanned losses within the window it stays out for the quarantine. */
    losses: number;
    windowMinutes: number;
    quarantineMinutes: number;
    /** Other versions of Twinstep that this one may run duplex with while one CoServer after the other is updated. */
    compatibleVersions: string[];
  };
  /** What this server reads of itself. */
  hardware: {
    /** off: where the hardware is not this CoServer's own, as in the lab on one machine. */
    watch: 'on' | 'off';
    /** The kernel's device of this server's own BMC; empty: it has none. */
    bmc: string;
  };
  /** Lockstep only between two servers that are alike enough. */
  qualification: {
    /** identical: all that affects execution; sameFamily: processors of one family, their common features; none: not asked. */
    policy: 'identical' | 'sameFamily' | 'none';
  };
  /** The partner's BMC, by which this CoServer may switch it off. */
  fence: {
    /** Empty: none; the other keys then mean nothing. */
    address: string;
    port: number;
    username: string;
    /** The password in a line, mode 0600. */
    passwordFile: string;
    /** Of RMCP+: 3 (SHA-1) or 17 (SHA-256). */
    cipherSuite: 3 | 17;
  };
  watchdog: {
    /** `/dev/watchdog`, or `unix:/path` of a stand-in; empty: none. Level 2 needs one. */
    device: string;
    /** At level 2 this is what the partner waits before it starts the guest: 3 by default there, 10 otherwise. */
    timeoutS: number;
  };
  /** Of this CoServer, by Network UPS Tools' upsd. */
  ups: {
    /** Empty: none. */
    address: string;
    port: number;
    /** As upsd names it. */
    name: string;
  };
  heartbeat: {
    intervalMs: number;
    timeoutMs: number;
    /** Not of the file: what the last burn-in allows; timeoutMs is not below it. Missing: there was none. */
    smallestTimeoutMs?: number;
  };
  /** By itself a resync goes as fast as the guest's writes do not feel it. */
  resync: {
    /** It never sends more than this; 0: no such limit. */
    maximumMiBPerS: number;
  };
  checkpoint: {
    /** lockstep: what both replicas agree on leaves at once, and the policy may fall back. passive: all output always waits for its commit. */
    mode: 'passive' | 'lockstep';
    /**
     * lockstep: how long output with data, and a mere acknowledgement, may wait for the replica's before a checkpoint makes them
     * equal. Below the clients' 200 ms; an emulated replica, slow after each checkpoint, needs most of that.
     */
    hold: { dataMs: number; ackMs: number };
    /** ms from the first held frame to the checkpoint that releases it, and the longest time without a checkpoint. */
    outputDelayMs: number;
    idleMs: number;
    /** The shortest time between two checkpoints. */
    minimumMs: number;
  };
  /** States of the guest's disk that are kept: to read files from, and to go back to. */
  restorePoints: {
    /** Folder of what was overwritten since; empty: beside the disk, which must be a file then. */
    directory: string;
    /** All of it on this CoServer; 0: as much as the disk has. When it is full the oldest points go. */
    maximumMiB: number;
    /** So much of that folder's file system stays free. */
    reserveMiB: number;
    /** One is taken by itself as often; 0: none is. */
    everyMinutes: number;
    /** So many of those are kept. */
    keep: number;
  };
  /** The guest's disk here. */
  disk: {
    /** A request that it does not answer for so long: it has failed. Longer than a disk's own attempts at a bad block (7 s for those of servers). */
    timeoutMs: number;
    /** The longest that a write of the guest waits for the other copy before that is dropped. */
    acknowledgeMs: number;
  };
  /** Both copies of the disk are compared. */
  scrub: {
    rateMiBPerS: number;
    /** 0: only when the operator asks. */
    everyHours: number;
  };
  console: {
    /** TLS port on the management address; 0: none. */
    port: number;
    /** argon2id hash of the operator's password. */
    passwordHash: string;
    /** Unix socket: the same API without TLS for the local CLI, mode 0600. */
    socket: string;
    /** What an operator's browser opens for each CoServer, shown on the consoles; empty: the management address. */
    urls: { A: string; B: string };
    /** Serial device of the serial console; empty: none. */
    serial: string;
  };
  /** Directory of durable state (records, journal, certificates, history). */
  stateDir: string;
  /** Directory of sockets and pid files. */
  runDir: string;
  /** Set in the lab only: a Unix socket where lab actions (power, links) can be asked for. */
  labSocket: string;
  engine: {
    binary: string;
    /** The version this build was qualified with: a prefix of `query-version`'s, e.g. "11.1"; "image": whichever the appliance's image brings. */
    version: string;
    acceleration: 'kvm' | 'tcg';
    /** Directory for logs of the engine and the guest's serial port. */
    logDir: string;
  };
  workload: {
    name: string;
    /** 3: two replicas run, a loss is not noticed. 2: one runs, its disk is mirrored, a loss restarts it on the other. The same on both. */
    level: 2 | 3;
    memoryMiB: number;
    cpus: number;
    mac: string;
    disk: {
      path: string;
      /** Of the guest's disk; the file or device may be larger. */
      sizeMiB: number;
      /** buffered: through the host's page cache; direct: past it (O_DIRECT), where the file system can. */
      cache: 'buffered' | 'direct';
      /** flushed: a write survives a loss of power of both CoServers when a flush after it has ended; write-through: when it has itself. */
      durability: 'flushed' | 'write-through';
    };
    /** Folder for histories that were given up; empty: beside the disk, which must be a file then. */
    keepDir: string;
    kernel: string;
    initrd: string;
    append: string;
    /** A line with this word on the guest's serial port says it is up; empty: the first frame on its NIC does. */
    readyMarker: string;
    bootTimeoutS: number;
  };
}
