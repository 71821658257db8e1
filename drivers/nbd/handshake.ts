// One client's handshake: what each option is answered with, and what follows it. Pure.
//
//   options --EXPORT_NAME or GO accepted--> transmission
//           --ABORT----------------------> leave
//           --anything we cannot answer--> broken
import { parseGo, parseMetaContext } from './codec.ts';
import { BASE_ALLOCATION, BASE_ALLOCATION_ID, FIXED_NEWSTYLE, INFO, NO_ZEROES, OPTION, OPTION_REPLY, TRANSMISSION } from './protocol.ts';
import {
  encodeExportName,
  encodeInfoBlockSize,
  encodeInfoExport,
  encodeInfoText,
  encodeMetaContext,
  encodeOptionReply,
  encodeServer,
} from './replies.ts';
import type { NbdExport } from './types.ts';

/** Options of one handshake: a client needs a handful. */
const OPTIONS = 64;

export type HandshakeStep =
  | { next: 'options' | 'transmission' | 'leave'; answers: Buffer[] }
  /** `what` the client sent that ends the connection. */
  | { next: 'broken'; what: string };

export class Handshake {
  readonly #export: NbdExport;
  #noZeroes = false;
  #structured = false;
  #allocation = false;
  #options = 0;

  constructor(exported: NbdExport) {
    this.#export = exported;
  }

  /** Reads are answered by chunks. */
  get structured(): boolean {
    return this.#structured;
  }

  /** Block status was negotiated. */
  get allocation(): boolean {
    return this.#allocation;
  }

  clientFlags(flags: number): HandshakeStep {
    if ((flags & ~(FIXED_NEWSTYLE | NO_ZEROES)) !== 0) return { next: 'broken', what: `flags ${flags.toString(16)} that we did not offer` };
    this.#noZeroes = (flags & NO_ZEROES) !== 0;
    return { next: 'options', answers: [] };
  }

  /** @param tooBig `data` was longer than an option may be, and is not there. */
  option(option: number, data: Buffer, tooBig: boolean): HandshakeStep {
    if (++this.#options > OPTIONS) return { next: 'broken', what: `more than ${OPTIONS} options` };
    const answers: Buffer[] = [];
    const reply = (kind: number, body?: Buffer | string): void => {
      answers.push(encodeOptionReply(option, kind, typeof body === 'string' ? Buffer.from(body) : body));
    };
    const stay: HandshakeStep = { next: 'options', answers };
    if (option === OPTION.exportName) return this.#exportName(data, tooBig);
    if (tooBig) {
      reply(OPTION_REPLY.tooBig);
      return stay;
    }
    switch (option) {
      case OPTION.abort:
        reply(OPTION_REPLY.ack);
        return { next: 'leave', answers };
      case OPTION.list:
        if (data.length === 0) {
          reply(OPTION_REPLY.server, encodeServer(this.#export.name));
          reply(OPTION_REPLY.ack);
        } else reply(OPTION_REPLY.invalid, 'LIST takes no data');
        return stay;
      case OPTION.structuredReply:
        if (data.length === 0) {
          this.#structured = true;
          reply(OPTION_REPLY.ack);
        } else reply(OPTION_REPLY.invalid, 'STRUCTURED_REPLY takes no data');
        return stay;
      case OPTION.listMetaContext:
      case OPTION.setMetaContext:
        this.#metaContext(option === OPTION.setMetaContext, data, reply);
        return stay;
      case OPTION.info:
      case OPTION.go:
        return this.#go(data, reply) && option === OPTION.go ? { next: 'transmission', answers } : stay;
      default:
        reply(OPTION_REPLY.unsupported);
        return stay;
    }
  }

  /** The protocol has no error reply here: an unknown name ends the connection. */
  #exportName(data: Buffer, tooBig: boolean): HandshakeStep {
    const name = data.toString('utf8');
    if (tooBig || !this.#isOurs(name)) return { next: 'broken', what: `the name of an unknown export, '${printable(name)}'` };
    return { next: 'transmission', answers: [encodeExportName(this.#export.sizeBytes, this.#flags(), this.#noZeroes)] };
  }

  #go(data: Buffer, reply: (kind: number, body?: Buffer | string) => void): boolean {
    const go = parseGo(data);
    if (!go) {
      reply(OPTION_REPLY.invalid, 'malformed');
      return false;
    }
    if (!this.#isOurs(go.name)) {
      reply(OPTION_REPLY.unknownExport, `no export '${printable(go.name)}' here`);
      return false;
    }
    reply(OPTION_REPLY.info, encodeInfoExport(this.#export.sizeBytes, this.#flags()));
    reply(OPTION_REPLY.info, encodeInfoBlockSize());
    if (go.wanted.includes(INFO.name)) reply(OPTION_REPLY.info, encodeInfoText(INFO.name, this.#export.name));
    if (go.wanted.includes(INFO.description)) reply(OPTION_REPLY.info, encodeInfoText(INFO.description, this.#export.description));
    reply(OPTION_REPLY.ack);
    return true;
  }

  #metaContext(set: boolean, data: Buffer, reply: (kind: number, body?: Buffer | string) => void): void {
    // Whatever comes of it, an earlier choice is void.
    if (set) this.#allocation = false;
    const asked = parseMetaContext(data);
    if (!asked) reply(OPTION_REPLY.invalid, 'malformed');
    else if (!this.#structured) reply(OPTION_REPLY.invalid, 'STRUCTURED_REPLY comes first');
    else if (!this.#isOurs(asked.name)) reply(OPTION_REPLY.unknownExport, `no export '${printable(asked.name)}' here`);
    else {
      // LIST without a query lists everything, and 'base:' all of that name space. SET wants exact names.
      const wanted = asked.queries.includes(BASE_ALLOCATION) || (!set && (asked.queries.length === 0 || asked.queries.includes('base:')));
      if (wanted && this.#export.extents) {
        if (set) this.#allocation = true;
        reply(OPTION_REPLY.metaContext, encodeMetaContext(set ? BASE_ALLOCATION_ID : 0));
      }
      reply(OPTION_REPLY.ack);
    }
  }

  /** The empty name asks for the default export: there is only one. */
  #isOurs(name: string): boolean {
    return name === '' || name === this.#export.name;
  }

  #flags(): number {
    const t = TRANSMISSION;
    const e = this.#export;
    const changes = e.readOnly ? t.readOnly : t.sendWriteZeroes | (e.trim ? t.sendTrim : 0) | (e.fastZero ? t.sendFastZero : 0);
    return (
      t.hasFlags |
      t.sendFlush |
      t.sendFua |
      changes |
      (this.#structured ? t.sendDontFragment : 0) |
      (e.multiConnection ? t.canMultiConn : 0)
    );
  }
}

/** A client's text, safe for a log. */
function printable(text: string): string {
  return text.slice(0, 64).replace(/[^\x20-\x7e]/g, '?');
}
