// Keeps what a campaign leaves: the report as JSON and as a page, and the evidence of every round that failed.
import { execFile } from 'node:child_process';
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, parse, relative, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { LabControl } from './lab-control.ts';
import type { Report, Round } from './report.ts';
import { reportPage } from './report-page.ts';

const run = promisify(execFile);

/** Campaigns keep their results here, outside version control. */
export const RESULTS_FOLDER = resolve(import.meta.dirname, '../../test/results');

/** Evidence of this many rounds: a pair that fails each time fails in the same way. Logs of one round are some megabytes. */
const MAX_EVIDENCE_ROUNDS = 20;
/** On the disk. Larger files (a disk copy) are not evidence but the thing itself. */
const MAX_EVIDENCE_FILE_BYTES = 256 * 1024 * 1024;
const SECRETS = /\.(pem|key)$/;

/** Writes FILE.json and, beside it, FILE.html. Answers both paths. */
export function saveReport(report: Report, file: string): Promise<{ json: string; page: string }> {
  return saveBoth(report, reportPage(report), file);
}

/** The same for a report of any kind, with its page. */
export async function saveBoth(report: object, html: string, file: string): Promise<{ json: string; page: string }> {
  const { dir, name, ext } = parse(resolve(file));
  const json = join(dir, ext === '.json' ? `${name}.json` : `${name}${ext}.json`);
  const page = json.replace(/\.json$/, '.html');
  await mkdir(dirname(json), { recursive: true });
  await writeFile(json, `${JSON.stringify(report, null, 1)}\n`);
  await writeFile(page, html);
  return { json, page };
}

/** A folder name that sorts by time: "2026-03-01T12-00-00-kills". */
export function resultsName(what: string, at: number): string {
  return `${new Date(at).toISOString().slice(0, 19).replaceAll(':', '-')}-${what}`;
}

/**
 * Copies a file or a folder's files. Holes stay holes: a journal of 1 GiB has some megabytes, and the clients of a running
 * campaign must not wait for the rest. Keys stay where they are.
 */
async function copyEvidence(from: string, to: string): Promise<void> {
  const isFolder = (await stat(from)).isDirectory();
  const source = isFolder ? from : dirname(from);
  const names = isFolder ? await filesBelow(from) : [basename(from)];
  const wanted: string[] = [];
  for (const name of names) {
    const { blocks } = await stat(join(source, name));
    if (!SECRETS.test(name) && blocks * 512 <= MAX_EVIDENCE_FILE_BYTES) wanted.push(name);
  }
  await mkdir(to, { recursive: true });
  if (wanted.length > 0)
    await run('cp', ['--sparse=always', '--parents', '--target-directory', resolve(to), '--', ...wanted], { cwd: source });
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => relative(folder, join(entry.parentPath, entry.name)));
}

/** Copies the lab's logs, the pair's pictures and the round itself of every failed round (`keep` is for CampaignOptions.onRound). */
export class EvidenceKeeper {
  readonly folder: string;
  readonly #lab: LabControl;
  #kept = 0;

  constructor(lab: LabControl, folder: string) {
    this.#lab = lab;
    this.folder = folder;
  }

  /** `copies`: both disk copies too. */
  async keep(round: Pick<Round, 'round' | 'problems'>, also: { copies: boolean } = { copies: false }): Promise<void> {
    if (round.problems.length === 0 || this.#kept >= MAX_EVIDENCE_ROUNDS) return;
    this.#kept++;
    await this.#copy(`round-${round.round}`, 'round.json', round);
    for (const server of also.copies ? (['A', 'B'] as const) : []) {
      const path = this.#lab.copyPath?.(server);
      if (path !== undefined) await run('cp', ['--sparse=always', '--', path, join(this.folder, `round-${round.round}`, `copy-${server}`)]);
    }
  }

  /** After the last step of a campaign that failed, while the lab is still there. */
  async keepEnd(report: Pick<Report, 'ok' | 'problems'>): Promise<void> {
    if (!report.ok) await this.#copy('end', 'problems.json', report.problems);
  }

  async #copy(name: string, file: string, about: unknown): Promise<void> {
    const folder = join(this.folder, name);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, file), JSON.stringify(about, null, 1));
    // A lab that was ended meanwhile has no pictures any more; its logs are still there.
    await writeFile(join(folder, 'status.json'), JSON.stringify(await this.#lab.status().catch(() => null), null, 1));
    for (const [i, path] of this.#lab.evidencePaths().entries()) {
      // Same names on both CoServers: the parent folder and a number keep them apart. A log may vanish while it is copied.
      const to = join(folder, `${i}-${basename(dirname(path))}-${basename(path)}`);
      await copyEvidence(path, to).catch((error: unknown) => {
        this.#lab.log(`evidence ${path} not kept: ${error instanceof Error ? error.message : String(error)}`);
      });
    }
    this.#lab.log(`evidence kept in ${folder}`);
  }
}
