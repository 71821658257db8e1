// Decides which kernel modules go into the initramfs and in which order they load. Pure: works on the text of modules.dep
// and modules.builtin (kmod's formats: "path: dependency dependency..." and one path per line).

/** A path in modules.dep without folders and suffixes, "_" for "-": as the kernel names the module. */
export function moduleName(path: string): string {
  const file = path.slice(path.lastIndexOf('/') + 1);
  return file.replace(/\.ko(\.(xz|zst|gz))?$/, '').replaceAll('-', '_');
}

function parseDependencies(text: string): Map<string, { path: string; needs: string[] }> {
  const modules = new Map<string, { path: string; needs: string[] }>();
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    if (colon < 0) continue;
    const path = line.slice(0, colon);
    const needs = line
      .slice(colon + 1)
      .split(' ')
      .filter((need) => need !== '');
    modules.set(moduleName(path), { path, needs });
  }
  return modules;
}

/**
 * Paths (relative to /lib/modules/<version>) of the modules to load, dependencies first. Built-in modules are left out.
 * Throws when a wanted module is neither built in nor there.
 */
export function resolveModules(wanted: readonly string[], modulesDep: string, modulesBuiltin: string): string[] {
  const available = parseDependencies(modulesDep);
  const builtin = new Set(
    modulesBuiltin
      .split('\n')
      .filter((line) => line !== '')
      .map(moduleName),
  );
  const ordered: string[] = [];
  const add = (name: string, neededBy: string): void => {
    const key = name.replaceAll('-', '_');
    if (builtin.has(key)) return;
    const found = available.get(key);
    if (found === undefined) throw new Error(`kernel module ${name} (for ${neededBy}) is neither built in nor in modules.dep`);
    if (ordered.includes(found.path)) return;
    for (const need of found.needs) add(moduleName(need), name);
    ordered.push(found.path);
  };
  for (const name of wanted) add(name, 'the guest');
  return ordered;
}
