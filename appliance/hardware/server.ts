// What this server is, for the consoles: maker, model, BIOS, processor, memory. Read once; nothing is judged by it.
import { type Inventory, type MachineSummary, readInventory, readSummary } from '../../drivers/inventory/index.ts';
import type { ServerView } from '../core/snapshot.ts';
import { encryptionText, type StateEncryption, stateEncryption } from '../encryption/facts.ts';

/** Takes up to a second of the thread that calls it, which may not be the main one. */
export async function readServer(): Promise<ServerView> {
  return serverView(await readInventory(), await readSummary(), stateEncryption());
}

/** A name that is longer than this is no name. */
const NAME_LIMIT = 80;

/** `state`: null where nobody has said how it lies on its disk. */
export function serverView(
  { system, board, bios, cpu, memory }: Inventory,
  summary: MachineSummary,
  state: StateEncryption | null = null,
): ServerView {
  return {
    vendor: short(system.vendor ?? board.vendor),
    model: short(system.product ?? board.product),
    serial: short(system.serial ?? board.serial),
    bios: short(words([[bios.vendor, bios.version].filter(isKnown).join(' '), bios.date])),
    cpu: short(words([cpu.model, coresText(cpu)])),
    memoryBytes: memory.installedBytes ?? memory.totalBytes ?? summary.memoryBytes,
    system: short(summary.system),
    ...(state === null ? {} : { state: encryptionText(state) }),
  };
}

const isKnown = (text: string | null): text is string => text !== null && text !== '';
const words = (parts: readonly (string | null)[]): string | null => parts.filter(isKnown).join(', ') || null;
const short = (text: string | null): string | null => text?.slice(0, NAME_LIMIT) ?? null;

function coresText({ cores, sockets }: Inventory['cpu']): string | null {
  if (cores === null) return null;
  const text = `${cores} ${cores === 1 ? 'core' : 'cores'}`;
  return sockets !== null && sockets > 1 ? `${text} in ${sockets} sockets` : text;
}
