// Whose a message of the partner's mirror is.
//
//   answer     who asked: a source that joins or has joined the partner; the copy that follows
//   read       the source's repair: the copy that follows has lost a block
//   the others the copy that follows; where none does, an `attach` is refused
import type { Channel } from '../../drivers/link/index.ts';
import type { MirrorMode } from './api.ts';
import type { Joining } from './joining.ts';
import { decodeMessage, encodeMessageHeader, type MirrorMessage } from './messages.ts';
import type { OpenCopy } from './open-copy.ts';

export interface InboxParts {
  channel: Channel;
  joining: Joining;
  opened(): OpenCopy | undefined;
  mode(): MirrorMode;
  report(e: Error): void;
}

export class Inbox {
  readonly #parts: InboxParts;

  constructor(parts: InboxParts) {
    this.#parts = parts;
  }

  receive(bytes: Buffer): void {
    const { channel, joining } = this.#parts;
    const [o, mode] = [this.#parts.opened(), this.#parts.mode()];
    let m: MirrorMessage;
    try {
      m = decodeMessage(bytes);
    } catch (e) {
      // Whatever that was, nothing after it can be trusted to mean what we think.
      o?.guest.partner?.lose((e as Error).message);
      channel.reset();
      return;
    }
    if (m.kind === 'answer') {
      joining.answered(m);
      const partner = o?.guest.partner;
      if (partner?.attachment === m.attachment) partner.answered(m);
      o?.follower.reads.answered(m);
    } else if (m.kind === 'read' && o?.guest.partner?.attachment === m.attachment) this.#serveRead(o, m);
    else if (o && (mode === 'target' || mode === 'replica')) o.follower.receive(m);
    else if (m.kind === 'attach') {
      const reason = Buffer.from(`the partner's copy is '${mode}', not a target`);
      channel.send(encodeMessageHeader({ ...m, kind: 'answer', status: 'refused', length: reason.length }), reason);
    }
  }

  /** The partner's copy has lost a block. */
  #serveRead(o: OpenCopy, m: MirrorMessage): void {
    const { channel, report } = this.#parts;
    const answer = (data: Uint8Array): void => {
      channel.send(encodeMessageHeader({ ...m, kind: 'answer', status: 'ok', length: data.length }), data);
    };
    o.repair.serve(m, answer).catch(report);
  }
}
