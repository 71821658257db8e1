// Serial line and screen of the installer: the same picture on each, keys from any.
import { type Key, keyDecoder } from '../../appliance/console/serial/keys.ts';
import { changes, type Grid, gridOf } from '../../appliance/console/serial/screen.ts';
import type { SerialLine } from '../../drivers/serial/index.ts';
import type { Installation } from './dialogue.ts';
import { screen } from './screens.ts';

/** Of the progress: a UART shows four changes a second easily. */
const DRAW_INTERVAL_MS = 250;
/** A terminal may be connected at any time, and kernel messages may have crossed the screen. */
const REPAINT_MS = 15_000;

export class Consoles {
  readonly #lines: { line: SerialLine; shown: Grid | null }[];
  readonly #state: () => Installation;
  #timer: NodeJS.Timeout | undefined;
  readonly #repaint: NodeJS.Timeout;

  constructor(paths: readonly string[], open: (path: string) => SerialLine, state: () => Installation) {
    this.#state = state;
    this.#repaint = setInterval(() => this.redraw(), REPAINT_MS);
    this.#lines = paths.map((path) => {
      const entry: { line: SerialLine; shown: Grid | null } = { line: open(path), shown: null };
      for (const event of ['opened', 'reopened'])
        entry.line.on(event, () => {
          entry.shown = null;
          this.draw();
        });
      return entry;
    });
  }

  onKeys(take: (key: Key) => void): void {
    for (const { line } of this.#lines) {
      const decode = keyDecoder();
      line.on('data', (bytes: Buffer) => decode(bytes).forEach(take));
    }
  }

  /** `soon`: with others that come meanwhile. */
  draw(soon = false): void {
    if (soon) {
      this.#timer ??= setTimeout(() => this.draw(), DRAW_INTERVAL_MS);
      return;
    }
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const wanted = gridOf(screen(this.#state()));
    for (const entry of this.#lines) {
      // What a blocked line has not taken is what it still shows: all is drawn anew later.
      if (entry.line.writableNeedDrain) {
        entry.shown = null;
        this.#timer ??= setTimeout(() => this.draw(), DRAW_INTERVAL_MS);
        continue;
      }
      const bytes = changes(entry.shown, wanted);
      entry.shown = wanted;
      if (bytes !== '') entry.line.write(bytes, 'latin1');
    }
  }

  redraw(): void {
    for (const entry of this.#lines) entry.shown = null;
    this.draw();
  }

  close(): void {
    clearTimeout(this.#timer);
    clearInterval(this.#repaint);
    for (const { line } of this.#lines) line.end(() => line.destroy());
  }
}
