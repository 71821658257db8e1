// The figures behind the picture: what the workers report, kept for the consoles, and the Snapshot made of all of it.
import type { CoServerConfig } from '../config.ts';
import { arbiterView } from '../core/arbiter-view.ts';
import { attentionOf, bySeverity, lateDisk, sameName } from '../core/attention.ts';
import type { State } from '../core/machine.ts';
import { effectiveMode } from '../core/modes.ts';
import { pictureOf } from '../core/picture.ts';
import { actionLabel, actionsOf, mayRequest } from '../core/requests.ts';
import type { DiskView, ProgressView, QualificationItemView, Snapshot, TimelineEntry } from '../core/snapshot.ts';
import type { GateStatus } from '../gate/api.ts';
import type { HardwareStatus } from '../hardware/api.ts';
import type { HeartbeatStatus } from '../heartbeat/api.ts';
import { DROP_KINDS, DROP_WORDS } from '../heartbeat/dropped.ts';
import type { CheckpointReport } from '../memory/api.ts';
import type { MirrorStatus } from '../mirror/api.ts';
import type { Replacement } from '../replacement/index.ts';
import type { Settings } from '../settings/index.ts';
import { type PairUpdater, pairAttention } from '../update/index.ts';
import { hardwareView } from './hardware-view.ts';
import type { History } from './history.ts';
import { LockstepFigures } from './lockstep-figures.ts';
import type { RestorePoints } from './restore-points.ts';
import { isClean } from './sources/scrub-news.ts';
import { witnessKeyAction } from './witness-key.ts';
import type { Workers } from './workers.ts';

/** Checkpoints kept for the charts and the percentiles. */
const RECENT_CHECKPOINTS = 240;
/** Of the disk, as its blocks are repaired. */
const DISK_BLOCK_BYTES = 4096;
const RATE_WINDOW_MS = 5_000;
/** A picture goes out five times a second: what was known is sent of the latest entries only. The durable history keeps all. */
const EVIDENCED_ENTRIES = 60;

export class Figures {
  readonly #config: CoServerConfig;
  readonly #history: History;
  readonly lockstep = new LockstepFigures();
  points: RestorePoints | undefined;
  replacement: Pick<Replacement, 'actions' | 'attention'> | undefined;
  settings: Pick<Settings, 'actions' | 'attention'> | undefined;
  /** null: it is not known yet. */
  update: Pick<PairUpdater, 'status'> | null = null;
  /** What its thread has read last. */
  hardware: { readonly latest: HardwareStatus | null } | undefined;
  /** The last comparison of both servers, item by item. */
  qualification: { readonly items: readonly QualificationItemView[] } | undefined;
  readonly #startedAt = performance.now();
  readonly #checkpoints: (CheckpointReport & { at: number; atMs: number })[] = [];
  #gate: GateStatus | null = null;
  #mirror: MirrorStatus | null = null;
  #repairedBlocks = 0;
  #gateRate = { in: 0, out: 0, at: 0, bytesIn: 0, bytesOut: 0 };
  #heartbeat: HeartbeatStatus | null = null;
  #progress: ProgressView | null = null;
  #keeping: { view: ProgressView; since: number } | null = null;
  #cpu = { at: performance.now(), usage: process.cpuUsage(), percent: 0 };

  constructor(config: CoServerConfig, history: History) {
    this.#config = config;
    this.#history = history;
  }

  /** @param onChange Something a console shows at once has changed. */
  follow(workers: Workers, onChange: () => void): void {
    workers.gate.on('status', (s) => {
      const now = performance.now();
      const seconds = (now - this.#gateRate.at) / 1000;
      if (this.#gate && seconds > 0)
        this.#gateRate = {
          at: now,
          bytesIn: s.bytesIn,
          bytesOut: s.bytesOut,
          in: (s.bytesIn - this.#gateRate.bytesIn) / seconds,
          out: (s.bytesOut - this.#gateRate.bytesOut) / seconds,
        };
      else this.#gateRate = { at: now, bytesIn: s.bytesIn, bytesOut: s.bytesOut, in: 0, out: 0 };
      this.#gate = s;
    });
    workers.heartbeat.on('status', (s) => {
      this.#heartbeat = s;
      onChange();
    });
    workers.memory.on('checkpoint', (c) => {
      this.#checkpoints.push({ ...c, at: Date.now(), atMs: performance.now() });
      if (this.#checkpoints.length > RECENT_CHECKPOINTS) this.#checkpoints.shift();
    });
    workers.memory.on('progress', (p) => {
      const total = this.#config.workload.memoryMiB * 1048576;
      this.#show("Copying the guest's memory", Math.min(p.transferredBytes, total), total, p.rateBytesPerS);
      onChange();
    });
    workers.mirror.on('status', (s) => {
      this.#mirror = s;
    });
    workers.mirror.on('repaired', ({ lengthBytes }) => {
      this.#repairedBlocks += Math.ceil(lengthBytes / DISK_BLOCK_BYTES);
      onChange();
    });
    workers.mirror.on('scrubEnded', (view) => {
      if (isClean(view)) this.#repairedBlocks = 0;
      onChange();
    });
    workers.mirror.on('resyncProgress', (p) => {
      this.#show("Making the partner's disk equal", p.comparedBytes, p.totalBytes, p.rateBytesPerS);
      onChange();
    });
  }

  /** Null: it has ended. */
  setKeeping(progress: { doneBytes: number; totalBytes: number } | null): void {
    if (!progress) {
      this.#keeping = null;
      return;
    }
    const since = this.#keeping?.since ?? performance.now();
    const seconds = (performance.now() - since) / 1000;
    const rate = seconds > 0 ? progress.doneBytes / seconds : 0;
    this.#keeping = {
      since,
      view: progressView("Keeping this CoServer's own history aside", progress.doneBytes, progress.totalBytes, rate),
    };
  }

  #show(what: string, doneBytes: number, totalBytes: number, rateBytesPerS: number): void {
    this.#progress = progressView(what, doneBytes, totalBytes, rateBytesPerS);
  }

  snapshot(state: State): Snapshot {
    const picture = pictureOf(state);
    const kind = state.phase.kind;
    if (kind !== 'resyncing' && kind !== 'protecting' && kind !== 'incoming' && kind !== 'target') this.#progress = null;
    const pauses = this.#checkpoints.map((c) => c.pauseMs).sort((a, b) => a - b);
    const recently = this.#checkpoints.filter((c) => performance.now() - c.atMs < RATE_WINDOW_MS).length;
    const usage = this.#cpuPercent();
    const { workload } = this.#config;
    return {
      coServer: state.me,
      at: Date.now(),
      uptimeMs: Math.round(performance.now() - this.#startedAt),
      redundancy: picture.redundancy,
      redundancySentence: picture.redundancySentence,
      singlePoints: picture.singlePoints,
      generation: state.record.generation,
      arbiter: arbiterView(state),
      attention: bySeverity([
        ...attentionOf(state),
        ...(this.replacement?.attention() ?? []),
        ...(this.settings?.attention() ?? []),
        ...pairAttention(this.update?.status().pair ?? null),
        ...lateDisk(state.me, this.#mirror?.lateMs ?? 0, this.#config.disk.timeoutMs),
        ...sameName(
          state.me,
          this.#config.links.map((_, i) => ({
            isUp: state.links[i]?.up ?? false,
            frames: this.#heartbeat?.links[i]?.dropped.sameSide ?? 0,
          })),
        ),
      ]),
      coServers: picture.coServers,
      links: this.#config.links.map((l, i) => {
        const seen = this.#heartbeat?.links[i];
        const since = state.links[i]?.since ?? 0;
        return {
          name: `link ${i + 1}`,
          nic: l.nic,
          up: state.links[i]?.up ?? false,
          carrier: seen?.carrier ?? false,
          rttMs: seen?.rttMs ?? -1,
          since: Math.round(Date.now() - (performance.now() - since)),
          dropped: DROP_KINDS.flatMap((kind) => {
            const count = seen?.dropped[kind] ?? 0;
            return count > 0 ? [{ what: DROP_WORDS[kind], count }] : [];
          }),
        };
      }),
      workload: {
        name: workload.name,
        state: picture.workloadState,
        level: picture.level,
        addresses: this.#gate ? [...this.#gate.addresses.ipv4, ...this.#gate.addresses.ipv6] : [],
        acceleration: this.#config.engine.acceleration,
        sentence: picture.workloadSentence,
      },
      progress: this.#keeping?.view ?? this.points?.progress ?? this.#progress,
      checkpoints: {
        mode: effectiveMode(state),
        interval: this.#checkpoints.at(-1)?.interval ?? 0,
        perSecond: recently / (RATE_WINDOW_MS / 1000),
        pauseP50Ms: percentile(pauses, 0.5),
        pauseP99Ms: percentile(pauses, 0.99),
        recent: this.#checkpoints.map((c) => ({ at: c.at, pauseMs: c.pauseMs, bytes: c.bytes, sentBytes: c.sentBytes })),
      },
      heartbeat: {
        timeoutMs: this.#heartbeat?.timeoutMs ?? this.#config.heartbeat.timeoutMs,
        floorMs: Math.max(this.#heartbeat?.jitter.floorMs ?? 0, this.#config.heartbeat.smallestTimeoutMs ?? 0),
        jitterP99Ms: this.#heartbeat?.jitter.p99Ms ?? 0,
        jitterMaxMs: this.#heartbeat?.jitter.maxMs ?? 0,
      },
      gate: {
        heldFrames: this.#gate?.heldFrames ?? 0,
        oldestHeldMs: this.#gate?.oldestHeldMs ?? 0,
        bytesInPerS: Math.round(this.#gateRate.in),
        bytesOutPerS: Math.round(this.#gateRate.out),
      },
      timeline: withLatestEvidence(this.#history.timeline),
      takeovers: [...this.#history.takeovers],
      lockstep: this.lockstep.lockstep(state),
      audit: this.lockstep.audit(state),
      incidents: this.#history.incidents.map(({ id: _, ...incident }) => incident),
      process: { rssBytes: process.memoryUsage.rss(), cpuPercent: usage },
      actions: [
        ...actionsOf(state).map((action) => {
          const verdict = mayRequest(state, action.name);
          return { ...action, label: actionLabel(state, action), allowed: verdict.allowed, reason: verdict.allowed ? '' : verdict.reason };
        }),
        ...(this.points?.actions(state) ?? []),
        ...(this.replacement?.actions() ?? []),
        ...(this.settings?.actions() ?? []),
        witnessKeyAction,
      ],
      restorePoints: this.points?.views ?? [],
      lab: this.#config.labSocket !== '',
      disk: this.#disk(state),
      hardware: hardwareView(state, {
        isWatched: this.#config.hardware.watch === 'on',
        latest: this.hardware?.latest ?? null,
        ...(this.qualification && this.qualification.items.length > 0 ? { items: this.qualification.items } : {}),
        now: { wall: Date.now(), monotonic: performance.now() },
      }),
    };
  }

  #disk(state: State): DiskView {
    const m = this.#mirror;
    return {
      sizeBytes: m?.sizeBytes || this.#config.workload.disk.sizeMiB * 1048576,
      repairedBlocks: this.#repairedBlocks,
      quarantined: [...state.quarantined],
      scrub: m?.scrub ?? null,
      lateMs: m?.lateMs ?? 0,
    };
  }

  #cpuPercent(): number {
    const now = performance.now();
    if (now - this.#cpu.at < 1000) return this.#cpu.percent;
    const used = process.cpuUsage(this.#cpu.usage);
    const percent = Math.round(((used.user + used.system) / 1000 / (now - this.#cpu.at)) * 1000) / 10;
    this.#cpu = { at: now, usage: process.cpuUsage(), percent };
    return percent;
  }
}

function progressView(what: string, doneBytes: number, totalBytes: number, rateBytesPerS: number): ProgressView {
  const etaS = rateBytesPerS > 0 ? Math.max(0, (totalBytes - doneBytes) / rateBytesPerS) : null;
  return { what, doneBytes, totalBytes, rateBytesPerS, etaS };
}

/** @param sorted Ascending. 0 when it is empty. */
function percentile(sorted: number[], p: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? 0;
}

export function withLatestEvidence(timeline: readonly TimelineEntry[]): TimelineEntry[] {
  let left = EVIDENCED_ENTRIES;
  return timeline
    .toReversed()
    .map((entry) => {
      if (!entry.evidence || left-- > 0) return entry;
      const { evidence: _, ...without } = entry;
      return without;
    })
    .toReversed();
}
