// The saved inventory of one server: what it was made of when it was saved, signed by it. Two of them are compared anywhere, at any time.
import type { KeyObject } from 'node:crypto';
import { InventoryError } from '../../drivers/inventory/index.ts';
import type { Facts } from '../checks/index.ts';
import { FactsError, parseFacts } from './facts-codec.ts';
import { FileError, type Json, readSmallFile, signed, verified } from './signed-file.ts';

export const INVENTORY_KIND = 'twinstep-inventory';

export interface SavedInventory {
  facts: Facts;
  /** ISO 8601, UTC. */
  savedAt: string;
  fingerprint: string;
}

/** The file's text. */
export function formatInventory(facts: Facts, savedAt: Date, key: KeyObject): string {
  const content = { kind: INVENTORY_KIND, schema: 1, savedAt: savedAt.toISOString(), facts: facts as unknown as Json };
  return `${JSON.stringify(signed(content, key), null, 2)}\n`;
}

/** `name` is for the errors. Throws SignatureError (changed after it was signed) or FileError. */
export function parseSavedInventory(text: string, name: string): SavedInventory {
  const { content, fingerprint } = verified(text, name);
  if (content['kind'] !== INVENTORY_KIND || content['schema'] !== 1)
    throw new FileError(`${name} is no inventory of this version: write it with twinstep qualify --save`);
  const { savedAt } = content;
  if (typeof savedAt !== 'string' || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(savedAt))
    throw new FileError(`${name} does not say when it was saved`);
  try {
    return { facts: parseFacts(content['facts']), savedAt, fingerprint };
  } catch (e) {
    if (e instanceof FactsError || e instanceof InventoryError) throw new FileError(`${name}: ${e.message}`);
    throw e;
  }
}

export function loadInventory(file: string): SavedInventory {
  return parseSavedInventory(readSmallFile(file), file);
}
