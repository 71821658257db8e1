// Reads HTTP/1.1 responses with a Content-Length from a stream of pieces. Pure: bytes in, events out (RFC 9112).

export type HttpEvent =
  | { kind: 'head'; status: number; headers: Map<string, string>; length: number }
  | { kind: 'body'; piece: Buffer }
  | { kind: 'end' };

/** Longest head: the guest's are about 120 bytes. */
const MAX_HEAD_BYTES = 8192;

export class HttpResponseReader {
  #head: Buffer = Buffer.alloc(0);
  #bodyLeft = 0;
  #inBody = false;

  /** True between responses: an end of the connection here breaks nothing off. */
  get isBetween(): boolean {
    return !this.#inBody && this.#head.length === 0;
  }

  /** The events that this piece completes. Throws when it is not HTTP. An interim response (1xx) is a head without an end. */
  push(piece: Buffer): HttpEvent[] {
    const events: HttpEvent[] = [];
    let rest = piece;
    while (rest.length > 0) {
      if (this.#inBody) rest = this.#takeBody(rest, events);
      else rest = this.#takeHead(rest, events);
    }
    return events;
  }

  #takeBody(bytes: Buffer, events: HttpEvent[]): Buffer {
    const piece = bytes.subarray(0, Math.min(bytes.length, this.#bodyLeft));
    this.#bodyLeft -= piece.length;
    events.push({ kind: 'body', piece });
    this.#endBodyIfDone(events);
    return bytes.subarray(piece.length);
  }

  #takeHead(bytes: Buffer, events: HttpEvent[]): Buffer {
    const held = this.#head.length;
    const head = Buffer.concat([this.#head, bytes]);
    const end = head.indexOf('\r\n\r\n', Math.max(0, held - 3));
    if (end < 0) {
      if (head.length > MAX_HEAD_BYTES) throw new Error(`no end of the HTTP head in ${head.length} bytes`);
      this.#head = head;
      return Buffer.alloc(0);
    }
    this.#head = Buffer.alloc(0);
    const parsed = parseHead(head.toString('latin1', 0, end));
    events.push(parsed);
    if (parsed.status >= 200) {
      this.#inBody = true;
      this.#bodyLeft = parsed.length;
      this.#endBodyIfDone(events);
    }
    return head.subarray(end + 4);
  }

  #endBodyIfDone(events: HttpEvent[]): void {
    if (this.#bodyLeft > 0) return;
    this.#inBody = false;
    events.push({ kind: 'end' });
  }
}

function parseHead(text: string): { kind: 'head'; status: number; headers: Map<string, string>; length: number } {
  const [statusLine = '', ...lines] = text.split('\r\n');
  const match = /^HTTP\/1\.[01] (\d{3}) /.exec(statusLine);
  if (match === null) throw new Error(`not an HTTP status line: ${JSON.stringify(statusLine.slice(0, 60))}`);
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon <= 0) throw new Error(`not an HTTP header: ${JSON.stringify(line.slice(0, 60))}`);
    headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  const status = Number(match[1]);
  const length = headers.get('content-length');
  if (status >= 200 && (length === undefined || !/^\d+$/.test(length))) throw new Error('HTTP response without Content-Length');
  return { kind: 'head', status, headers, length: Number(length ?? 0) };
}
