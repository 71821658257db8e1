// What of a change is on disk, so that a loss of power at any moment leaves the configuration before it or after it.
//
//   FILE.settings ...     the new files, whole and flushed
//   settings.json         from here on the change counts: at the next start what is not in its place yet is put there
//   FILE ...              in their places; settings.json then says so
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { moveInto, putWholeSync, writeAsideSync } from '../../drivers/files/index.ts';
import type { WitnessPlace } from '../wire/partner-settings.ts';
import type { NewFile } from './edits.ts';
import type { ManagementAddress } from './nics.ts';

const FILE = 'settings.json';
const FILE_MAX_CHARS = 64 * 1024;

/** A new management address that nobody has found this server at yet. */
export interface Trial {
  from: ManagementAddress;
  to: ManagementAddress;
  /** A process has begun with it: the next one goes back. */
  isBegun: boolean;
}

export interface SettingsRecord {
  /** Still to be put in their places. */
  files: readonly string[];
  trial: Trial | null;
  /** With the length of its network: to be taken off the management port; ''. */
  former: string;
  /** Happened before there was a history to write it to; ''. */
  news: string;
  /** The other CoServer is still to be told of the address. */
  isPeerToTell: boolean;
  /** The other CoServer was asked to take it, and has not said whether it has. */
  witnessWish: WitnessPlace | null;
}

const NOTHING: SettingsRecord = { files: [], trial: null, former: '', news: '', isPeerToTell: false, witnessWish: null };

const stagedOf = (path: string): string => `${path}.settings`;

/** A record that cannot be read changes nothing: the configuration is whole whatever it says. */
export function readSettingsRecord(stateDir: string): SettingsRecord {
  const path = join(stateDir, FILE);
  if (!existsSync(path)) return NOTHING;
  try {
    const text = readFileSync(path, 'utf8');
    if (text.length > FILE_MAX_CHARS) return NOTHING;
    const { files, trial, former, news, isPeerToTell, witnessWish } = JSON.parse(text) as Record<string, unknown>;
    if (!Array.isArray(files) || !files.every((f) => typeof f === 'string') || typeof former !== 'string') return NOTHING;
    return {
      files,
      trial: isTrial(trial) ? trial : null,
      former,
      news: typeof news === 'string' ? news : '',
      isPeerToTell: isPeerToTell === true,
      witnessWish: isPlace(witnessWish) ? witnessWish : null,
    };
  } catch {
    return NOTHING;
  }
}

function isTrial(value: unknown): value is Trial {
  if (typeof value !== 'object' || value === null) return false;
  const { from, to, isBegun } = value as Record<string, unknown>;
  return isAddress(from) && isAddress(to) && typeof isBegun === 'boolean';
}

function isPlace(value: unknown): value is WitnessPlace {
  if (typeof value !== 'object' || value === null) return false;
  const { address, port } = value as Record<string, unknown>;
  return typeof address === 'string' && typeof port === 'number';
}

function isAddress(value: unknown): value is ManagementAddress {
  if (typeof value !== 'object' || value === null) return false;
  const { address, gateway } = value as Record<string, unknown>;
  return typeof address === 'string' && typeof gateway === 'string';
}

export function noteSettings(stateDir: string, changed: Partial<SettingsRecord>): void {
  putWholeSync(join(stateDir, FILE), `${JSON.stringify({ schema: 1, ...readSettingsRecord(stateDir), ...changed }, null, 1)}\n`);
}

/** From its return on the change counts, whatever happens. Throws the file system's error: then nothing has changed. */
export function commitSettings(stateDir: string, files: readonly NewFile[], changed: Partial<SettingsRecord> = {}): void {
  try {
    for (const { path, text } of files) writeAsideSync(stagedOf(path), text);
    noteSettings(stateDir, { ...changed, files: files.map((f) => f.path) });
  } catch (error) {
    for (const { path } of files) rmSync(stagedOf(path), { force: true });
    throw error;
  }
  finishSettings(stateDir);
}

/** At every start, before the configuration is believed. True: files were put in their places, so it is to be read anew. */
export function finishSettings(stateDir: string): boolean {
  const { files } = readSettingsRecord(stateDir);
  if (files.length === 0) return false;
  for (const path of files) if (existsSync(stagedOf(path))) moveInto(stagedOf(path), path);
  noteSettings(stateDir, { files: [] });
  return true;
}
