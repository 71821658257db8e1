// The two copies of the disk.
import type { JSX } from 'preact';
import type { DiskModel } from '../model.ts';
import { Card, Facts, Mark } from './parts.tsx';

export function Disk({ disk }: { disk: DiskModel | null }): JSX.Element | null {
  if (!disk) return null;
  return (
    <Card
      class="disk"
      title={
        <>
          <Mark tone={disk.tone} /> Disk: {disk.word}
        </>
      }
    >
      <p>{disk.sentence}</p>
      <Facts facts={disk.facts} />
    </Card>
  );
}
