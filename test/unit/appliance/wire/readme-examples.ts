// The examples of a README, read out of it: what a test compares with is what the reader sees.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../../../..');

/** The text of the block that opens with ```LANGUAGE NAME (```hex heartbeat). Throws when the README has no such block, or several. */
export function exampleText(readme: string, language: 'hex' | 'json', name: string): string {
  const text = readFileSync(join(ROOT, readme), 'utf8');
  const found = [...text.matchAll(/^```(\w+) ([\w-]+)\n([\s\S]*?)^```$/gm)].filter((m) => m[1] === language && m[2] === name);
  const only = found[0]?.[3];
  if (found.length !== 1 || only === undefined)
    throw new Error(`${readme} has ${found.length} examples of ${language} '${name}' instead of one`);
  return only;
}

export function exampleBytes(readme: string, name: string): Buffer {
  const hex = exampleText(readme, 'hex', name).replace(/\s+/g, '');
  if (!/^([0-9a-f]{2})+$/.test(hex)) throw new Error(`${readme}: example '${name}' is not hex`);
  return Buffer.from(hex, 'hex');
}

export function exampleJson(readme: string, name: string): unknown {
  return JSON.parse(exampleText(readme, 'json', name));
}
