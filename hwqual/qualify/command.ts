// `twinstep qualify`: are two servers alike enough for lockstep? Live from the process on this CoServer, from this server itself, or from saved
// inventories; the answer on the terminal, as a signed report, and as a page for paper.

import { createPublicKey } from 'node:crypto';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import type { CoServerConfig } from '../../appliance/config.ts';
import { askSocket, type CommandIo } from '../../appliance/console/cli/local-socket.ts';
import { parseArguments } from '../../appliance/console/cli/parse-arguments.ts';
import { InventoryError } from '../../drivers/inventory/index.ts';
import { type BurnInDoors, type BurnInFlags, burnInOptions, runBurnInHere, whyNotNow } from '../burn-in/index.ts';
import type { Facts, Policy } from '../checks/index.ts';
import { addBurnInOptions, type BurnInOptionsGiven, burnInFlagsOf } from './burn-in-options.ts';
import { type BurnInSection, parseBurnIn } from './burn-in-section.ts';
import { FactsError, parseFacts } from './facts-codec.ts';
import { formatInventory, loadInventory } from './inventory-file.ts';
import { type FactSources, REAL_SOURCES, readFacts } from './read-facts.ts';
import { reportOf, type Server, signReport } from './report.ts';
import { reportPage } from './report-page.ts';
import { reportText } from './report-text.ts';
import { FileError, fingerprintOf, readSmallFile, SignatureError, signingKey } from './signed-file.ts';

/** They qualify; they do not, or it is not known, or a burn-in failed or was ended early; wrong arguments; something could not be read or written; a file was changed after it was signed. */
export const EXIT = { passed: 0, notPassed: 1, usage: 2, cannot: 3, signature: 4 } as const;
const ANSWER_TIMEOUT_MS = 5_000;
const ANSWER_MAX_CHARS = 1 << 20;

export interface QualifyParts {
  version: string;
  /** Throws for a configuration that is wrong. */
  load: (file: string) => CoServerConfig;
  /** For --burn-in; `stopSignal`: from then on Ctrl-C ends the burn-in, and not this process. */
  burnIn: Omit<BurnInDoors, 'loadConfig'> & { stopSignal: () => AbortSignal };
  now?: () => Date;
  sources?: FactSources;
}

interface QualifyOptions {
  config?: string;
  save?: string;
  against?: string;
  compare?: [string, string];
  policy?: Policy;
  json?: string;
  html?: string;
  burnInResult?: string[];
  burnIn: BurnInFlags | null;
  all?: boolean;
}

/** `argv`: what follows `qualify`. Answers the exit code. */
export async function runQualify(argv: readonly string[], io: CommandIo, parts: QualifyParts): Promise<number> {
  const command = new Command('twinstep qualify')
    .description('Are two servers alike enough for lockstep?')
    .argument('[second]', 'with --compare: the second file')
    .option('--config <file>', "this CoServer's configuration: asks the running process, or reads this server itself")
    .option('--save <file>', 'write the signed inventory of this server')
    .option('--against <file>', 'compare this server, as it is now, with a saved inventory')
    .option('--compare <first>', 'compare two saved inventories: --compare A.json B.json')
    .addOption(new Option('--policy <policy>', 'left out: that of the configuration, or identical').choices(['identical', 'sameFamily']))
    .option('--json <file>', 'write the signed report')
    .option('--html <file>', 'write the report as a page')
    .option('--burn-in-result <files...>', 'results of twinstep burn-in --json: put into the report')
    .option('--all', 'show also what is identical')
    .allowExcessArguments(false);
  addBurnInOptions(command);
  const code = parseArguments(command, argv, io);
  if (code !== null) return code;
  const given = command.opts<Omit<QualifyOptions, 'compare' | 'burnIn'> & { compare?: string } & BurnInOptionsGiven>();
  const wrong = (text: string): number => {
    io.stderr.write(`twinstep qualify: ${text}\n`);
    return EXIT.usage;
  };
  const [second] = command.args;
  if ((given.compare === undefined) !== (second === undefined)) return wrong('--compare needs two files: --compare A.json B.json');
  if (given.compare !== undefined && (given.against !== undefined || given.save !== undefined))
    return wrong('--compare is about two files, --against and --save about this server: use one of them');
  if (given.compare === undefined && given.config === undefined) return wrong('--config FILE is needed (or --compare A.json B.json)');
  const burnIn = burnInFlagsOf(given);
  if (typeof burnIn === 'string') return wrong(burnIn);
  if (burnIn !== null && given.compare !== undefined)
    return wrong('--burn-in is of this server, --compare of two saved ones: use --config FILE --against B.json');
  const { compare, ...rest } = given;
  const ofBoth = compare !== undefined && second !== undefined ? { compare: [compare, second] satisfies [string, string] } : {};
  const options: QualifyOptions = { ...rest, burnIn, ...ofBoth };
  try {
    return await qualify(options, io, parts);
  } catch (e) {
    io.stderr.write(`twinstep qualify: ${(e as Error).message}\n`);
    if (e instanceof SignatureError) return EXIT.signature;
    return EXIT.cannot;
  }
}

async function qualify(options: QualifyOptions, io: CommandIo, parts: QualifyParts): Promise<number> {
  const now = parts.now ?? (() => new Date());
  const config = options.config === undefined ? null : parts.load(options.config);
  const policy = options.policy ?? (config && config.qualification.policy !== 'none' ? config.qualification.policy : 'identical');

  if (options.save !== undefined) {
    if (!config) throw new FileError('--save needs --config');
    const facts = await ownFacts(config, parts);
    const key = signingKey(config.stateDir);
    write(options.save, formatInventory(facts, now(), key));
    io.stdout.write(`${options.save}: the inventory of CoServer ${facts.coServer}, signed by ${fingerprintOf(createPublicKey(key))}\n`);
    if (options.against === undefined && options.burnIn === null) return EXIT.passed;
  }

  // Files first: what is wrong in one is told before a night of burning in.
  const burnIn = (options.burnInResult ?? []).map((file) => parseBurnIn(readSmallFile(file), file));
  if (options.burnIn !== null && config) burnIn.push(await burnInHere(options.burnIn, config, parts, io));
  const servers = await chooseServers(options, config, parts, io);
  const report = reportOf({ ...servers, policy, madeAt: now(), version: parts.version, burnIn });
  if (options.json !== undefined || options.html !== undefined) {
    if (!config) throw new FileError('a report is signed by a server: name its configuration with --config');
    const signedReport = signReport(report, signingKey(config.stateDir));
    if (options.json !== undefined) write(options.json, `${JSON.stringify(signedReport, null, 2)}\n`);
    if (options.html !== undefined) write(options.html, reportPage(signedReport));
    io.stdout.write(`The report is signed by ${signedReport.signature.fingerprint}\n`);
  }
  io.stdout.write(reportText(report, options.all === true));
  const isWell = report.verdict === 'passed' && burnIn.every((b) => b.verdict === 'passed');
  return isWell ? EXIT.passed : EXIT.notPassed;
}

/** Ended early it is still a result, which says so. Throws when a CoServer runs here. */
async function burnInHere(flags: BurnInFlags, config: CoServerConfig, { burnIn }: QualifyParts, io: CommandIo): Promise<BurnInSection> {
  const whyNot = await whyNotNow(config);
  if (whyNot !== null) throw new FileError(whyNot);
  const result = await runBurnInHere(config, burnInOptions(config, burnIn, flags), { ...io, signal: burnIn.stopSignal() });
  return parseBurnIn(JSON.stringify(result), 'this burn-in');
}

async function chooseServers(
  options: QualifyOptions,
  config: CoServerConfig | null,
  parts: QualifyParts,
  io: CommandIo,
): Promise<{ a: Server; b: Server }> {
  if (options.compare) {
    const [a, b] = options.compare.map(savedServer);
    if (a && b) return inOrder(a, b);
  }
  if (!config) throw new FileError('--config is needed');
  if (options.against !== undefined) {
    const saved = savedServer(options.against);
    return inOrder({ facts: await ownFacts(config, parts), source: { kind: 'live' } }, saved);
  }
  const live = await liveServers(config).catch((e: Error) => {
    io.stderr.write(`${e.message}\n`);
    return null;
  });
  if (live) return inOrder(...live);
  io.stdout.write('Only this server is known: it is compared with its own like. For two, --save on one and --against on the other.\n');
  const facts = await ownFacts(config, parts);
  const server: Server = { facts, source: { kind: 'live' } };
  return { a: server, b: server };
}

function inOrder(x: Server, y: Server): { a: Server; b: Server } {
  return x.facts.coServer <= y.facts.coServer ? { a: x, b: y } : { a: y, b: x };
}

function savedServer(file: string): Server {
  const { facts, savedAt, fingerprint } = loadInventory(file);
  return { facts, source: { kind: 'saved', file, savedAt, fingerprint } };
}

function ownFacts(config: CoServerConfig, { version, sources = REAL_SOURCES }: QualifyParts): Promise<Facts> {
  return readFacts(config, version, sources);
}

/** Both, as the process here last compared them; null: it has not heard the partner. Throws when it does not answer. */
async function liveServers(config: CoServerConfig): Promise<[Server, Server] | null> {
  const socketPath = config.console.socket;
  let text = '';
  const status = await askSocket({ socketPath, path: '/api/qualification', silenceMs: ANSWER_TIMEOUT_MS }, (chunk) => {
    text += chunk;
    if (text.length > ANSWER_MAX_CHARS) throw new Error(`${socketPath} sent more than two inventories: is it twinstep's?`);
  });
  if (status === 404) throw new Error('The running process compares nothing: its qualification.policy is none, or it has not started yet.');
  if (status !== 200) throw new Error(`The process at ${socketPath} answered with HTTP status ${status}.`);
  try {
    const { own, partner } = JSON.parse(text) as { own: unknown; partner: unknown };
    if (own === null || partner === null) return null;
    const source = { kind: 'live' } as const;
    return [
      { facts: parseFacts(own), source },
      { facts: parseFacts(partner), source },
    ];
  } catch (e) {
    if (e instanceof FactsError || e instanceof InventoryError || e instanceof SyntaxError)
      throw new Error(`${socketPath} answers, but not with what servers are made of: is it twinstep's, of the same version? ${e.message}`);
    throw e;
  }
}

/** Whole, or not at all. */
function write(file: string, text: string): void {
  const fresh = `${file}.new-${process.pid}`;
  try {
    writeFileSync(fresh, text, { mode: 0o640 });
    renameSync(fresh, file);
  } catch (e) {
    rmSync(fresh, { force: true });
    throw new FileError(`cannot write ${file}: ${(e as Error).message}`);
  }
}
