// The page of the hardware: what is wrong first, then what is read, then what the server is; the command line prints the same lines.
import type { ConsoleModel, FaultModel, FigureGroup, HardwareModel, QualificationModel } from '../model.ts';
import { ascii, BLANK, bold, factLines, hanging, indented, type Line, pad, plain, sideBySide, toneMark } from './layout.ts';

const LABEL_WIDTH = 14;
const SENSOR_LABEL_WIDTH = 18;

export function hardwareLines({ hardware: h }: ConsoleModel, width: number): Line[] {
  if (!h) return [plain('The hardware is not known here.')];
  return [
    ...hanging(`${toneMark(h.tone)} Hardware: `, h.word, width, 'bold'),
    ...hanging('     ', h.sentence, width),
    ...h.faults.flatMap((f) => [BLANK, ...faultLines(f, width)]),
    BLANK,
    ...qualificationLines(h.qualification, width),
    ...readingLines(h, width),
    ...(h.more === '' ? [] : [BLANK, ...hanging('', h.more, width)]),
    ...(h.sources.length === 0 ? [] : [BLANK, bold('What is read, and how that goes'), ...factLines(h.sources, LABEL_WIDTH, width)]),
    ...(h.server.length === 0 ? [] : [BLANK, bold('This server'), ...factLines(h.server, LABEL_WIDTH, width)]),
  ];
}

/** For the overview. */
export function hardwareBriefLines({ hardware: h }: ConsoleModel, width: number): Line[] {
  return h ? hanging(`${toneMark(h.tone)} Hardware `, h.brief, width) : [];
}

function faultLines(f: FaultModel, width: number): Line[] {
  return [
    ...hanging(`${toneMark(f.tone)} `, f.title, width, 'bold'),
    ...indented(factLines(f.facts, LABEL_WIDTH, width - 5), 5),
    ...f.evidence.flatMap((line, i) => hanging(`     ${pad(i === 0 ? 'Read before' : '', LABEL_WIDTH)} `, line, width)),
  ];
}

function qualificationLines(q: QualificationModel, width: number): Line[] {
  return [
    ...hanging(`${toneMark(q.tone)} Qualification: `, q.word, width, 'bold'),
    ...hanging('     ', q.sentence, width),
    ...q.items.flatMap((i) => [
      ...hanging(`     ${toneMark(i.tone)} `, `${i.item}: ${i.verdict}`, width),
      ...(i.verdict === 'identical'
        ? hanging('          ', i.a, width)
        : [...hanging('          A: ', i.a, width), ...hanging('          B: ', i.b, width), ...hanging('          ', i.rule, width)]),
    ]),
  ];
}

/** Sensors are short, two columns; disks and ports need the whole width. */
function readingLines({ readings }: HardwareModel, width: number): Line[] {
  const column = Math.floor((width - 3) / 2);
  const narrow = readings.filter((g) => g.kind === 'sensors').map((g) => block(g, SENSOR_LABEL_WIDTH, column));
  const wide = readings.filter((g) => g.kind === 'parts').flatMap((g) => [BLANK, ...block(g, LABEL_WIDTH, width)]);
  const pairs = narrow.flatMap((left, i) => (i % 2 === 0 ? [BLANK, ...sideBySide(left, narrow[i + 1] ?? [], column, '   ')] : []));
  return [...pairs, ...wide];
}

const block = (g: FigureGroup, label: number, width: number): Line[] => [
  bold(pad(ascii(g.title), width)),
  ...factLines(g.facts, label, width),
];
