import type { Progress } from '../../lib/progress.js';

/**
 * `starting`: the ports are open, every request is answered 503. `ready`: requests are served. `draining`: readiness
 * fails, requests are served, and their replies close the connection. `closing`: what remains is refused.
 */
export type Phase = 'starting' | 'ready' | 'draining' | 'closing';

/** Where the process is in its life, for probes, metrics and replies. */
export class Lifecycle implements Progress {
  phase: Phase = 'starting';
  /** The current step of the start. */
  activity = 'loading the program';
  /** Part of this step that is done, from 0 to 1, where it is known. */
  progress: number | undefined;

  /** @param cancelled aborted when the process is told to stop: a start ends at its next step */
  constructor(private readonly cancelled?: AbortSignal) {}

  begin(activity: string): void {
    if (this.phase !== 'starting') return;
    this.cancelled?.throwIfAborted();
    this.activity = activity;
    this.progress = undefined;
  }

  advance(activity: string, ratio: number): void {
    if (this.phase !== 'starting') return;
    this.activity = activity;
    this.progress = ratio;
  }

  /** The current step, as a sentence says it: `replaying the journal of onespace-mini: 40 %`. */
  describeStart(): string {
    return this.progress === undefined ? this.activity : `${this.activity}: ${Math.floor(100 * this.progress)} %`;
  }
}
