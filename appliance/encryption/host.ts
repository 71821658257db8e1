// Runs one of the two dialogues on this server's consoles: the same on all of them, whoever types.
import type { SerialLine } from '../../drivers/serial/index.ts';
import { openSerialPort } from '../../drivers/serial/index.ts';
import { type SetupScreen, startSetupScreen } from '../setup/setup-screen.ts';
import { type StateDialogue, type StateDuty, type StateEvent, stateStep } from './dialogue.ts';
import { statePicture } from './picture.ts';

export interface HostOptions {
  start: StateDialogue;
  version: string;
  /** Devices. */
  consoles: readonly string[];
  log: (line: string) => void;
  /** Does what the dialogue asks for, and tells it how that went. */
  obey: (duty: StateDuty, tell: (event: StateEvent) => void) => void;
}

export class DialogueHost {
  readonly #options: HostOptions;
  readonly #consoles: { line: SerialLine; screen: SetupScreen }[];
  #state: StateDialogue;
  #resolve: (isEncrypted: boolean) => void = () => undefined;
  readonly ended: Promise<boolean>;

  constructor(options: HostOptions) {
    this.#options = options;
    this.#state = options.start;
    this.ended = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.#consoles = options.consoles.map((path) => {
      const line = openSerialPort({ path, log: options.log });
      const screen = startSetupScreen(
        line,
        () => statePicture(this.#state, options.version),
        (keys) => {
          for (const key of keys) this.tell({ kind: 'key', key });
        },
      );
      return { line, screen };
    });
  }

  tell(event: StateEvent): void {
    const { state, duties } = stateStep(this.#state, event);
    this.#state = state;
    for (const duty of duties) {
      if (duty.kind === 'end') this.#resolve(duty.isEncrypted);
      this.#options.obey(duty, (next) => this.tell(next));
    }
    const isAnew = duties.some(({ kind }) => kind === 'redraw');
    for (const { screen } of this.#consoles) {
      if (isAnew) screen.repaint();
      else screen.draw();
    }
  }

  /** The consoles are free afterwards. */
  async close(): Promise<void> {
    for (const { line, screen } of this.#consoles) {
      screen.close();
      line.end();
      await new Promise<void>((resolve) => {
        line.once('finish', resolve);
        line.once('close', resolve);
      });
      line.destroy();
    }
  }
}
