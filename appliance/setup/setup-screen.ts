// The dialogue on one console: a serial line or the first screen. All consoles show the same dialogue, and keys of any of them go into it.
import type { Duplex } from 'node:stream';
import { type Key, keyDecoder } from '../console/serial/keys.ts';
import type { Line } from '../console/serial/layout.ts';
import { changes, type Grid, gridOf } from '../console/serial/screen.ts';

/** A line at 115200 baud takes 170 ms for a whole screen: what changes is drawn at once, and not more often. */
const DRAW_INTERVAL_MS = 60;
/** A terminal may be connected at any time. */
const REPAINT_MS = 15_000;

export interface SetupScreen {
  draw(): void;
  repaint(): void;
  close(): void;
}

export function startSetupScreen(stream: Duplex, picture: () => Line[], onKeys: (keys: Key[]) => void): SetupScreen {
  const decode = keyDecoder();
  let shown: Grid | null = null;
  let repaintAt = 0;
  let isBlocked = false;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  const drawNow = (): void => {
    timer = undefined;
    if (closed || isBlocked) return;
    const now = performance.now();
    if (now >= repaintAt) {
      shown = null;
      repaintAt = now + REPAINT_MS;
    }
    const wanted = gridOf(picture());
    const bytes = changes(shown, wanted);
    shown = wanted;
    // While what was written has not left, nothing more is: then the newest picture is.
    if (bytes !== '') isBlocked = !stream.write(bytes, 'latin1');
  };
  const draw = (): void => {
    if (!closed) timer ??= setTimeout(drawNow, DRAW_INTERVAL_MS);
  };
  const repaint = (): void => {
    repaintAt = 0;
    draw();
  };
  const onReopened = (): void => {
    isBlocked = false;
    repaint();
  };
  stream.on('data', (bytes: Buffer) => onKeys(decode(bytes)));
  stream.on('drain', () => {
    isBlocked = false;
    draw();
  });
  stream.on('opened', onReopened);
  stream.on('reopened', onReopened);
  draw();
  return {
    draw,
    repaint,
    close: () => {
      if (closed) return;
      clearTimeout(timer);
      if (!isBlocked) drawNow();
      closed = true;
      // The terminal is left usable.
      if (stream.writable) stream.write('\u001b[0m\u001b[?7h\u001b[?25h\u001b[24;1H\r\n');
    },
  };
}
