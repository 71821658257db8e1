// An esbuild plugin: every native addon (.node file) that the code reaches is copied to `native/<name>-<hash>.node` beside the bundle,
// and loaded from there. Three ways lead to one: a literal `require('./x.node')`, `node-gyp-build` (picks a prebuilt file at run time,
// which we do at build time), and our own code, which names the file relative to itself: `createRequire(import.meta.url)('./x.node')`.
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative, resolve } from 'node:path';
import type { Plugin } from 'esbuild';

const EXTERNAL = 'native-addon';
const GYP = 'node-gyp-build-choice';

/** `instead`: an addon that is also in the folder `from`, at the same place as in `of`, is taken from there. */
export function nativeAddons(outDirectory: string, instead?: { of: string; from: string }): Plugin {
  /** Copies one addon; answers how the bundle names it. */
  const copy = (found: string): string => {
    const other = instead && join(instead.from, placeOf(found, instead.of));
    const file = other && existsSync(other) ? other : found;
    const hash = createHash('sha256').update(readFileSync(file)).digest('hex').slice(0, 12);
    const name = `${basename(file, '.node').replace(/[^\w.-]/g, '_')}-${hash}.node`;
    mkdirSync(join(outDirectory, 'native'), { recursive: true });
    copyFileSync(file, join(outDirectory, 'native', name));
    return `./native/${name}`;
  };
  return {
    name: 'native-addons',
    setup(build) {
      const root = build.initialOptions.absWorkingDir ?? process.cwd();
      build.onResolve({ filter: /\.node$/ }, (args) => {
        const file = resolve(args.resolveDir, args.path);
        // A package that tries one file per platform: the others stay failing requires inside its try blocks.
        return args.path.startsWith('.') && existsSync(file)
          ? { path: placeOf(file, root), namespace: EXTERNAL, pluginData: file }
          : undefined;
      });
      // A package whose main file is the addon itself.
      build.onLoad({ filter: /\.node$/, namespace: 'file' }, (args) => ({ contents: load(copy(args.path)), loader: 'js' }));
      build.onLoad({ filter: /.*/, namespace: EXTERNAL }, (args) => ({ contents: load(copy(String(args.pluginData))), loader: 'js' }));
      build.onResolve({ filter: /^node-gyp-build$/ }, (args) => {
        const directory = packageDirectory(args.resolveDir);
        return { path: placeOf(directory, root), namespace: GYP, pluginData: directory };
      });
      build.onLoad({ filter: /.*/, namespace: GYP }, (args) => {
        const choose: { resolve(directory: string): string } = createRequire(join(String(args.pluginData), 'package.json'))(
          'node-gyp-build',
        );
        return { contents: `module.exports = () => ${requireCall(copy(choose.resolve(String(args.pluginData))))};`, loader: 'js' };
      });
      build.onLoad({ filter: /\.ts$/, namespace: 'file' }, (args) => {
        if (args.path.includes('/node_modules/')) return undefined;
        const source = readFileSync(args.path, 'utf8');
        if (!source.includes('.node')) return undefined;
        const contents = source.replace(/(['"`])([^'"`\s]+\.node)\1/g, (whole: string, quote: string, path: string) => {
          const file = resolve(dirname(args.path), path);
          if (existsSync(file)) return `${quote}${copy(file)}${quote}`;
          if (path.startsWith('.')) throw new Error(`${args.path} wants ${path}, which is not built; run: sh image/setup/setup.sh prepare`);
          return whole;
        });
        return { contents, loader: 'ts' };
      });
    },
  };
}

/** Below `root`, wherever that is; packages may lie elsewhere, behind a link. The bundle names it: it must not depend on the folder it was made in. */
function placeOf(file: string, root: string): string {
  const modules = file.lastIndexOf('/node_modules/');
  return modules >= 0 ? file.slice(modules + 1) : relative(root, file);
}

/** The banner's `require` resolves from the bundle, wherever it was moved to, in the main thread and in workers alike. */
function requireCall(name: string): string {
  // Not a plain call: esbuild would try to resolve it.
  return `globalThis.Function.prototype.call.call(require, null, ${JSON.stringify(name)})`;
}

function load(name: string): string {
  return `module.exports = ${requireCall(name)};`;
}

function packageDirectory(from: string): string {
  let directory = from;
  while (!existsSync(join(directory, 'package.json')) || !existsSync(join(directory, 'prebuilds'))) {
    const parent = dirname(directory);
    if (parent === directory) throw new Error(`no package with prebuilt addons above ${from}`);
    directory = parent;
  }
  return directory;
}
