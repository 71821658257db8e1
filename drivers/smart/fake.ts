// A program that answers like smartctl: what it prints for a disk, and how it ends, are knobs. The real driver starts it.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

export interface FakeAnswer {
  output: string;
  exitStatus?: number;
  /** Prints the output and does not end. */
  hangs?: boolean;
}

const PROGRAM = `#!/bin/sh
for disk; do :; done
file=\${0%/*}/\${disk##*/}
echo "$*" >> "\${0%/*}/started"
[ -e "$file.output" ] || { echo '{"smartctl":{"messages":[{"string":"'"$disk"': Unable to detect device type"}],"exit_status":1}}'; exit 1; }
cat "$file.output"
[ ! -e "$file.hangs" ] || exec sleep 3600
exit "$(cat "$file.status")"
`;

export class FakeSmartctl {
  readonly #folder = mkdtempSync(join(tmpdir(), 'twinstep-smartctl-'));

  constructor() {
    writeFileSync(this.program, PROGRAM, { mode: 0o755 });
    writeFileSync(this.started, '');
  }

  /** For Smart's option of that name. */
  get program(): string {
    return join(this.#folder, 'smartctl');
  }

  /** A file with a line of arguments for each start. */
  get started(): string {
    return join(this.#folder, 'started');
  }

  set(disk: string, { output, exitStatus = 0, hangs = false }: FakeAnswer): void {
    const file = join(this.#folder, basename(disk));
    writeFileSync(`${file}.output`, output);
    writeFileSync(`${file}.status`, String(exitStatus));
    if (hangs) writeFileSync(`${file}.hangs`, '');
    else rmSync(`${file}.hangs`, { force: true });
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
