// Two real servers as a Lab: power by their BMCs, consoles by serial lines, faults by a person who is asked on the screen.
import type { CoServerName } from '../../appliance/core/snapshot.ts';
import type { IpmiOptions } from '../../drivers/ipmi/index.ts';
import { openSerialPort, type SerialLine } from '../../drivers/serial/index.ts';
import { LabError } from './lab-error.ts';
import { type Injection, LAB_FAULT_NAMES, type Lab, type LabFault, type LabPower } from './lab-interface.ts';
import { type Person, personAtScreen } from './person.ts';
import { powerByBmc } from './power-by-bmc.ts';
import { loadRealLab, type RealLabConfig } from './real-config.ts';

export class RealLab implements Lab {
  readonly world = 'real';
  readonly faults: readonly LabFault[];
  readonly #config: RealLabConfig;
  readonly #person: Person;
  readonly #log: (line: string) => void;
  readonly #lines = new Set<SerialLine>();

  constructor(config: RealLabConfig, person: Person, log: (line: string) => void) {
    this.#config = config;
    this.#person = person;
    this.#log = log;
    this.faults = LAB_FAULT_NAMES.filter((fault) => config.faults[fault] !== undefined);
  }

  /** Where the web consoles are, with their passwords; null: real.yaml does not say. */
  get consoles(): Record<CoServerName, NonNullable<RealLabConfig['servers']['A']['console']>> | null {
    const { A, B } = this.#config.servers;
    return A.console && B.console && { A: A.console, B: B.console };
  }

  power(server: CoServerName): LabPower {
    const { bmc } = this.#config.servers[server];
    return powerByBmc(`server ${server}`, bmc satisfies IpmiOptions);
  }

  async console(server: CoServerName): Promise<SerialLine> {
    const { device, baudRate } = this.#config.servers[server].serial;
    if (device === '') throw new LabError(`server ${server} has no serial line here`, `give servers.${server}.serial.device in real.yaml`);
    const line = openSerialPort({ path: device, baudRate, log: this.#log });
    this.#lines.add(line);
    line.once('close', () => this.#lines.delete(line));
    return line;
  }

  async inject(fault: LabFault, server: CoServerName): Promise<Injection> {
    const task = this.#task(fault);
    const how = sentence(task.inject, server);
    const { atMs } = await this.#person.ask(how);
    return { fault, server, how, atMs, isEvent: task.clear === undefined };
  }

  async clear({ fault, server }: Pick<Injection, 'fault' | 'server'>): Promise<string> {
    const { clear } = this.#task(fault);
    if (clear === undefined) return 'an event: nothing to take back';
    const how = sentence(clear, server);
    await this.#person.ask(how);
    return how;
  }

  async close(): Promise<void> {
    for (const line of this.#lines) line.destroy();
  }

  #task(fault: LabFault) {
    const task = this.#config.faults[fault];
    if (task === undefined) throw new LabError(`nobody is told how to make ${fault} here`, `add faults.${fault} to real.yaml`);
    return task;
  }
}

/** The lab that real.yaml describes, with the person at this terminal. Throws a LabError with everything that is wrong in the file. */
export function openRealLab(path: string, log: (line: string) => void): RealLab {
  const config = loadRealLab(path);
  const { stdin: input, stdout: output } = process;
  const timeoutMs = config.personTimeoutMinutes * 60_000;
  return new RealLab(config, personAtScreen({ input, output, timeoutMs, isTerminal: output.isTTY }), log);
}

function sentence(text: string, server: CoServerName): string {
  return text.replaceAll('{server}', server);
}
