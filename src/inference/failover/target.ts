import type { Encoder } from '../encoder.js';

/** Somewhere a model can run: a device of this machine, or an upstream service. */
export interface Target {
  /** `cuda`, `webgpu`, `cpu` or `replica`; the last is the name of an upstream in metrics and on /health. */
  device: string;
  /**
   * Starts the model on the target.
   * @param onFailure called when the encoder has failed for good and only has to be closed
   */
  open(onFailure: (error: Error) => void): Promise<Encoder>;
}

/** A failure of a target, with a reason that is public: /health shows it. */
export class TargetError extends Error {
  override readonly name = 'TargetError';

  /**
   * @param reason short, without paths, addresses or keys
   * @param detail for the log
   */
  constructor(
    readonly reason: string,
    detail: string,
    options?: ErrorOptions,
  ) {
    super(detail === '' ? reason : `${reason}: ${detail}`, options);
  }
}
