// /proc/cpuinfo of x86, as one description of all CPUs. Pure.
//
// Source: arch/x86/kernel/cpu/proc.c of the kernel. Values that are not the same for all CPUs of the machine (a microcode that was loaded
// for some of them) are null and named in `mixed`: such a machine is like no other.
import { byName, said, whole } from './text.ts';
import { type CpuInventory, InventoryError } from './types.ts';

const CPUS_MAX = 8_192; // NR_CPUS of the kernel

/** Throws InventoryError where no CPU is described. */
export function decodeCpuinfo(text: string): CpuInventory {
  const cpus = text
    .split(/\n\s*\n/)
    .slice(0, CPUS_MAX)
    .map(fields)
    .filter((cpu) => cpu.has('processor'));
  if (cpus.length === 0) throw new InventoryError('/proc/cpuinfo describes no CPU');
  const mixed: string[] = [];
  const common = (name: string): string | null => {
    const values = new Set(cpus.map((cpu) => cpu.get(name) ?? null));
    if (values.size > 1) mixed.push(name);
    return values.size === 1 ? ([...values][0] ?? null) : null;
  };
  const counts = topology(cpus);
  const described = {
    vendor: said(common('vendor_id')),
    model: said(common('model name')),
    family: whole(common('cpu family')),
    modelNumber: whole(common('model')),
    stepping: whole(common('stepping')),
    microcode: said(common('microcode')),
    flags: flags(common('flags')),
  };
  return { ...described, ...counts, mixed: mixed.sort(byName) };
}

function fields(paragraph: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of paragraph.split('\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) found.set(line.slice(0, colon).trim(), line.slice(colon + 1).trim());
  }
  return found;
}

function flags(text: string | null): string[] | null {
  const names = new Set((text ?? '').split(/\s+/).filter((flag) => /^[a-z0-9_]{1,40}$/i.test(flag)));
  return names.size === 0 ? null : [...names].sort();
}

function topology(cpus: readonly Map<string, string>[]): Pick<CpuInventory, 'sockets' | 'cores' | 'threads' | 'smt'> {
  const known = cpus.every((cpu) => whole(cpu.get('physical id')) !== null && whole(cpu.get('core id')) !== null);
  // A kernel without the topology (one CPU, no SMP) tells none of it.
  if (!known) return { sockets: null, cores: null, threads: cpus.length, smt: null };
  const cores = new Set(cpus.map((cpu) => `${cpu.get('physical id')}/${cpu.get('core id')}`)).size;
  return { sockets: new Set(cpus.map((cpu) => cpu.get('physical id'))).size, cores, threads: cpus.length, smt: cpus.length > cores };
}
