// A UPS, by way of Network UPS Tools' upsd.
export { UPS_NAME, type UpsReading } from './codec.ts';
export { readUps, type UpsTarget } from './device.ts';
