// Snapshot -> view models. Every console (web, serial, command line) renders these and nothing else, so that none of them knows
// more than another: a fact that is worth showing gets a line here, a chart is only another way to draw it.
// Pure: no clock (ages are counted from the snapshot's own time), no I/O.
import type { Snapshot } from '../core/snapshot.ts';
import { actionModels } from './action-views.ts';
import { arbiterModel, attentionModels } from './attention-views.ts';
import { diskModel } from './disk-views.ts';
import { printable } from './format.ts';
import { hardwareModel } from './hardware-views.ts';
import { eventModels, figureGroups, takeoverModel } from './history-views.ts';
import { auditModel, incidentModels, modeModel } from './lockstep-views.ts';
import { coServerModel, headlineModel, linkModel, progressModel, singlePointsModel, workloadModel } from './pair-views.ts';
import { pointsModel } from './point-views.ts';
import { SETTINGS_NOT_ASKED, type SettingsState } from './settings-state.ts';
import { settingsModel } from './settings-views.ts';
import { NOT_ASKED, type UpdateState } from './update-state.ts';
import { softwareModel } from './update-views.ts';
import type { ConsoleModel } from './view-models.ts';

export { actionGroups } from './action-views.ts';
export { EVENTS_SHOWN } from './history-views.ts';
export type { UpdatePicture, UpdateState, UpdateVerb } from './update-state.ts';
export type { SoftwareModel } from './update-views.ts';
export type * from './view-models.ts';

/** `update`, `settings`: what is known of this server's software and settings, for those that show them. */
export function consoleModel(s: Snapshot, update: UpdateState = NOT_ASKED, settings: SettingsState = SETTINGS_NOT_ASKED): ConsoleModel {
  const actions = actionModels(s);
  return {
    headline: headlineModel(s),
    attention: attentionModels(s, actions),
    arbiter: arbiterModel(s),
    coServers: (['A', 'B'] as const).map((name) => coServerModel(s, name)),
    links: s.links.map((link) => linkModel(link, s.at)),
    workload: workloadModel(s),
    mode: modeModel(s),
    audit: auditModel(s),
    disk: diskModel(s),
    hardware: hardwareModel(s),
    incidents: incidentModels(s.incidents),
    progress: progressModel(s),
    singlePoints: singlePointsModel(s),
    events: eventModels(s.timeline),
    takeover: takeoverModel(s.takeovers),
    figures: figureGroups(s),
    recent: s.checkpoints.recent,
    actions,
    points: pointsModel(s, actions),
    consoles: (s.consoles ?? []).map((c) => ({ ...c, url: printable(c.url), here: c.coServer === s.coServer })),
    software: softwareModel(s, update),
    settings: settingsModel(settings),
    lab: s.lab,
  };
}
