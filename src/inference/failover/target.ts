import type { Encoder } from '../encoder.js';

/** Somewhere a model can run: a device of this machine, or a replica elsewhere. */
export interface Place {
  /** `cuda`, `webgpu`, `cpu` or `replica`. */
  device: string;
  /**
   * Starts the model there.
   * @param onFailure to be told when it has failed for good and only has to be closed
   */
  open(onFailure: (error: Error) => void): Promise<Encoder>;
}

/** A failure whose reason everyone may read, on /health. */
export class PlaceError extends Error {
  override readonly name = 'PlaceError';

  /** @param reason short; no path, address or key */
  constructor(
    readonly reason: string,
    detail: string,
    options?: ErrorOptions,
  ) {
    super(`${reason}: ${detail}`, options);
  }
}
