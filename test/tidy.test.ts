// The house's rules, as a program. Each rule is a function from files to complaints, and each is first shown a file that breaks it.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import t from 'tap';

interface SourceFile {
  /** Relative to the root, with slashes. */
  path: string;
  text: string;
}
type Rule = (files: readonly SourceFile[]) => string[];

const ROOT = join(import.meta.dirname, '..');
const NOT_OURS = new Set(['node_modules', '.git', 'dist', '.tap', '.setup', 'build', 'results']);
const TEXT = /\.(tsx?|mjs|js|c|h|sh|css|html|md|json|ya?ml|txt)$/;

// ---- reading -----------------------------------------------------------------------------------------------------------------

function readTree(folder = ''): SourceFile[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = posix.join(folder, entry.name);
    if (NOT_OURS.has(entry.name) || entry.name.startsWith('dist.')) return [];
    if (entry.isDirectory()) return readTree(path);
    return TEXT.test(entry.name) ? [{ path, text: readFileSync(join(ROOT, path), 'utf8') }] : [];
  });
}

const isCode = (file: SourceFile) => /\.tsx?$/.test(file.path);

/** The code without comments and without what is inside quotes: a word in a sentence is no call. */
function bareCode(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g, (match) =>
    match.startsWith('/') ? ' ' : `''${'\n'.repeat(match.split('\n').length - 1)}`,
  );
}

interface Import {
  from: string;
  to: string;
  typeOnly: boolean;
}

function importsOf(file: SourceFile): Import[] {
  const found: Import[] = [];
  const pattern = /\b(?:import|export)\s+(type\s)?[^'";]*?\bfrom\s+'(\.[^']+)'|\bimport\s*\(\s*'(\.[^']+)'\s*\)|\bimport\s+'(\.[^']+)'/g;
  for (const match of file.text.matchAll(pattern)) {
    const target = match[2] ?? match[3] ?? match[4] ?? '';
    found.push({ from: file.path, to: posix.join(dirname(file.path), target), typeOnly: match[1] !== undefined });
  }
  return found;
}

// ---- who may import whom -----------------------------------------------------------------------------------------------------

/** `appliance/core`, `appliance/main.ts`, `drivers/nbd`, `hwqual/lab`, `image/engine`, `test`. */
function roomOf(path: string): string {
  const [first = '', second = ''] = path.split('/');
  return first === 'test' ? 'test' : `${first}/${second}`;
}

const STREAMS = ['gate', 'hardware', 'heartbeat', 'memory', 'mirror', 'pairing', 'witness'].map((name) => `appliance/${name}`);

/** Rooms that a room may import from (a trailing slash: all rooms below); `type:` for types only. Its own is always allowed. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  'appliance/config.ts': [],
  'appliance/update': ['drivers/', 'type:appliance/core'],
  'appliance/core': [],
  'appliance/wire': ['appliance/core'],
  'appliance/runtime': [
    'appliance/core',
    'appliance/wire',
    'appliance/config.ts',
    'appliance/console',
    'appliance/notify',
    'appliance/update',
    'appliance/encryption',
    'appliance/replacement',
    'appliance/settings',
    'drivers/',
    ...STREAMS,
  ],
  // As the first start asks it, changed under a guest that runs; no runtime.
  'appliance/settings': [
    'appliance/core',
    'appliance/wire',
    'appliance/setup',
    'appliance/replacement',
    'appliance/console',
    'type:appliance/config.ts',
    'drivers/',
  ],
  // Beside the product that runs: the same frames, pairing and documents as the first start; no runtime.
  'appliance/replacement': [
    'appliance/core',
    'appliance/wire',
    'appliance/pairing',
    'appliance/setup',
    'appliance/console',
    'type:appliance/config.ts',
    'drivers/',
  ],
  'appliance/console': ['appliance/core', 'type:appliance/config.ts'],
  // The first start: the serial console's screen, the pairing, and what tells disks apart; no runtime.
  'appliance/setup': [
    'appliance/core',
    'appliance/wire',
    'appliance/pairing',
    'appliance/console',
    'appliance/mirror',
    'appliance/encryption',
    'type:appliance/config.ts',
    'drivers/',
  ],
  // Asked before the first start, on the same consoles and from the same answer file.
  'appliance/encryption': ['appliance/console', 'appliance/setup', 'drivers/'],
  // A stream that also shows how this server's state lies on its disk.
  'appliance/hardware': ['appliance/core', 'appliance/wire', 'appliance/encryption', 'type:appliance/', 'drivers/'],
  'appliance/notify': ['appliance/core', 'type:appliance/config.ts'],
  'appliance/main.ts': ['appliance/', 'drivers/', 'hwqual/burn-in', 'hwqual/qualify', 'image/installer'],
  'hwqual/lab': [
    'hwqual/',
    'drivers/',
    'appliance/core',
    'appliance/wire',
    'appliance/witness',
    'type:appliance/',
    'image/engine',
    'image/bundle',
    'image/disk',
    'image/installer',
    'image/secure-boot',
    'image/sign',
    'appliance/update',
  ],
  'hwqual/campaigns': ['hwqual/', 'drivers/', 'appliance/core', 'type:appliance/', 'image/engine'],
  'hwqual/burn-in': ['drivers/', 'appliance/heartbeat', 'type:appliance/'],
  'hwqual/checks': ['hwqual/', 'drivers/', 'appliance/core'],
  'hwqual/profiles': ['hwqual/'],
  'hwqual/qualify': ['hwqual/', 'drivers/', 'appliance/core', 'appliance/console', 'type:appliance/'],
  'image/setup': ['image/', 'hwqual/lab'],
  'image/engine': ['image/'],
  'image/bundle': ['image/'],
  'image/disk': ['image/', 'hwqual/lab', 'appliance/update'],
  'image/installer': ['image/disk', 'drivers/', 'appliance/console', 'appliance/update'],
  'image/secure-boot': ['image/disk'],
  'image/sign': ['image/', 'appliance/update'],
  test: ['appliance/', 'drivers/', 'hwqual/', 'image/'],
};
/** Data paths beside the core: they take its words, the formats between CoServers, the devices, and each other's api.ts. */
const STREAM_MAY_IMPORT = [
  'appliance/core',
  'appliance/wire',
  'drivers/',
  'type:appliance/config.ts',
  ...STREAMS.map((room) => `type:${room}`),
];

function allowedFor(room: string): readonly string[] {
  if (room.startsWith('drivers/')) return ['type:drivers/'];
  return MAY_IMPORT[room] ?? (STREAMS.includes(room) ? STREAM_MAY_IMPORT : []);
}

const importRules: Rule = (files) =>
  files
    .filter(isCode)
    .flatMap(importsOf)
    .filter(({ from, to, typeOnly }) => {
      const [here, there] = [roomOf(from), roomOf(to)];
      if (here === there) return false;
      return !allowedFor(here).some((entry) => {
        if (entry.startsWith('type:') && !typeOnly) return false;
        const allowed = entry.replace('type:', '');
        return allowed.endsWith('/') ? there.startsWith(allowed) : there === allowed;
      });
    })
    .map(({ from, to, typeOnly }) => `${from} imports ${typeOnly ? 'types of ' : ''}${to}: ${roomOf(from)} may not`);

const fakesStayOutside: Rule = (files) =>
  files
    .filter(isCode)
    .flatMap(importsOf)
    .filter(({ from, to }) => posix.basename(to) === 'fake.ts' && !from.startsWith('test/') && !from.startsWith('hwqual/lab/'))
    .map(({ from, to }) => `${from} imports ${to}: a fake is for test/ and hwqual/lab/ only`);

const noCycles: Rule = (files) => {
  const next = new Map(files.filter(isCode).map((file) => [file.path, importsOf(file).filter((i) => !i.typeOnly)] as const));
  const done = new Set<string>();
  const complaints: string[] = [];
  const visit = (path: string, trail: string[]): void => {
    const at = trail.indexOf(path);
    if (at >= 0) complaints.push(`cycle: ${[...trail.slice(at), path].join(' -> ')}`);
    if (at >= 0 || done.has(path)) return;
    for (const { to } of next.get(path) ?? []) visit(to, [...trail, path]);
    done.add(path);
  };
  for (const path of next.keys()) visit(path, []);
  return complaints;
};

// ---- the code itself ---------------------------------------------------------------------------------------------------------

/** A rule that forbids a pattern in the bare code of some files. */
function forbids(pattern: RegExp, why: string, where: (path: string) => boolean = () => true): Rule {
  return (files) =>
    files
      .filter((file) => isCode(file) && where(file.path))
      .flatMap((file) => {
        const lines = bareCode(file.text).split('\n');
        return lines.flatMap((line, index) => (pattern.test(line) ? [`${file.path}:${index + 1} ${why}: ${line.trim()}`] : []));
      });
}

const inCore = (path: string) => path.startsWith('appliance/core/');
const inTest = (path: string) => path.startsWith('test/');

const pureCore = forbids(
  /\b(Date|process|performance|console|setTimeout|setInterval|setImmediate|queueMicrotask|Math\.random|crypto|fetch|await|async|Promise)\b(?!\s*[:?])/,
  'the core is pure: no clock, no chance, no waiting, no world',
  inCore,
);
/** Where it is decided who runs and what leaves. Elsewhere the wall clock dates what people read. */
const DECIDES = /^(drivers|appliance\/(gate|heartbeat|memory|mirror|witness|wire))\//;
const DATES = ['appliance/mirror/scrub.ts', 'drivers/ipmi/fru.ts'];
const noWallClock = forbids(
  /\bDate\b/,
  'the wall clock never decides: take the monotonic one',
  // The scrub only dates itself: which week it runs in decides nothing else. A board carries the day it was made on.
  (path) => DECIDES.test(path) && !path.endsWith('/power-trap.ts') && !DATES.includes(path),
);
const noOuterImportInCore: Rule = (files) =>
  files
    .filter((file) => isCode(file) && inCore(file.path))
    .filter((file) => /\b(from|import)\s*\(?\s*'[^.]/.test(file.text))
    .map((file) => `${file.path} imports a package: the core imports only itself`);
const noDefaultExport = forbids(/^\s*export\s+default\b|\bas\s+default\b/, 'exports a default: name it');
const erasableOnly = forbids(/^\s*(export\s+)?(declare\s+)?(const\s+)?(enum|namespace)\s+\w+/, 'not erasable TypeScript');
const noLeftOvers = forbids(/\.(only|skip|todo)\s*\(|\b(only|todo):\s*true\b|^\s*debugger\b/, 'left over from work', inTest);

const noUnfinished: Rule = (files) => {
  const words = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X', 'HA' + 'CK'].join('|')})\\b`);
  return lines(files, words, 'unfinished: finish it, or write it down where it will be read');
};

// ---- words, names, places ----------------------------------------------------------------------------------------------------

function lines(files: readonly SourceFile[], pattern: RegExp, why: string): string[] {
  return files.flatMap((file) =>
    file.text
      .split('\n')
      .flatMap((line, index) => (pattern.test(line) ? [`${file.path}:${index + 1} ${why}: ${line.trim().slice(0, 120)}`] : [])),
  );
}

// Spelled in pieces: this file is checked too.
const FORBIDDEN = ['epo' + 'ch', 'mas' + 'ter', 'sla' + 've', 'clus' + 'ter'];
/** Where a word is somebody else's: a name in their interface or their documentation. */
const OTHERS_WORDS = /\bjbd2?\b|\bext4\b|\bpty\b|\blink set\b|\bin sysfs\b|https?:\/\//i;

const houseWords: Rule = (files) =>
  lines(
    files.filter((file) => file.path !== 'package-lock.json' && !file.path.startsWith('appliance/decisions/')),
    new RegExp(`\\b(${FORBIDDEN.join('|')})s?\\b`, 'i'),
    'not our word (see the glossary)',
  ).filter((complaint) => !OTHERS_WORDS.test(complaint.slice(complaint.indexOf(' '))));

/** Nothing here tells how or where it was written, and no registry is named: both are the reader's own business. */
const noWorkplace: Rule = (files) =>
  lines(
    files,
    new RegExp(
      [`/${'work'}/(main|shared)`, `\\.${'libr'}ary/`, `registry\\.${'npm'}js`, `twinstep-${'pro'}to`, `\\bissue #?\\d`].join('|'),
      'i',
    ),
    'speaks of the place it was written in',
  );

const kebabCase: Rule = (files) =>
  files
    .filter((file) => isCode(file) || /\.(c|h|sh|css)$/.test(file.path))
    .filter((file) => !/^[a-z0-9]+(-[a-z0-9]+)*(\.test|\.d)?\.\w+$/.test(posix.basename(file.path)))
    .map((file) => `${file.path}: file names are kebab-case`);

const TOP_LEVEL = ['package.json', 'package-lock.json', 'tsconfig.json', 'biome.json', 'appliance', 'drivers', 'image', 'hwqual', 'test'];
const DOCUMENTS = ['README.md', 'LICENSE', 'CHANGELOG.md', 'CONTRIBUTING.md'];

function topLevelComplaints(names: readonly string[]): string[] {
  return names
    .filter((name) => !name.startsWith('.') && !NOT_OURS.has(name) && !name.startsWith('dist.'))
    .filter((name) => !TOP_LEVEL.includes(name) && !DOCUMENTS.includes(name))
    .map((name) => `${name}: the top level is fixed (documentation lives in the folder it documents)`);
}

const linksInDocumentsLead: Rule = (files) => {
  const known = new Set(files.flatMap((file) => ancestors(file.path)));
  return files
    .filter((file) => file.path.endsWith('.md'))
    .flatMap((file) => [...file.text.matchAll(/\]\(([^)#\s:]+)(#[^)]*)?\)/g)].map((match) => ({ file, target: match[1] ?? '' })))
    .filter(({ file, target }) => !known.has(posix.join(dirname(file.path), target).replace(/\/$/, '')) && target !== 'LICENSE')
    .map(({ file, target }) => `${file.path} links to ${target}, which is not there`);
};

function ancestors(path: string): string[] {
  const parts = path.split('/');
  return parts.map((_, index) => parts.slice(0, index + 1).join('/'));
}

// ---- the tests ---------------------------------------------------------------------------------------------------------------

interface Case {
  name: string;
  rule: Rule;
  breaks: SourceFile[];
  keeps: SourceFile[];
}

const file = (path: string, text = ''): SourceFile => ({ path, text });
const quoted = (path: string) => `'${path}'`;

const CASES: Case[] = [
  {
    name: 'who may import whom',
    rule: importRules,
    breaks: [
      file('appliance/core/a.ts', `import { x } from ${quoted('../wire/x.ts')};`),
      file('drivers/nbd/a.ts', `export * from ${quoted('../../appliance/core/x.ts')};`),
      file('appliance/memory/a.ts', `import { x } from ${quoted('../gate/gate.ts')};`),
      file('appliance/console/web/a.tsx', `const x = await import(${quoted('../../runtime/pump.ts')});`),
    ],
    keeps: [
      file(
        'appliance/memory/a.ts',
        `import type { x } from ${quoted('../gate/api.ts')};\nimport { y } from ${quoted('../../drivers/link/index.ts')};`,
      ),
      file('appliance/main.ts', `import {\n  x,\n} from ${quoted('./runtime/pump.ts')};`),
    ],
  },
  {
    name: 'fakes stay outside the product',
    rule: fakesStayOutside,
    breaks: [file('appliance/mirror/a.ts', `import { x } from ${quoted('../../drivers/block/fake.ts')};`)],
    keeps: [file('test/unit/a.ts', `import { x } from ${quoted('../../drivers/block/fake.ts')};`)],
  },
  {
    name: 'no cycles',
    rule: noCycles,
    breaks: [
      file('drivers/a/x.ts', `import { y } from ${quoted('./y.ts')};`),
      file('drivers/a/y.ts', `export { x } from ${quoted('./x.ts')};`),
    ],
    keeps: [
      file('drivers/a/x.ts', `import { y } from ${quoted('./y.ts')};`),
      file('drivers/a/y.ts', `import type { x } from ${quoted('./x.ts')};`),
    ],
  },
  {
    name: 'the core is pure',
    rule: pureCore,
    breaks: [
      file('appliance/core/a.ts', 'const at = Date.now();'),
      file('appliance/core/b.ts', 'if (Math.random() < 0.5) return;'),
      file('appliance/core/c.ts', 'export async function f() {}'),
    ],
    keeps: [
      file('appliance/core/a.ts', "// no Date here\nconst x = 'await the process';"),
      file('appliance/runtime/a.ts', 'const at = Date.now();'),
    ],
  },
  {
    name: 'the wall clock decides nothing',
    rule: noWallClock,
    breaks: [file('appliance/gate/a.ts', 'const late = Date.now() > limit;'), file('drivers/a/x.ts', 'const now = new Date();')],
    keeps: [file('appliance/runtime/a.ts', 'const at = Date.now();'), file('appliance/gate/a.ts', 'const at = performance.now();')],
  },
  {
    name: 'the core imports nothing outside itself',
    rule: noOuterImportInCore,
    breaks: [file('appliance/core/a.ts', `import { readFileSync } from ${quoted('node:fs')};`)],
    keeps: [file('appliance/core/a.ts', `import { x } from ${quoted('./x.ts')};`)],
  },
  {
    name: 'no default exports',
    rule: noDefaultExport,
    breaks: [file('drivers/a/x.ts', 'export default class A {}'), file('drivers/a/y.ts', 'export { y as default };')],
    keeps: [file('drivers/a/x.ts', "export const x = 'export default';")],
  },
  {
    name: 'erasable TypeScript',
    rule: erasableOnly,
    breaks: [file('drivers/a/x.ts', 'export enum A { B }'), file('drivers/a/y.ts', 'namespace C {}')],
    keeps: [file('drivers/a/x.ts', 'const enumerate = 1;')],
  },
  {
    name: 'no left-overs in tests',
    rule: noLeftOvers,
    breaks: [file('test/unit/a.test.ts', "t.only('x', () => {});"), file('test/unit/b.test.ts', "t.test('x', { todo: true });")],
    keeps: [file('test/unit/a.test.ts', "// t.only( in a comment\nt.test('x', { skip: reason });")],
  },
  {
    name: 'nothing unfinished',
    rule: noUnfinished,
    breaks: [file('drivers/a/x.ts', `// ${'TO'}${'DO'}: later`)],
    keeps: [file('drivers/a/x.ts', '// to do so is wrong')],
  },
  {
    name: 'our words',
    rule: houseWords,
    breaks: [file('drivers/a/x.ts', `const ${FORBIDDEN[1]} = 1;`), file('README.md', `two ${FORBIDDEN[3]}s`)],
    keeps: [file('README.md', 'a pair of CoServers, remastered')],
  },
  {
    name: 'nothing of the workplace',
    rule: noWorkplace,
    breaks: [file('drivers/a/x.ts', `// see /${'work'}/shared/design`), file('README.md', `https://registry.${'npm'}js.org`)],
    keeps: [file('README.md', 'the workload works')],
  },
  {
    name: 'file names',
    rule: kebabCase,
    breaks: [file('drivers/a/qmpClient.ts'), file('drivers/a/Qmp.ts')],
    keeps: [file('test/a/qmp-client.test.ts')],
  },
  {
    name: 'links in documents lead somewhere',
    rule: linksInDocumentsLead,
    breaks: [file('README.md', '[x](appliance/nowhere.md)')],
    keeps: [file('README.md', '[x](drivers/nbd/README.md) [y](https://example.org)'), file('drivers/nbd/README.md')],
  },
];

t.test('each rule catches what breaks it, and only that', async (t) => {
  for (const { name, rule, breaks, keeps } of CASES) {
    // Each file alone, except where only together they break the rule.
    const together = rule(breaks);
    t.ok(together.length > 0, `${name}: caught`);
    if (rule !== noCycles) for (const one of breaks) t.ok(rule([one]).length > 0, `${name}: ${one.path} caught`);
    t.strictSame(rule(keeps), [], `${name}: the rest passes`);
  }
  t.strictSame(topLevelComplaints(['README.md', 'src', 'appliance', '.ci']).length, 1, 'top level: caught');
});

t.test('the tree keeps the rules', async (t) => {
  const files = readTree();
  t.ok(files.length > 50, 'the tree was found');
  for (const { name, rule } of CASES) t.strictSame(rule(files), [], name);
  t.strictSame(topLevelComplaints(readdirSync(ROOT)), [], 'the top level is fixed');
});
