// The situations of the decision table in a few words, so that "row 5" says something to a person who has not read it.

export const ROWS: Readonly<Record<string, string>> = {
  '1': 'one of the links between the CoServers is down',
  '2': 'all links down, both CoServers alive, both reach the witness',
  '3': 'all links down, one CoServer alone reaches the witness',
  '4': 'links down, no arbiter helps, the CoServers hear each other another way',
  '5': 'partner silent on every path, witness reachable',
  '6': 'partner silent, its management controller answers',
  '6n': 'partner silent, one named CoServer may go on',
  '7': 'partner and its management controller silent',
  '7w': 'partner and witness lost at the same moment',
  '8': 'witness lost, both CoServers well',
  '9': 'witness lost earlier, then the partner',
  '10': 'witness is back, or has lost its memory',
  '11': 'the way to a management controller lost, all else well',
  '12': 'the local disk fails or turns slow',
  '13': 'network dead on one CoServer, or there and the disk dead on the other',
  '14': 'both copies have bad sectors at different places',
  '15': 'the copies differ with no write in flight',
  '16': 'early signs of a hardware failure',
  '17': 'uncorrectable memory or processor error, or kernel panic, of a CoServer',
  '18': 'a CoServer was asleep for a while and woke',
  '19': "the workload's operating system crashed",
  '20': 'the replicas differ too often, or too many checkpoints',
  '21': 'both CoServers were off, both are back',
  '22': 'both were off, only the last one to run alone is back',
  '23': 'both were off, one that did not run alone is back',
  '24': 'the partner was lost too often',
  '25': 'two histories: the operator must choose',
  '26': 'the disk of the CoServer that runs alone fails',
  '27': 'no mains, on one CoServer or on both',
  '28': 'planned maintenance of one CoServer',
  '29': 'the software versions differ',
  '30': 'the clock jumped',
  '31': 'the secondary is broken inside',
};

/** '5' -> 'row 5: partner silent on every path, witness reachable'; an unknown row keeps its number. */
export function rowText(row: string): string {
  const situation = ROWS[row];
  return situation === undefined ? `row ${row}` : `row ${row}: ${situation}`;
}
