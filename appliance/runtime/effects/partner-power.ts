// The partner's BMC, as the configuration names it.
import { openIpmi, type PowerOffEvidence, powerOffVerified, readPower } from '../../../drivers/ipmi/index.ts';
import type { CoServerConfig } from '../../config.ts';
import { loadFencePassword } from '../load-config.ts';
import type { PartnerPower } from './fence.ts';

/** With the links' carrier below the core's fenceBiasMs: while this side still tries, the partner does not shoot back. */
const OFF_WITHIN_MS = 9_000;
/** Whether it was on before, is worth a moment only. */
const FIRST_LOOK_MS = 500;

/** Null: none is configured. Throws a ConfigError when its password cannot be read. */
export function partnerPower({ address, port, username, passwordFile, cipherSuite }: CoServerConfig['fence']): PartnerPower | null {
  if (address === '') return null;
  const target = { address, port, username, password: loadFencePassword(passwordFile), cipherSuite };
  return {
    read: async () => ((await readPower(target)).on ? 'on' : 'off'),
    offVerified: async () => {
      const wasOn = await readPower(target, { signal: AbortSignal.timeout(FIRST_LOOK_MS) }).then(
        ({ on }) => on,
        () => true,
      );
      const evidence = await powerOffVerified(target, { deadlineMs: OFF_WITHIN_MS });
      return { word: describe(address, evidence), wasOn };
    },
    on: async () => {
      const session = await openIpmi(target);
      try {
        await session.chassisControl('on');
      } finally {
        await session.close();
      }
    },
  };
}

function describe(address: string, { firstOffMs, secondOffMs, cipherSuite }: PowerOffEvidence): string {
  return `${address} read as off ${Math.round(firstOffMs)} and ${Math.round(secondOffMs)} ms after it was asked, cipher suite ${cipherSuite}`;
}
