// Does hardware acceleration really work here? Only a guest that runs can tell: /dev/kvm may exist and still fail under a real
// kernel (a virtual machine without nested virtualization, a hypervisor that emulates part of the instruction set).
//
// So the probe boots the engine root's own kernel with no disk. "Unable to mount root fs" is the proof: all of the kernel ran.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface Acceleration {
  acceleration: 'kvm' | 'tcg';
  /** One sentence for the operator. */
  reason: string;
}

/** The kernel's last words without a root file system. */
const PROOF = 'Unable to mount root fs';
/** What QEMU says on standard error when KVM gives up; it then waits for a debugger instead of ending. */
const KVM_FAILURE = /KVM internal error|KVM: entry failed|failed to initialize kvm|Could not access KVM|error: kvm run failed/i;
/** A kernel boots in one to three seconds under KVM; ten times that means it does not really run on the hardware. */
const TIMEOUT_MS = 20_000;
/** Enough of the console to find the proof across two reads. */
const TAIL_CHARACTERS = 4096;

export interface ProbeOptions {
  timeoutMs?: number;
  device?: string;
  /** Where the answer is kept until the next boot. */
  cacheDirectory?: string;
}

/**
 * Starts a guest with KVM in the engine root and says which accelerator to use. Needs root.
 * A failing KVM can take ten seconds to show it, so the answer is kept in /run: it holds until the machine boots again, the module
 * is loaded again (which makes a new device node) or the engine changes.
 */
export async function probeAcceleration(root: string, options: ProbeOptions = {}): Promise<Acceleration> {
  const device = options.device ?? '/dev/kvm';
  let identity: string;
  try {
    accessSync(device, constants.R_OK | constants.W_OK);
    const { ino, ctimeMs } = statSync(device);
    const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8');
    identity = createHash('sha256').update(`${root} ${ino} ${ctimeMs} ${bootId}`).digest('hex').slice(0, 12);
  } catch {
    return {
      acceleration: 'tcg',
      reason: `software emulation: there is no usable ${device} (is virtualization enabled in the firmware, and the module kvm_intel or kvm_amd loaded?)`,
    };
  }
  const cacheFile = join(options.cacheDirectory ?? '/run/twinstep', `acceleration-${identity}.json`);
  const known = readKnown(cacheFile);
  if (known) return known;
  const outcome = await bootWithKvm(root, options.timeoutMs ?? TIMEOUT_MS);
  const answer = judge(outcome);
  // A time-out may be a busy machine, an early end a damaged root: asked again next time.
  if (outcome.kind === 'booted' || outcome.kind === 'refused') {
    mkdirSync(dirname(cacheFile), { recursive: true });
    writeFileSync(`${cacheFile}.${process.pid}`, JSON.stringify(answer));
    renameSync(`${cacheFile}.${process.pid}`, cacheFile);
  }
  return answer;
}

function readKnown(cacheFile: string): Acceleration | null {
  try {
    const known: unknown = JSON.parse(readFileSync(cacheFile, 'utf8'));
    if (typeof known !== 'object' || known === null || !('acceleration' in known) || !('reason' in known)) return null;
    if ((known.acceleration !== 'kvm' && known.acceleration !== 'tcg') || typeof known.reason !== 'string') return null;
    return { acceleration: known.acceleration, reason: known.reason };
  } catch {
    return null;
  }
}

type Outcome =
  | { kind: 'booted'; ms: number }
  | { kind: 'refused'; words: string }
  | { kind: 'timedOut'; ms: number }
  | { kind: 'ended'; code: number | null; words: string };

function judge(outcome: Outcome): Acceleration {
  switch (outcome.kind) {
    case 'booted':
      return {
        acceleration: 'kvm',
        reason: `hardware acceleration (KVM): a trial guest booted its kernel in ${(outcome.ms / 1000).toFixed(1)} s`,
      };
    case 'refused':
      return { acceleration: 'tcg', reason: `software emulation: /dev/kvm exists, but a trial guest failed on it ("${outcome.words}")` };
    case 'timedOut':
      return {
        acceleration: 'tcg',
        reason: `software emulation: /dev/kvm exists, but a trial guest did not boot on it within ${outcome.ms / 1000} s`,
      };
    case 'ended':
      return {
        acceleration: 'tcg',
        reason: `software emulation: /dev/kvm exists, but the trial guest ended too soon (code ${outcome.code}${outcome.words ? `, "${outcome.words}"` : ''})`,
      };
    default: {
      const never: never = outcome;
      throw new Error(`unknown outcome ${JSON.stringify(never)}`);
    }
  }
}

/**
 * QEMU in the root with this machine's /dev, in a mount namespace of its own. Every step replaces the one before (exec), so the child
 * is QEMU itself: its end unmounts all, and it ends with us however we end.
 */
function bootWithKvm(root: string, timeoutMs: number): Promise<Outcome> {
  const qemu =
    'qemu-system-x86_64 -machine q35 -accel kvm -m 256 -display none -nodefaults -no-reboot -serial stdio -kernel /vmlinuz ' +
    '-append "console=ttyS0 panic=-1"';
  const script = `mount --rbind /dev "$1/dev" && exec chroot "$1" ${qemu}`;
  const args = ['--mount', '--propagation', 'private', 'setpriv', '--pdeathsig', 'KILL', 'sh', '-c', script, 'sh', root];
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const child = spawn('unshare', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let outcome: Outcome | undefined;
    let tail = '';
    let errors = '';
    const decide = (decided: Outcome) => {
      outcome ??= decided;
      child.kill('SIGKILL');
    };
    const timer = setTimeout(() => decide({ kind: 'timedOut', ms: timeoutMs }), timeoutMs);
    child.stdout.setEncoding('latin1').on('data', (text: string) => {
      tail = (tail + text).slice(-TAIL_CHARACTERS);
      if (tail.includes(PROOF)) decide({ kind: 'booted', ms: performance.now() - started });
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors = (errors + text).slice(-TAIL_CHARACTERS);
      const line = errors.split('\n').find((candidate) => KVM_FAILURE.test(candidate));
      if (line) decide({ kind: 'refused', words: line.trim() });
    });
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(new Error(`cannot start a trial guest: ${error.message}`));
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve(outcome ?? { kind: 'ended', code, words: errors.trim().split('\n', 1)[0] ?? '' });
    });
  });
}
