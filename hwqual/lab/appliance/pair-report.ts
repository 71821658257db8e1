// What a tale of appliances measured and kept: figures in the order in which they came, and beside them screens of the serial console and
// pictures of the web console. Written anew after each figure: a tale that fails leaves what it had.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Figure {
  /** Of the tale: "power-on", "level 3". */
  part: string;
  what: string;
  value: number;
  unit: 's' | 'MiB';
}

export class PairReport {
  readonly folder: string;
  readonly figures: Figure[] = [];
  readonly notes: string[] = [];
  readonly #startedAt = new Date();
  readonly #files: { name: string; what: string }[] = [];
  readonly #say: (line: string) => void;
  readonly #name: string;
  part = '';

  /** @param name Of its files: `pair.md`, `pair.json`. */
  constructor(folder: string, say: (line: string) => void, name = 'pair') {
    this.folder = folder;
    this.#name = name;
    this.#say = say;
    mkdirSync(folder, { recursive: true });
  }

  begin(part: string): void {
    this.part = part;
    this.#say(part);
  }

  figure(what: string, value: number, unit: Figure['unit'] = 's'): void {
    const rounded = Math.round(value * 10) / 10;
    this.figures.push({ part: this.part, what, value: rounded, unit });
    this.#say(`  ${rounded.toFixed(1).padStart(7)} ${unit.padEnd(3)}  ${what}`);
    this.save();
  }

  note(text: string): void {
    this.notes.push(`${this.part}: ${text}`);
    this.#say(`  ${text}`);
    this.save();
  }

  /** A screen of 24 rows. */
  screen(name: string, what: string, rows: readonly string[]): void {
    writeFileSync(join(this.folder, `${name}.txt`), `${rows.join('\n')}\n`);
    this.file(`${name}.txt`, what);
  }

  /** A file that somebody else wrote into the folder. */
  file(name: string, what: string): void {
    this.#files.push({ name, what });
    this.save();
  }

  save(): void {
    const { figures, notes } = this;
    const files = this.#files;
    const startedAt = this.#startedAt.toISOString();
    writeFileSync(join(this.folder, `${this.#name}.json`), `${JSON.stringify({ startedAt, figures, notes, files }, null, 2)}\n`);
    writeFileSync(join(this.folder, `${this.#name}.md`), reportText(startedAt, figures, notes, files));
  }
}

/** The report as a page of text. Pure. */
export function reportText(
  startedAt: string,
  figures: readonly Figure[],
  notes: readonly string[],
  files: readonly { name: string; what: string }[],
): string {
  const cell = (text: string) => text.replaceAll('|', '\\|');
  return [
    '# Two appliances',
    '',
    `Begun ${startedAt}. Both are emulated (QEMU without KVM, OVMF, one CPU each) on one machine, and so is a guest inside them.`,
    '',
    '| part | what | |',
    '| ---- | ---- | ---: |',
    ...figures.map(({ part, what, value, unit }) => `| ${cell(part)} | ${cell(what)} | ${value.toFixed(1)} ${unit} |`),
    '',
    ...notes.map((note) => `- ${note}`),
    '',
    ...files.map(({ name, what }) => `- [${name}](${name}): ${what}`),
    '',
  ].join('\n');
}
