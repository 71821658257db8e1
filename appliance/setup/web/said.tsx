// What a page says: the same pieces as on a terminal, as a browser shows them.
import type { JSX } from 'preact';
import type { Tone } from '../../console/model.ts';
import { Facts, Linked, Mark } from '../../console/web/parts.tsx';
import { type Block, PORT_COLUMNS } from '../blocks.ts';

const TONES: Readonly<Record<'good' | 'note' | 'wrong', Tone>> = { good: 'good', note: 'info', wrong: 'warning' };

/** `fieldAt`: what is asked in a row of ports. */
export function Said({ blocks, fieldAt }: { blocks: readonly Block[]; fieldAt: (id: string) => JSX.Element | null }): JSX.Element {
  return (
    <div class="said">
      {grouped(blocks).map((block, i) => (
        <Piece key={`${i} ${block.kind}`} block={block} fieldAt={fieldAt} />
      ))}
    </div>
  );
}

type Group = Exclude<Block, { kind: 'fact' | 'gap' }> | { kind: 'facts'; facts: { label: string; value: string }[] };

/** Facts that follow each other are one list. */
function grouped(blocks: readonly Block[]): Group[] {
  const groups: Group[] = [];
  for (const block of blocks) {
    const last = groups.at(-1);
    if (block.kind === 'gap') continue;
    if (block.kind !== 'fact') groups.push(block);
    else if (last?.kind === 'facts') last.facts.push(block);
    else groups.push({ kind: 'facts', facts: [block] });
  }
  return groups;
}

function Piece({ block, fieldAt }: { block: Group; fieldAt: (id: string) => JSX.Element | null }): JSX.Element {
  switch (block.kind) {
    case 'text':
      return (
        <p>
          <Linked text={block.text} />
        </p>
      );
    case 'finding':
      return (
        <p class={`finding ${block.tone}`}>
          <Mark tone={TONES[block.tone]} />
          <span>{block.text}</span>
        </p>
      );
    case 'rule':
      return <p class="rule">{block.text}</p>;
    case 'code':
      return <p class="code">{block.text}</p>;
    case 'facts':
      return <Facts facts={block.facts.map(({ label, value }) => ({ label, value: value || 'none', tone: 'info' }))} />;
    case 'table':
      return <Table head={block.columns.map((c) => c.title)} rows={block.rows.map((cells) => ({ key: cells[0] ?? '', cells }))} />;
    case 'ports':
      return (
        <Table
          head={['#', 'use', ...PORT_COLUMNS]}
          rows={block.rows.map((row) => ({ key: row.fieldId, cells: [`${row.number}`, fieldAt(row.fieldId) ?? row.use, ...row.cells] }))}
        />
      );
    default:
      return block satisfies never;
  }
}

function Table({
  head,
  rows,
}: {
  head: readonly string[];
  rows: { key: string; cells: readonly (string | JSX.Element)[] }[];
}): JSX.Element {
  return (
    <div class="wide">
      <table>
        <thead>
          <tr>
            {head.map((title) => (
              <th key={title} scope="col">
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ key, cells }) => (
            <tr key={key}>
              {cells.map((cell, i) => (
                <td key={head[i]}>{cell}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
