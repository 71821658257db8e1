// A reliable, ordered, authenticated and encrypted message channel between two machines over several dedicated links.
export { PairChannel } from './channel.ts';
export type { Channel, ChannelEvents, ChannelOptions, ChannelStats } from './types.ts';
