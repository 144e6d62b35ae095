/** A hub, or the network to it, that did not give what was asked for; the message says what to do. */
export class HubError extends Error {
  override readonly name = 'HubError';

  /**
   * @param isPassing whether the same request may succeed later
   * @param waitMs how long the hub asks to wait before that
   */
  constructor(
    message: string,
    readonly isPassing: boolean,
    readonly waitMs?: number,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
