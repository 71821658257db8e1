// The page of the restore points; the command line prints the same lines.
import type { ConsoleModel } from '../model.ts';
import { BLANK, bold, hanging, type Line, plain, toneMark } from './layout.ts';

export function pointLines({ points: p }: ConsoleModel, width: number): Line[] {
  return [
    bold('Restore points'),
    ...hanging(`${toneMark(p.tone)} `, p.brief, width),
    ...(p.take && !p.take.allowed ? hanging('     ', `None can be taken now: ${p.take.reason}`, width) : []),
    ...p.points.flatMap((point) => [
      BLANK,
      ...hanging(`${toneMark(point.tone)} `, `${point.name}, ${point.when} UTC`, width, 'bold'),
      ...hanging('     ', `${point.kind}, on ${point.on}, keeps ${point.kept} here${point.inUse ? ', being read now' : ''}`, width),
      ...(point.trouble === '' ? [] : hanging('     ', point.trouble, width)),
    ]),
    ...(p.more > 0 ? [BLANK, plain(`and ${p.more} older ones`)] : []),
    ...(p.whyNotBack === '' ? [] : [BLANK, ...hanging('', `To go back to one: ${p.whyNotBack}`, width)]),
  ];
}
