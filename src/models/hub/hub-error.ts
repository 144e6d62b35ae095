/** A request to a hub that failed; the message says what to do. */
export class HubError extends Error {
  override readonly name = 'HubError';

  /**
   * @param isTransient whether the same request may succeed later
   * @param retryAfterMs the delay that the hub demands before that
   */
  constructor(
    message: string,
    readonly isTransient: boolean,
    readonly retryAfterMs?: number,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
