// Server-sent events (HTML standard, 9.2), the part used here: `data:` lines with one JSON text each, `event:` with a name.
// Pure: the server encodes, the browser's page and the command line decode.

export interface StreamEvent {
  event: string;
  data: string;
}

/** A snapshot is some ten kilobytes; a stream without an end of event must not fill the memory of who reads it. */
const EVENT_LIMIT_CHARS = 8 * 1024 * 1024;

/** `data` must hold no line end (JSON.stringify makes none). */
export function encodeEvent(event: string, data: string): string {
  return `event: ${event}\ndata: ${data}\n\n`;
}

/** Returns a function that takes text as it comes and answers the events that it completes. Throws on an endless event. */
export function eventDecoder(): (chunk: string) => StreamEvent[] {
  let rest = '';
  return (chunk) => {
    rest += chunk;
    const events: StreamEvent[] = [];
    for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
      const event = decodeEvent(rest.slice(0, end));
      rest = rest.slice(end + 2);
      if (event) events.push(event);
    }
    if (rest.length > EVENT_LIMIT_CHARS) throw new Error(`the live stream sent an event of more than ${EVENT_LIMIT_CHARS} characters`);
    return events;
  };
}

function decodeEvent(block: string): StreamEvent | null {
  let event = 'message';
  const data: string[] = [];
  for (const line of block.split('\n')) {
    if (line.startsWith('event:')) event = line.slice(6).trim();
    else if (line.startsWith('data:')) data.push(line.slice(line.startsWith('data: ') ? 6 : 5));
  }
  return data.length === 0 ? null : { event, data: data.join('\n') };
}
