import { setTimeout as sleep } from 'node:timers/promises';
import type { VectorStore } from '../store/vector-store.js';

/** Probes must answer in time: after this long, what was known before holds. */
const PATIENCE_MS = 1000;

/** Whether the store of a model can serve now. */
export class StoreProbe {
  /** Since when it cannot. */
  downSince: Date | undefined;
  /** What it answered last, where it cannot. */
  failure: unknown;
  private checking: Promise<void> | undefined;

  constructor(private readonly store: VectorStore) {}

  /** Asks the store; callers at the same time share one question. */
  async isUp(): Promise<boolean> {
    this.checking ??= this.check().finally(() => {
      this.checking = undefined;
    });
    await Promise.race([this.checking, sleep(PATIENCE_MS, undefined, { ref: false })]);
    return this.downSince === undefined;
  }

  private async check(): Promise<void> {
    try {
      await this.store.check();
      this.downSince = undefined;
    } catch (error) {
      this.downSince ??= new Date();
      this.failure = error;
    }
  }
}
