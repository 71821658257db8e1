// Every item of every check: passes for twins, has its verdict under both policies when one value differs, and never passes unknown.
import fc from 'fast-check';
import t from 'tap';
import { CHECKS, type Comparison, compare, type Facts, type ItemVerdict, type Policy } from '../../../../hwqual/checks/index.ts';
import { wholeFacts } from './facts-fixture.ts';

const POLICIES: readonly Policy[] = ['identical', 'sameFamily'];
const whole = await wholeFacts();
const copyOf = (coServer: 'A' | 'B'): Facts => ({ ...structuredClone(whole), coServer });

type Change = (f: Facts) => void;
interface Row {
  item: string;
  /** Another value, that is known. */
  differs: Change;
  /** Under the policy identical, then sameFamily. */
  verdicts: readonly [ItemVerdict, ItemVerdict];
  /** The value is not known. Missing: it cannot be so without the list that it is about. */
  unknown?: Change;
}

const ALWAYS = ['refused', 'refused'] as const;
const IDENTICAL = ['refused', 'compatible'] as const;
const NEVER = ['compatible', 'compatible'] as const;

function first<T>(list: readonly T[]): T {
  const [one] = list;
  if (one === undefined) throw new Error('the fixture has none');
  return one;
}
const nic = (f: Facts, name: string) => first(f.inventory.nics.filter((n) => n.name === name));
const controller = (f: Facts) => first(f.inventory.storageControllers);
const disk = (f: Facts) => first(f.inventory.disks);
const dimm = (f: Facts) => first(f.inventory.memory.dimms);
const pci = (f: Facts, name: string) => {
  const found = nic(f, name).pci;
  if (!found) throw new Error(`${name} has no PCI identity`);
  return found;
};

const ROWS: Row[] = [
  ...(['vendor', 'product'] as const).map(
    (key): Row => ({
      item: key === 'vendor' ? 'board.systemVendor' : 'board.systemProduct',
      differs: (f) => {
        f.inventory.system[key] = 'Other';
      },
      unknown: (f) => {
        f.inventory.system[key] = null;
      },
      verdicts: IDENTICAL,
    }),
  ),
  ...(['vendor', 'product'] as const).map(
    (key): Row => ({
      item: `board.${key}`,
      differs: (f) => {
        f.inventory.board[key] = 'Other';
      },
      unknown: (f) => {
        f.inventory.board[key] = null;
      },
      verdicts: IDENTICAL,
    }),
  ),
  ...(['vendor', 'version', 'date'] as const).map(
    (key): Row => ({
      item: `bios.${key}`,
      differs: (f) => {
        f.inventory.bios[key] = '2.20.0';
      },
      unknown: (f) => {
        f.inventory.bios[key] = null;
      },
      verdicts: IDENTICAL,
    }),
  ),
  ...(['vendor', 'model', 'microcode'] as const).map(
    (key): Row => ({
      item: `cpu.${key}`,
      differs: (f) => {
        f.inventory.cpu[key] = 'Other';
      },
      unknown: (f) => {
        f.inventory.cpu[key] = null;
      },
      verdicts: key === 'vendor' ? ALWAYS : IDENTICAL,
    }),
  ),
  ...(['family', 'modelNumber', 'stepping', 'sockets', 'cores', 'threads'] as const).map(
    (key): Row => ({
      item: `cpu.${key}`,
      differs: (f) => {
        f.inventory.cpu[key] = 99;
      },
      unknown: (f) => {
        f.inventory.cpu[key] = null;
      },
      verdicts: key === 'family' ? ALWAYS : IDENTICAL,
    }),
  ),
  {
    item: 'cpu.smt',
    differs: (f) => {
      f.inventory.cpu.smt = !f.inventory.cpu.smt;
    },
    unknown: (f) => {
      f.inventory.cpu.smt = null;
    },
    verdicts: IDENTICAL,
  },
  {
    item: 'cpu.mixed',
    differs: (f) => {
      f.inventory.cpu.mixed = ['microcode'];
    },
    unknown: (f) => {
      f.inventory.cpu.threads = null;
    },
    verdicts: ALWAYS,
  },
  {
    item: 'cpu.flags',
    differs: (f) => {
      f.inventory.cpu.flags = (f.inventory.cpu.flags ?? []).filter((flag) => flag !== 'avx512f');
    },
    unknown: (f) => {
      f.inventory.cpu.flags = null;
    },
    verdicts: ALWAYS,
  },
  {
    item: 'memory.installed',
    differs: (f) => {
      f.inventory.memory.installedBytes = 2 ** 35;
    },
    unknown: (f) => {
      f.inventory.memory.installedBytes = null;
    },
    verdicts: IDENTICAL,
  },
  {
    item: 'memory.enough',
    differs: (f) => {
      f.inventory.memory.totalBytes = 2 ** 32;
    },
    unknown: (f) => {
      f.inventory.memory.totalBytes = null;
    },
    verdicts: ALWAYS,
  },
  {
    item: 'memory.ecc',
    differs: (f) => {
      f.inventory.memory.ecc = false;
    },
    unknown: (f) => {
      f.inventory.memory.ecc = null;
    },
    verdicts: ALWAYS,
  },
  {
    item: 'memory.speed',
    differs: (f) => {
      dimm(f).configuredMtPerS = 4_000;
    },
    unknown: (f) => {
      Object.assign(dimm(f), { configuredMtPerS: null, speedMtPerS: null });
    },
    verdicts: IDENTICAL,
  },
  {
    item: 'memory.parts',
    differs: (f) => {
      dimm(f).partNumber = 'M2';
    },
    unknown: (f) => {
      dimm(f).partNumber = null;
    },
    verdicts: NEVER,
  },
  {
    item: 'nics.roles',
    differs: (f) => {
      f.nics.reverse();
    },
    verdicts: ALWAYS,
  },
  {
    item: 'nics.link1.model',
    differs: (f) => {
      pci(f, 'link1').device = '10d3';
    },
    unknown: (f) => {
      pci(f, 'link1').device = null;
    },
    verdicts: IDENTICAL,
  },
  ...(['driver', 'firmware'] as const).map(
    (key): Row => ({
      item: `nics.link2.${key}`,
      differs: (f) => {
        nic(f, 'link2')[key] = 'other';
      },
      unknown: (f) => {
        nic(f, 'link2')[key] = null;
      },
      verdicts: IDENTICAL,
    }),
  ),
  {
    item: 'nics.link2.rate',
    differs: (f) => {
      nic(f, 'link2').speedMbps = 100;
    },
    unknown: (f) => {
      nic(f, 'link2').speedMbps = null;
    },
    verdicts: ALWAYS,
  },
  {
    item: 'storage.controllers',
    differs: (f) => {
      controller(f).pci.device = 'ffff';
    },
    unknown: (f) => {
      controller(f).pci.device = null;
    },
    verdicts: IDENTICAL,
  },
  {
    item: 'disks.count',
    differs: (f) => {
      f.inventory.disks.push({ ...disk(f), name: '/dev/sdz' });
    },
    verdicts: IDENTICAL,
  },
  {
    item: 'disks.size',
    differs: (f) => {
      disk(f).sizeBytes = 2 ** 33;
    },
    unknown: (f) => {
      disk(f).sizeBytes = null;
    },
    verdicts: IDENTICAL,
  },
  {
    item: 'disks.enough',
    differs: (f) => {
      disk(f).sizeBytes = 2 ** 29;
    },
    unknown: (f) => {
      f.disk = null;
    },
    verdicts: ALWAYS,
  },
  {
    item: 'disks.block',
    differs: (f) => {
      disk(f).logicalBlockBytes = 4_096;
    },
    unknown: (f) => {
      disk(f).logicalBlockBytes = null;
    },
    verdicts: IDENTICAL,
  },
  {
    item: 'disks.cache',
    differs: (f) => {
      disk(f).writeCache = 'write back';
    },
    unknown: (f) => {
      disk(f).writeCache = null;
    },
    verdicts: IDENTICAL,
  },
  ...(['model', 'firmware'] as const).map(
    (key): Row => ({
      item: `disks.${key}`,
      differs: (f) => {
        disk(f)[key] = 'Other';
      },
      unknown: (f) => {
        disk(f)[key] = null;
      },
      verdicts: NEVER,
    }),
  ),
  ...(['vendor', 'firmware'] as const).map(
    (key): Row => ({
      item: `bmc.${key}`,
      differs: (f) => {
        f.inventory.bmc[key] = '7.11';
      },
      unknown: (f) => {
        f.inventory.bmc[key] = null;
      },
      verdicts: IDENTICAL,
    }),
  ),
  {
    item: 'watchdog.identity',
    differs: (f) => {
      f.inventory.watchdogs = [{ device: '/dev/watchdog0', identity: 'i6300ESB timer' }];
    },
    unknown: (f) => {
      f.inventory.watchdogs = [];
    },
    verdicts: IDENTICAL,
  },
  {
    item: 'tsc.stable',
    differs: (f) => {
      f.inventory.tsc.stable = false;
    },
    unknown: (f) => {
      f.inventory.tsc.stable = null;
    },
    verdicts: ALWAYS,
  },
  {
    item: 'iommu.on',
    differs: (f) => {
      f.inventory.iommu.units = 0;
    },
    unknown: (f) => {
      f.inventory.iommu.units = null;
    },
    verdicts: ALWAYS,
  },
  {
    item: 'iommu.units',
    differs: (f) => {
      f.inventory.iommu.units = 4;
    },
    unknown: (f) => {
      f.inventory.iommu.units = null;
    },
    verdicts: IDENTICAL,
  },
  {
    item: 'virtualization.extension',
    differs: (f) => {
      f.inventory.virtualization.extension = 'svm';
    },
    unknown: (f) => {
      f.inventory.virtualization.extension = null;
    },
    verdicts: ALWAYS,
  },
  {
    item: 'virtualization.usable',
    differs: (f) => {
      f.inventory.virtualization.usable = false;
    },
    unknown: (f) => {
      f.inventory.virtualization.usable = null;
    },
    verdicts: ALWAYS,
  },
  {
    item: 'versions.engine',
    differs: (f) => {
      f.engine = 'QEMU 11.1.4';
    },
    unknown: (f) => {
      f.engine = '';
    },
    verdicts: ALWAYS,
  },
  {
    item: 'versions.appliance',
    differs: (f) => {
      f.version = '1.0.1';
    },
    unknown: (f) => {
      f.version = '';
    },
    verdicts: NEVER,
  },
  {
    item: 'versions.kernel',
    differs: (f) => {
      f.inventory.kernel.release = '6.12.49';
    },
    unknown: (f) => {
      f.inventory.kernel.release = null;
    },
    verdicts: NEVER,
  },
];

const itemOf = (c: Comparison, id: string) => c.items.find((i) => i.id === id);
const changed = (coServer: 'A' | 'B', ...changes: Change[]): Facts => {
  const facts = copyOf(coServer);
  for (const change of changes) change(facts);
  return facts;
};

t.test('twins pass, item by item', async (t) => {
  for (const policy of POLICIES) {
    const c = compare(copyOf('A'), copyOf('B'), policy);
    t.equal(c.verdict, 'passed', policy);
    t.same(c.levels, [3, 2, 1]);
    for (const item of c.items) t.equal(item.verdict, 'identical', item.id);
    t.equal(new Set(c.items.map((i) => i.id)).size, c.items.length, 'no item twice');
    for (const check of CHECKS) t.ok(check.run(copyOf('A'), copyOf('B'), policy).length > 0, check.id);
  }
});

t.test('one value that differs has the verdict of its rule, whichever side it is on', async (t) => {
  const counted: Record<string, number> = {};
  for (const { item: id, differs, verdicts } of ROWS)
    for (const [i, policy] of POLICIES.entries()) {
      const expected = verdicts[i];
      for (const c of [compare(copyOf('A'), changed('B', differs), policy), compare(changed('A', differs), copyOf('B'), policy)]) {
        const item = itemOf(c, id);
        t.equal(item?.verdict, expected, `${id} under ${policy}`);
        counted[`${item?.verdict}`] = (counted[`${item?.verdict}`] ?? 0) + 1;
        t.not(item?.a, item?.b, `${id}: both values are shown`);
        t.ok((item?.rule.length ?? 0) > 10, `${id}: has its rule`);
        if (expected === 'refused') {
          t.equal(c.verdict, 'refused', `${id} refuses the pair`);
          t.same(c.levels, [2, 1]);
        }
      }
    }
  const verdicts = Object.entries(counted).map(([verdict, times]) => `${times} ${verdict}`);
  t.comment(`${ROWS.length} mismatches tried under ${POLICIES.length} policies from both sides: ${verdicts.join(', ')}`);
});

t.test('what is not known never passes: on one side, or on both', async (t) => {
  for (const { item: id, unknown } of ROWS) {
    if (!unknown) continue;
    for (const policy of POLICIES)
      for (const [a, b] of [
        [copyOf('A'), changed('B', unknown)],
        [changed('A', unknown), copyOf('B')],
        [changed('A', unknown), changed('B', unknown)],
      ] as const) {
        const c = compare(a, b, policy);
        const item = itemOf(c, id);
        t.equal(item?.verdict, 'unknown', `${id} under ${policy}`);
        t.match(item?.rule, /not known does not pass/);
        t.not(c.verdict, 'passed', id);
      }
  }
});

t.test('every item is tried above', async (t) => {
  const ids = compare(copyOf('A'), copyOf('B'), 'identical').items.map((i) => i.id);
  const tried = new Set(ROWS.map((r) => r.item.replace('link2', 'link1')));
  t.strictSame(
    ids.filter((id) => !tried.has(id.replace('link2', 'link1'))),
    [],
  );
});

t.test('a role that only one of them has', async (t) => {
  const more: Change = (f) => f.nics.push({ role: 'business', nic: 'lan0' });
  for (const c of [compare(copyOf('A'), changed('B', more), 'sameFamily'), compare(changed('A', more), copyOf('B'), 'sameFamily')]) {
    t.equal(itemOf(c, 'nics.roles')?.verdict, 'refused');
    t.equal(itemOf(c, 'nics.business.model')?.verdict, 'unknown');
  }
});

t.test('a slow link on both is refused, faster than needed is not', async (t) => {
  const slow: Change = (f) => {
    nic(f, 'link1').speedMbps = 100;
  };
  t.equal(itemOf(compare(changed('A', slow), changed('B', slow), 'identical'), 'nics.link1.rate')?.verdict, 'refused');
  const fast: Change = (f) => {
    nic(f, 'link1').speedMbps = 10_000;
  };
  t.equal(itemOf(compare(changed('A', fast), copyOf('B'), 'identical'), 'nics.link1.rate')?.verdict, 'compatible');
});

t.test('one module of memory that does not tell its speed makes it unknown', async (t) => {
  const silent: Change = (f) => Object.assign(dimm(f), { configuredMtPerS: null, speedMtPerS: null });
  t.ok(whole.inventory.memory.dimms.length > 1);
  t.equal(itemOf(compare(changed('A', silent), changed('B', silent), 'identical'), 'memory.speed')?.verdict, 'unknown');
});

t.test('processors unlike among themselves are refused though both servers are so', async (t) => {
  const mixed: Change = (f) => {
    f.inventory.cpu.mixed = ['microcode'];
  };
  t.equal(itemOf(compare(changed('A', mixed), changed('B', mixed), 'sameFamily'), 'cpu.mixed')?.verdict, 'refused');
});

t.test('the sentence names what stands against it, and on which server', async (t) => {
  const other: Change = (f) => {
    f.inventory.bios.version = '2.20.0';
  };
  t.equal(compare(copyOf('A'), changed('B', other), 'identical').sentence, 'version of the BIOS (bios.version): 2.19.1 on A, 2.20.0 on B');
  t.equal(compare(copyOf('B'), changed('A', other), 'identical').sentence, 'version of the BIOS (bios.version): 2.19.1 on B, 2.20.0 on A');
  t.match(compare(copyOf('A'), changed('A', other), 'identical').sentence, /2\.19\.1 on the first, 2\.20\.0 on the second/);
  const many = changed('B', ...ROWS.map((r) => r.differs));
  t.match(compare(copyOf('A'), many, 'identical').sentence, /; and \d+ more$/);
});

t.test('a waiver lets its item pass, with its reason; a refusal only where it says so', async (t) => {
  const silent: Change = (f) => {
    f.inventory.cpu.microcode = null;
  };
  const other: Change = (f) => {
    f.inventory.cpu.microcode = '0x1';
  };
  const waiver = { item: 'cpu.microcode', reason: 'emulated' };
  const waived = compare(changed('A', silent), changed('B', silent), 'identical', [waiver]);
  t.equal(waived.verdict, 'passed');
  t.equal(itemOf(waived, 'cpu.microcode')?.waived, 'emulated');
  t.equal(itemOf(waived, 'cpu.microcode')?.verdict, 'unknown', 'the verdict is not made nicer');
  t.equal(itemOf(waived, 'cpu.model')?.waived, null);
  t.equal(compare(copyOf('A'), changed('B', other), 'identical', [waiver]).verdict, 'refused');
  t.equal(compare(copyOf('A'), changed('B', other), 'identical', [{ ...waiver, alsoRefused: true }]).verdict, 'passed');
  const nameless: Change = (f) => {
    for (const name of ['link1', 'link2']) nic(f, name).firmware = null;
  };
  const any = { item: 'nics.*.firmware', reason: 'emulated' };
  t.equal(compare(changed('A', nameless), changed('B', nameless), 'identical', [any]).verdict, 'passed');
  t.equal(compare(changed('A', nameless), changed('B', nameless), 'identical', [{ ...any, item: 'nics.*' }]).verdict, 'unknown');
});

t.test('whatever differs: verdicts are the same from both sides, and the same each time', async (t) => {
  const changes = ROWS.flatMap((r) => (r.unknown ? [r.differs, r.unknown] : [r.differs]));
  const some = fc.array(fc.constantFrom(...changes), { maxLength: 6 });
  const verdicts = (c: Comparison) => Object.fromEntries(c.items.map((i) => [i.id, i.verdict]));
  fc.assert(
    fc.property(some, some, fc.constantFrom(...POLICIES), (forA, forB, policy) => {
      const [a, b] = [changed('A', ...forA), changed('B', ...forB)];
      const [there, back] = [compare(a, b, policy), compare(b, a, policy)];
      t.strictSame(verdicts(there), verdicts(back));
      t.equal(there.verdict, back.verdict);
      t.strictSame(compare(structuredClone(a), structuredClone(b), policy), there);
      const [strict, loose] = [compare(a, b, 'identical'), compare(a, b, 'sameFamily')];
      if (strict.verdict === 'passed') t.equal(loose.verdict, 'passed', 'what is identical is of one family');
    }),
    { numRuns: 300 },
  );
});
