// What the gate needs of the business NIC: so that tests can put a wire of their own in its place.

export interface LanPort {
  /** Sends whole frames (be32 length + frame each). Answers how many bytes were taken; the rest waits for onWritable. */
  send(batch: Buffer): number;
  /** One batch per wake; it belongs to the receiver. */
  onFrames(callback: (batch: Buffer) => void): void;
  /** There is room again after `send` took less than everything. */
  onWritable(callback: () => void): void;
  /** Frames lost inside the NIC's queues since it was opened, and what is wrong with the NIC, in words; empty: nothing. */
  health(): { sendLost: number; receiveLost: number; problem: string };
  close(): void;
}
