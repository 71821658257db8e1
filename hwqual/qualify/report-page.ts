// The report as one HTML page that needs nothing else and prints on paper: the verdict on top, then what stands against it. Pure.
import type { BurnInSection } from './burn-in-section.ts';
import { byUrgency, LEVEL_NAMES, labelsOf, type Report, type Server, type SignedReport } from './report.ts';

const VERDICTS: Record<Report['verdict'], string> = {
  passed: 'Qualified for lockstep',
  refused: 'Not qualified for lockstep',
  unknown: 'Not qualified for lockstep: not all is known',
};
const POLICIES: Record<Report['policy'], string> = {
  identical: 'identical: all that affects how a guest executes is the same',
  sameFamily: 'same family: processors of one family with the same features; the rest may differ',
};
type Item = Report['items'][number];

const STYLE = `
:root{color-scheme:light;--ink:#1c2330;--quiet:#5b6577;--edge:#d8dde6;--panel:#f5f6f8;--good:#0a7d43;--bad:#b3261e;--warn:#8a5a00}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1080px;padding:28px 24px 56px;font:14px/1.45 system-ui,"DejaVu Sans",sans-serif;color:var(--ink);background:#fff}
h1{font-size:24px;margin:0 0 2px}h2{font-size:17px;margin:28px 0 8px;break-after:avoid}p{margin:4px 0}.quiet{color:var(--quiet)}
.verdict{border:1px solid var(--edge);border-left:8px solid var(--bad);background:var(--panel);padding:12px 16px;margin:16px 0;break-inside:avoid}
.verdict.passed{border-left-color:var(--good)}.verdict.unknown{border-left-color:var(--warn)}
.verdict strong{display:block;font-size:20px}.verdict p{overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;table-layout:fixed}
th,td{padding:5px 8px;border-bottom:1px solid var(--edge);text-align:left;vertical-align:top;overflow-wrap:anywhere}
th{color:var(--quiet);font-weight:600;font-size:12px}thead{display:table-header-group}tr{break-inside:avoid}
td small{display:block;font-weight:400;color:var(--quiet);font-size:12px}
.items col.what{width:20%}.items col.value{width:20%}.items col.mark,.burn-in col.mark{width:13%}.burn-in col.what{width:20%}.burn-in col.figures{width:26%}td.figures{font-size:12px;color:var(--quiet)}
.mark{font-weight:700}.refused .mark{color:var(--bad)}.unknown .mark{color:var(--warn)}.waived .mark{color:var(--quiet)}
.identical .mark,.passed .mark{color:var(--good)}.refused td:first-child,.unknown td:first-child{font-weight:600}
.facts col.what{width:16%}.facts th{font-size:14px}code{font:12px/1.4 "DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
ul{margin:4px 0;padding-left:20px}footer{margin-top:28px;border-top:2px solid var(--ink);padding-top:10px;break-inside:avoid}
@media screen and (max-width:760px){.scroll{overflow-x:auto}.scroll table{width:720px}}
@page{size:A4;margin:14mm}
@media print{body{max-width:none;padding:0;font-size:10.5pt}h1{font-size:17pt}h2{font-size:13pt}.verdict{background:none;print-color-adjust:exact;-webkit-print-color-adjust:exact}th,td{padding:3px 6px}}`;

/** All text of a server is foreign: firmware writes what it likes. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

export function reportPage(report: SignedReport): string {
  const h = escapeHtml;
  const [nameA, nameB] = labelsOf(report);
  const sorted = byUrgency(report.items);
  const open = sorted.filter((i) => i.waived === null && (i.verdict === 'refused' || i.verdict === 'unknown'));
  const rest = sorted.filter((i) => !open.includes(i));
  const failed = (report.burnIn ?? []).filter((b) => b.verdict === 'failed');
  const table = (items: readonly Item[]) =>
    `<div class="scroll"><table class="items"><colgroup><col class="what"><col class="value"><col class="value"><col class="mark"><col></colgroup>
<thead><tr><th>What</th><th>${h(nameA)}</th><th>${h(nameB)}</th><th>Verdict</th><th>Rule</th></tr></thead><tbody>
${items.map(itemRow).join('\n')}
</tbody></table></div>`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Twinstep: qualification of ${h(nameA)} and ${h(nameB)}, ${h(report.madeAt.slice(0, 10))}</title>
<style>${STYLE}</style></head><body>
<h1>Qualification of two servers</h1>
<p class="quiet">Twinstep ${h(report.version)}, ${h(dateOf(report.madeAt))}</p>
<div class="verdict ${failed.length > 0 ? 'refused' : report.verdict}"><strong>${VERDICTS[report.verdict]}</strong>
${failed.map((b) => `<p><b>The burn-in of CoServer ${b.coServer} failed.</b></p>`).join('')}
<p>${h(countsOf(report))}</p>
<p>Possible: ${h(report.levels.map((l) => LEVEL_NAMES[l]).join('; '))}.</p>
<p>Policy ${h(POLICIES[report.policy])}.${report.profile ? ` Profile ${h(report.profile.id)}: ${h(report.profile.title)}.` : ''}</p></div>
<h2>The servers</h2>
${serversTable(report, [nameA, nameB])}
${open.length > 0 ? `<h2>What stands against it</h2>${table(open)}` : ''}
${(report.burnIn ?? []).map(burnIn).join('\n')}
<h2>${open.length > 0 ? 'All else' : 'All that was compared'}</h2>
${table(rest)}
${unreadable(report, [nameA, nameB])}
${report.profile ? `<h2>Profile ${h(report.profile.id)}</h2><p>${h(report.profile.notes)}</p>` : ''}
<footer><p>Signed (Ed25519) with the key</p><p><code>${h(report.signature.fingerprint)}</code></p>
<p class="quiet">Compare it with the fingerprint that <code>twinstep qualify</code> shows on the server that made this report. The signature itself is in the
report's JSON file: twinstep can tell by it whether that file was changed. This page is its picture.</p>
<p>Signature <code>${h(report.signature.value)}</code></p></footer>
</body></html>
`;
}

function itemRow(item: Item): string {
  const { title, id, a, b, verdict, rule, waived } = item;
  const [kind, word] = waived === null ? [verdict, verdict] : ['waived', `${verdict}, waived`];
  const why = waived === null ? rule : `Waived by the profile: ${waived}. ${rule}`;
  const cells = [`${escapeHtml(title)}<small>${escapeHtml(id)}</small>`, escapeHtml(a), escapeHtml(b)].map((c) => `<td>${c}</td>`).join('');
  return `<tr class="${kind}">${cells}<td class="mark">${word}</td><td>${escapeHtml(why)}</td></tr>`;
}

export function countsOf({ items }: Pick<Report, 'items'>): string {
  const count = (pick: (i: Item) => boolean): number => items.filter(pick).length;
  const groups: [number, string][] = [
    [count((i) => i.waived === null && i.verdict === 'refused'), 'refused'],
    [count((i) => i.waived === null && i.verdict === 'unknown'), 'unknown'],
    [count((i) => i.waived !== null), 'waived by the profile'],
    [count((i) => i.verdict === 'compatible'), 'compatible'],
    [count((i) => i.verdict === 'identical'), 'identical'],
  ];
  const told = groups.filter(([n]) => n > 0).map(([n, word]) => `${n} ${word}`);
  return `${items.length} items compared: ${told.join(', ')}.`;
}

function serversTable({ a, b }: Report, names: readonly [string, string]): string {
  const row = (title: string, of: (s: Server) => string | null): string =>
    `<tr><th>${title}</th>${[a, b].map((s) => `<td>${escapeHtml(of(s) ?? 'not known')}</td>`).join('')}</tr>`;
  return `<div class="scroll"><table class="facts"><colgroup><col class="what"><col><col></colgroup><thead><tr><th></th>${names.map((n) => `<th>${escapeHtml(n)}</th>`).join('')}</tr></thead><tbody>
${row('Server', ({ facts: { inventory: i } }) => [i.system.vendor, i.system.product].filter((x) => x !== null).join(' ') || null)}
${row('Serial number', ({ facts }) => facts.inventory.system.serial)}
${row('BIOS', ({ facts: { inventory: i } }) => i.bios.version && `${i.bios.version}${i.bios.date ? ` of ${i.bios.date}` : ''}`)}
${row('Processors', ({ facts: { inventory: i } }) => i.cpu.model && `${i.cpu.model}, microcode ${i.cpu.microcode ?? 'not known'}`)}
${row('Read', ({ source }) => (source.kind === 'live' ? 'now, from the server' : `${dateOf(source.savedAt)}, from ${source.file}`))}
${row('Signed by', ({ source }) => (source.kind === 'live' ? 'not signed: asked over the pair’s own links, or read here' : source.fingerprint))}
</tbody></table></div>`;
}

function unreadable({ a, b }: Report, names: readonly [string, string]): string {
  const lists = [a, b].map(({ facts }, i) => facts.inventory.unreadable.map((text) => `<li>${names[i] ?? ''}: ${escapeHtml(text)}</li>`));
  const all = lists.flat();
  return all.length === 0 ? '' : `<h2>What could not be read</h2><ul>${all.join('')}</ul>`;
}

const TEST_VERDICTS = { pass: ['passed', 'passed'], fail: ['refused', 'failed'], notTested: ['unknown', 'not tested'] } as const;

function burnIn(section: BurnInSection): string {
  const h = escapeHtml;
  const row = ({ title, verdict, figures, reason }: BurnInSection['tests'][number]): string => {
    const [kind, word] = TEST_VERDICTS[verdict];
    const told = Object.entries(figures).filter(([, figure]) => figure !== null);
    const list = told.map(([name, figure]) => `${h(name)} ${h(String(figure))}`).join('<br>');
    return `<tr class="${kind}"><td>${h(title)}</td><td class="mark">${word}</td><td>${h(reason)}</td><td class="figures">${list}</td></tr>`;
  };
  const smallest = section.smallestHeartbeatTimeoutMs;
  const minutes = Math.round(section.durationS / 6) / 10;
  return `<h2>Burn-in of CoServer ${section.coServer}: ${section.verdict}</h2>
<p class="quiet">${h(dateOf(section.startedAt))}, ${minutes} minutes.${smallest === null ? '' : ` The smallest heartbeat.timeoutMs that it allows: ${smallest}.`}</p>
<div class="scroll"><table class="burn-in"><colgroup><col class="what"><col class="mark"><col><col class="figures"></colgroup>
<thead><tr><th>Test</th><th>Verdict</th><th>What was found</th><th>Figures</th></tr></thead><tbody>${section.tests.map(row).join('\n')}</tbody></table></div>`;
}

/** "2026-11-21 13:05 UTC". */
export function dateOf(iso: string): string {
  return `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC`;
}
