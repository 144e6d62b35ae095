/** Follows a long piece of work, step by step. */
export interface Progress {
  /** The next step begins: `loading onespace-mini`. @throws when the work has been cancelled and must end here */
  begin(activity: string): void;
  /** So much of an activity is done, from 0 to 1. It does not throw. */
  advance(activity: string, ratio: number): void;
}
