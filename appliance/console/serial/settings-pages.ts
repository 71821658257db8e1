// The page of the settings, and the form of one of them.
import type { SettingsModel } from '../settings-views.ts';
import { type SettingForm, shownValue } from '../settings-views.ts';
import { ascii, BLANK, bold, hanging, type Line, pad, plain } from './layout.ts';

export function settingsLines({ trouble, groups }: SettingsModel, width: number): Line[] {
  if (trouble !== '') return hanging('', trouble, width);
  return [
    bold('Settings of this CoServer: what may be changed after the first start'),
    ...groups.flatMap((g) => [
      BLANK,
      ...hanging('', g.title, width, 'bold'),
      ...hanging('     ', g.now, width),
      ...(g.whyNot === '' ? [] : hanging('     ', `not now: ${g.whyNot}`, width)),
    ]),
    BLANK,
    plain('To change one: press a'),
  ];
}

const LABEL_WIDTH = 36;

export function formLines({ group, at, values, problem }: SettingForm, width: number): Line[] {
  return [
    ...hanging('', group.title, width, 'bold'),
    BLANK,
    ...group.fields.flatMap((field, i): Line[] => {
      const row = `${i === at ? '>' : ' '} ${pad(ascii(field.label), LABEL_WIDTH)} ${ascii(shownValue(field, values[field.id] ?? ''))}`;
      return [[{ text: row.slice(0, width), style: i === at ? 'bold' : 'plain' }]];
    }),
    BLANK,
    ...hanging('', group.effect, width),
    ...(problem === '' ? [] : [BLANK, ...hanging('[!!] ', problem, width, 'bold')]),
  ];
}
