// Before the configuration is believed: a change that was cut short is brought to its end, and a management address that was on trial when the
// process before this one ended is given up.
import { readFileSync } from 'node:fs';
import type { CoServerConfig } from '../config.ts';
import { managementFiles, type NewFile, type Sources } from './edits.ts';
import { nicsFileOf } from './nics.ts';
import { commitSettings, finishSettings, noteSettings, readSettingsRecord, type Trial } from './record.ts';
import { wentBack } from './trial.ts';

/** Answers the configuration that counts. Throws what `load` throws, and the file system's error. */
export function settleSettings(load: () => CoServerConfig, configFile: string): CoServerConfig {
  const found = load();
  const config = finishSettings(found.stateDir) ? load() : found;
  const { trial } = readSettingsRecord(config.stateDir);
  if (!trial) return config;
  if (!trial.isBegun) {
    noteSettings(config.stateDir, { trial: { ...trial, isBegun: true } });
    return config;
  }
  goBack(sourcesOf(config, configFile), trial, wentBack(trial, 'this process started again meanwhile'));
  return load();
}

/** The old address, durably; it is taken into use by the next start. */
export function goBack(sources: Sources, trial: Trial, news: string): void {
  const files = managementFiles(sources, nicsBeside(sources.configFile), trial.from);
  commitSettings(sources.config.stateDir, files, { trial: null, former: trial.to.address, news });
}

export const sourcesOf = (config: CoServerConfig, configFile: string): Sources => ({
  config,
  configFile,
  source: readFileSync(configFile, 'utf8'),
});

/** Throws the file system's error. */
export function nicsBeside(configFile: string): NewFile {
  const path = nicsFileOf(configFile);
  return { path, text: readFileSync(path, 'utf8') };
}
