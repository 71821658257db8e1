// The page of the software. A file cannot come over this line: the page says where it can.
import type { ConsoleModel, ProgressModel, SoftwareModel } from '../model.ts';
import { ascii, BLANK, bold, factLines, hanging, indented, type Line, pad, plain, progressBar, sideBySide, toneMark } from './layout.ts';

const LABEL_WIDTH = 10;

export function softwareLines(m: ConsoleModel, width: number): Line[] {
  const { software: s } = m;
  const column = Math.floor((width - 3) / 2);
  const [left = [], right = []] = s.servers.map((server) => [
    bold(pad(ascii(`CoServer ${server.name}${server.here ? ' (this one)' : ''}`), column)),
    ...factLines(server.facts, LABEL_WIDTH, column),
  ]);
  return [
    ...hanging(`${toneMark(s.tone)} Software: `, s.word, width, 'bold'),
    ...hanging('     ', s.sentence, width),
    ...(s.servers.length === 0 ? [] : [BLANK, ...sideBySide(left, right, column, '   ')]),
    ...pairLines(s, width),
    ...(s.upload ? [BLANK, ...transferLines(s.upload, width)] : []),
    ...uploadLines(m, width),
    ...(s.actions.length === 0 ? [] : [BLANK, bold('What can be asked for: press a'), ...actionBriefLines(s, width)]),
  ];
}

function pairLines({ pair }: SoftwareModel, width: number): Line[] {
  if (!pair) return [];
  return [
    BLANK,
    ...hanging(`${toneMark(pair.tone)} `, pair.title, width, 'bold'),
    ...hanging('     ', pair.text, width),
    ...(pair.progress ? indented(transferLines(pair.progress, width - 5), 5) : []),
  ];
}

function transferLines(p: ProgressModel, width: number): Line[] {
  return [plain(`${progressBar(p.fraction, 30)} ${p.percent}`), ...hanging('', `${p.what}: ${p.detail}`, width)];
}

function uploadLines({ software: s, consoles }: ConsoleModel, width: number): Line[] {
  if (s.whyNoUpload === null) return [];
  if (s.whyNoUpload !== '') return [BLANK, ...hanging('', `No upload now: ${s.whyNoUpload}`, width)];
  const own = consoles.find((c) => c.here);
  return [
    BLANK,
    ...hanging('', `To update: upload the file twinstep-VERSION.update on the web console${own ? `, ${own.url}` : ''}.`, width),
  ];
}

/** Those that are possible: why another is not is said where it would be asked for. */
const actionBriefLines = ({ actions }: SoftwareModel, width: number): Line[] =>
  actions.filter((a) => a.allowed).flatMap((a) => hanging('  - ', a.reason === '' ? a.label : `${a.label}: ${a.reason}`, width));
