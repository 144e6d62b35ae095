import { LRUCache } from 'lru-cache';

/** Wrong keys of one network that are answered at once: a client with an old key, or several behind one address. */
const FREE_ATTEMPTS = 10;
/** The first pause; each further wrong key doubles it. */
const FIRST_PAUSE_MS = 1000;
const MAX_PAUSE_MS = 60_000;
/** A network without wrong keys for this long starts anew. */
const FORGET_MS = 15 * 60_000;
/** About 2 MB; the network that was quiet for the longest time is forgotten first. */
const MAX_NETWORKS = 10_000;

interface Failures {
  count: number;
  /** When the next wrong key is looked at again, in milliseconds of `performance.now()`. */
  pauseEndMs: number;
}

/**
 * Slows down who tries keys. Only wrong keys are counted and only they have to wait: a right one is accepted at once,
 * regardless of other callers behind its address.
 */
export class WrongKeys {
  private readonly networks = new LRUCache<string, Failures>({ max: MAX_NETWORKS, ttl: FORGET_MS });

  /** Counts a wrong key. @returns seconds that the network has to wait; 0 when this key is still answered as wrong */
  count(network: string, nowMs = performance.now()): number {
    const { count, pauseEndMs } = this.networks.get(network) ?? { count: 0, pauseEndMs: 0 };
    if (nowMs < pauseEndMs) return Math.ceil((pauseEndMs - nowMs) / 1000);
    const beyond = count + 1 - FREE_ATTEMPTS;
    const pauseMs = beyond < 0 ? 0 : Math.min(FIRST_PAUSE_MS * 2 ** beyond, MAX_PAUSE_MS);
    this.networks.set(network, { count: count + 1, pauseEndMs: nowMs + pauseMs });
    return 0;
  }
}
