// What an operator may change after the first start, for the process that runs.
export { Settings, type SettingsParts } from './host.ts';
export { settleSettings } from './start.ts';
