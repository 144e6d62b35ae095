import { Problem } from '../common/errors.js';

/** Bytes that the files of one request may have together: a short request must not make much be fetched. */
export class ByteBudget {
  private spent = 0;

  constructor(private readonly limitBytes: number) {}

  /** @throws Problem `too_large` when that is more than was left */
  spend(bytes: number): void {
    this.spent += bytes;
    if (this.spent <= this.limitBytes) return;
    const detail = `The files of one request may have ${this.limitBytes / 1e6} MB together.`;
    throw new Problem('too_large', detail, { limit_bytes: this.limitBytes });
  }
}
