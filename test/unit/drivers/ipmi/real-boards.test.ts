// FRU areas and SDR records of real boards (testdata/kontron-vadatech), through the readers.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { decodeFruBoard, decodeFruHeader, decodeFruProduct, fruAreaLength } from '../../../../drivers/ipmi/fru.ts';
import { decodeSdr } from '../../../../drivers/ipmi/sdr.ts';

const TESTDATA = join(import.meta.dirname, '../../../../drivers/ipmi/testdata/kontron-vadatech');

function areasOf(name: string) {
  const fru = readFileSync(join(TESTDATA, `${name}.fru`));
  const header = decodeFruHeader(fru);
  const area = (offset = -1) => fru.subarray(offset, offset + fruAreaLength(fru.subarray(offset)));
  return { header, board: decodeFruBoard(area(header.board)), product: decodeFruProduct(area(header.product)) };
}

t.test('Kontron AM4904: areas far behind the header, a MAC in a field of its own', async (t) => {
  t.same(areasOf('kontron-am4904'), {
    header: { chassis: undefined, board: 264, product: 368 },
    board: {
      manufacturer: 'Kontron',
      product: 'AM4904-SRIO',
      serial: '1111111111',
      partNumber: '1028-5232',
      fileId: 'FRU-S1100-FABRIC-SRIO-4P0-02',
      madeOnS: Date.UTC(2014, 0, 28, 15, 5) / 1000,
      custom: ['MAC=00:00:00:00:00:00/20'],
    },
    product: {
      manufacturer: 'Kontron',
      name: 'AM4904-SRIO',
      partNumber: '1028-5232',
      version: '04',
      serial: '1111111111',
      assetTag: '0000000000',
      fileId: 'FRU-S1100-FABRIC-SRIO-4P0-02',
      custom: [],
    },
  });
});

t.test('VadaTech UTC017: a board without a date', async (t) => {
  const { header, board, product } = areasOf('vadatech-utc017');
  t.same(header, { chassis: undefined, board: 8, product: 136 });
  t.match(board, { manufacturer: 'VadaTech', product: 'UTCA PM', serial: '1111111', partNumber: 'UTC017', fileId: 'MgtCtrl.bin' });
  t.equal(board.madeOnS, undefined);
  t.match(product, { name: 'UTCA PM', partNumber: 'UTC017', version: '05.00', serial: '1111111', assetTag: '', custom: ['5D32'] });
});

t.test("SDR records: a sensor of the maker's own entity, a FRU device, one that is only kept", async (t) => {
  const records = readFileSync(join(TESTDATA, 'kontron-sdr.txt'), 'utf8')
    .split('\n')
    .filter((line) => /^[0-9a-f]+$/.test(line))
    .map((line) => decodeSdr(Buffer.from(line, 'hex')));
  t.match(records, [
    { id: 211, type: 2, sensor: { owner: 0x82, number: 211, entity: 0xc1, entityInstance: 100, sensorType: 0x21, eventType: 0x6f } },
    { id: 2, type: 0x11, fru: { owner: 0x82, device: 3, logical: true, name: 'Kontron MCMC' } },
    { id: 69, type: 0x13 },
  ]);
  t.match(records[0], { sensor: { name: 'A4:Pres SFP-1', unit: '', readable: true } });
});
