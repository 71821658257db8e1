// What the BMC's sensors say: heat, fans, power supplies, voltages, and the states of memory and processors.
//
// Levels are by the board maker's own thresholds: nobody knows the board better. One thing they do not see: a fan that turns slower
// than it did. Fans follow the heat, all of them together, so a fan is compared with its siblings and not with its own past.
import type { FaultCode } from './catalogue.ts';
import type { Diagnosis, Finding, SensorReading } from './types.ts';

/** Of each fan: its speed as a share of the median of all, averaged over about LEARN_READINGS readings. */
export interface SensorsMemory {
  fans: ReadonlyMap<string, { share: number; readings: number }>;
}
export const FRESH_SENSORS: SensorsMemory = { fans: new Map() };

/** With fewer there is no median to speak of. */
const FANS_FOR_TREND = 3;
/** An hour at one reading in ten seconds: a bearing that dies takes days. */
const LEARN_READINGS = 360;
/** Before so many readings its usual share is not known. */
const TREND_FROM_READINGS = 30;
/** Of its usual share. Fans of one kind differ by some percent. */
const SLOW_SHARE = 0.75;

export function diagnoseSensors(memory: SensorsMemory, sensors: readonly SensorReading[]): Diagnosis<SensorsMemory> {
  const slow = slowFans(memory, sensors);
  const findings = sensors.flatMap((s) => {
    const code = codeOf(s);
    return code ? [{ code, where: s.name, detail: describe(s) }] : [];
  });
  const named = new Set(findings.map((f) => f.where));
  return { memory: slow.memory, findings: [...findings, ...slow.findings.filter((f) => !named.has(f.where))] };
}

function codeOf(s: SensorReading): FaultCode | null {
  if (s.level === 'absent' || s.level === 'unavailable') return null;
  const isCritical = s.level === 'critical' || s.level === 'nonRecoverable';
  switch (s.kind) {
    case 'temperature':
      if (s.side === 'low') return null;
      return isCritical ? 'temperatureCritical' : s.level === 'nonCritical' ? 'temperatureHigh' : null;
    case 'fan':
      if (s.side === 'high') return null;
      return isCritical ? 'fanFailed' : s.level === 'nonCritical' ? 'fanSlow' : null;
    case 'voltage':
      return isCritical ? 'voltageOutOfRange' : null;
    case 'powerSupply':
      return powerSupply(s, isCritical);
    case 'memory':
      if (says(s, /uncorrectable|parity/i)) return 'memoryUncorrected';
      return says(s, /logging limit/i) ? 'memoryCorrectedRate' : null;
    case 'processor':
      return says(s, /IERR|uncorrectable|machine check exception/i) ? 'processorUncorrected' : null;
    case 'drive':
      return says(s, /predictive/i) ? 'diskPreFail' : says(s, /fault/i) ? 'diskFailing' : null;
    case 'current':
    case 'other':
      return null;
    default:
      return s.kind satisfies never;
  }
}

function powerSupply(s: SensorReading, isCritical: boolean): FaultCode | null {
  if (says(s, /predictive/i)) return 'powerSupplyPreFail';
  if (says(s, /input|AC lost/i)) return 'powerSupplyInputLost';
  return isCritical || says(s, /fail/i) ? 'powerSupplyFailed' : null;
}

function says(s: SensorReading, word: RegExp): boolean {
  return s.states.some((state) => word.test(state));
}

function describe(s: SensorReading): string {
  const value = s.value === null ? '' : `${s.value} ${s.unit}`.trim();
  const level =
    s.level === 'ok'
      ? ''
      : ({ nonCritical: 'not normal', critical: 'critical', nonRecoverable: 'beyond recovery', absent: '', unavailable: '' } as const)[
          s.level
        ];
  return [value, s.side ? `too ${s.side}` : '', level, ...s.states].filter((x) => x !== '').join(', ');
}

function slowFans(memory: SensorsMemory, sensors: readonly SensorReading[]): { memory: SensorsMemory; findings: Finding[] } {
  const fans = sensors.filter((s) => s.kind === 'fan' && s.unit === 'RPM' && s.value !== null && s.value > 0);
  if (fans.length < FANS_FOR_TREND) return { memory, findings: [] };
  const speeds = fans.map((s) => s.value ?? 0).sort((a, b) => a - b);
  const median = speeds[Math.floor(speeds.length / 2)] ?? 0;
  const learned = new Map<string, { share: number; readings: number }>();
  const findings: Finding[] = [];
  for (const fan of fans) {
    const share = (fan.value ?? 0) / median;
    const known = memory.fans.get(fan.name) ?? { share, readings: 0 };
    const isSlow = known.readings >= TREND_FROM_READINGS && share < known.share * SLOW_SHARE;
    if (isSlow)
      findings.push({
        code: 'fanSlow',
        where: fan.name,
        detail: `${fan.value} RPM, ${Math.round((share / known.share) * 100)} % of what it does beside the others`,
      });
    // A slow fan does not teach that slow is usual.
    learned.set(fan.name, isSlow ? known : { share: average(known, share), readings: known.readings + 1 });
  }
  return { memory: { fans: learned }, findings };
}

function average(known: { share: number; readings: number }, share: number): number {
  const weight = 1 / Math.min(known.readings + 1, LEARN_READINGS);
  return known.share + (share - known.share) * weight;
}
