// A reliable, ordered, authenticated and encrypted message channel between two machines over several dedicated links.
export { PairChannel, type ChannelOptions, type ChannelLink, type ChannelStats } from './channel.ts';
