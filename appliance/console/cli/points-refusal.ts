// What the commands about restore points have in common.

/** Refused: by the process, or by what is needed here. Its message is the operator's. */
export class PointsRefusal extends Error {
  override name = 'PointsRefusal';
}

export interface PointExportAnswer {
  socketPath: string;
  exportName: string;
  sizeBytes: number;
}
