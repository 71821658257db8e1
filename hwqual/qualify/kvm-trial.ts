// Does KVM really start a guest on this server? /dev/kvm may be there and fail under a real kernel, so one is booted: the guest's own, with
// neither disk nor root file system. That it says so is the proof: all of the kernel ran. Asked once per boot of the server.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, constants, mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

export interface KvmTrial {
  usable: boolean;
  /** One sentence for the operator. */
  reason: string;
}

export interface KvmTrialOptions {
  /** The engine, QEMU. */
  binary: string;
  /** A Linux kernel. */
  kernel: string;
  /** Where the answer is kept until the server boots again. */
  cacheDirectory: string;
  /** Default /dev/kvm. */
  device?: string;
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** A kernel's last words without a root file system, or when it would start its own first program. */
const PROOF = /Unable to mount root fs|No working init found|Run \/\S+ as init process/;
/** What QEMU says when KVM gives up; it then waits for a debugger instead of ending. */
const KVM_FAILURE = /KVM internal error|KVM: entry failed|failed to initialize kvm|Could not access KVM|error: kvm run failed/i;
/** A kernel boots in one to three seconds under KVM; ten times that means that it does not really run on the hardware. */
const TIMEOUT_MS = 20_000;
/** Enough to find the proof across two reads. */
const TAIL_CHARACTERS = 4_096;

/** Null: the trial itself could not be made, so it is not known. Does not reject. */
export async function tryKvm(options: KvmTrialOptions): Promise<KvmTrial | null> {
  const device = options.device ?? '/dev/kvm';
  const open = await access(device, constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
  if (!open)
    return { usable: false, reason: `there is no usable ${device}: is virtualization on in the BIOS, and kvm_intel or kvm_amd loaded?` };
  const cacheFile = await cacheName(options, device).catch(() => null);
  const kept = cacheFile === null ? null : await readKept(cacheFile);
  if (kept) return kept;
  const outcome = await boot(options).catch((e: Error): Outcome => ({ kind: 'notTried', words: e.message }));
  const answer = judge(outcome);
  // A time-out may be a busy server: it is tried again at the next start.
  if (cacheFile !== null && (outcome.kind === 'booted' || outcome.kind === 'refused')) await keep(cacheFile, answer).catch(() => undefined);
  return answer;
}

/** It holds until the server boots again, the module is loaded again (which makes a new device node) or engine or kernel change. */
async function cacheName({ binary, kernel, cacheDirectory }: KvmTrialOptions, device: string): Promise<string> {
  const files = await Promise.all([device, binary, kernel].map((path) => stat(path)));
  const identity = [
    await readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
    ...files.map(({ ino, ctimeMs }) => `${ino} ${ctimeMs}`),
    binary,
    kernel,
  ];
  return join(cacheDirectory, `kvm-trial-${createHash('sha256').update(identity.join('\n')).digest('hex').slice(0, 16)}.json`);
}

async function readKept(file: string): Promise<KvmTrial | null> {
  try {
    const { usable, reason } = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
    return typeof usable === 'boolean' && typeof reason === 'string' ? { usable, reason } : null;
  } catch {
    return null;
  }
}

async function keep(file: string, answer: KvmTrial | null): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(`${file}.${process.pid}`, JSON.stringify(answer), { mode: 0o600 });
  await rename(`${file}.${process.pid}`, file);
}

type Outcome =
  | { kind: 'booted'; ms: number }
  | { kind: 'refused'; words: string }
  | { kind: 'timedOut'; ms: number }
  | { kind: 'notTried'; words: string };

function judge(outcome: Outcome): KvmTrial | null {
  switch (outcome.kind) {
    case 'booted':
      return { usable: true, reason: `a trial guest booted its kernel in ${(outcome.ms / 1000).toFixed(1)} s` };
    case 'refused':
      return { usable: false, reason: `a trial guest failed on /dev/kvm: ${outcome.words}` };
    case 'timedOut':
      return { usable: false, reason: `a trial guest did not boot within ${outcome.ms / 1000} s` };
    case 'notTried':
      return null;
    default: {
      const never: never = outcome;
      throw new Error(`unknown outcome ${JSON.stringify(never)}`);
    }
  }
}

function boot({ binary, kernel, timeoutMs = TIMEOUT_MS, signal }: KvmTrialOptions): Promise<Outcome> {
  const machine = ['-machine', 'q35', '-accel', 'kvm', '-cpu', 'host', '-m', '256'];
  const bare = ['-display', 'none', '-nodefaults', '-no-user-config', '-no-reboot', '-serial', 'stdio'];
  const args = [...machine, ...bare, '-kernel', kernel, '-append', 'console=ttyS0 panic=-1'];
  return new Promise((resolve, reject) => {
    const started = performance.now();
    // It ends with us however we end.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', binary, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let outcome: Outcome | undefined;
    let [tail, errors] = ['', ''];
    const decide = (decided: Outcome) => {
      outcome ??= decided;
      child.kill('SIGKILL');
    };
    const timer = setTimeout(() => decide({ kind: 'timedOut', ms: timeoutMs }), timeoutMs);
    const abort = () => decide({ kind: 'notTried', words: 'stopped' });
    signal?.addEventListener('abort', abort, { once: true });
    child.stdout.setEncoding('latin1').on('data', (chunk: string) => {
      tail = (tail + chunk).slice(-TAIL_CHARACTERS);
      if (PROOF.test(tail)) decide({ kind: 'booted', ms: performance.now() - started });
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      errors = (errors + chunk).slice(-TAIL_CHARACTERS);
      const line = errors.split('\n').find((candidate) => KVM_FAILURE.test(candidate));
      if (line) decide({ kind: 'refused', words: line.trim() });
    });
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    };
    child.on('error', (error) => {
      end();
      reject(error);
    });
    child.on('close', (code) => {
      end();
      const words = errors.trim().split('\n', 1)[0] ?? '';
      resolve(outcome ?? { kind: 'notTried', words: `the engine ended with code ${code}: ${words}` });
    });
  });
}
