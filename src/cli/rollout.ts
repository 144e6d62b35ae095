import type { Static } from 'typebox';
import { type Connection, call } from '../client/http.js';
import type { RolloutStatus } from '../http/schemas/rollout.js';

type Status = Static<typeof RolloutStatus>;

const ROUTE = '/admin/rollout';

export interface Shares {
  /** Percent of searches that the candidate answers. */
  share?: number | undefined;
  /** Percent of the others that it is given as well. */
  shadow?: number | undefined;
}

/** The steps of a rollout; each gives where it stands afterwards, in lines. */
export const rolloutSteps = {
  status: (to: Connection) => ask(to, 'GET', ROUTE),
  start: (to: Connection, model: string, shares: Shares) => ask(to, 'POST', ROUTE, { model, ...toBody(shares) }),
  share: (to: Connection, shares: Shares) => ask(to, 'PATCH', ROUTE, toBody(shares)),
  promote: (to: Connection, force: boolean) => ask(to, 'POST', `${ROUTE}/promote?force=${force}`),
  rollback: (to: Connection, force: boolean) => ask(to, 'POST', `${ROUTE}/rollback?force=${force}`),
  drop: (to: Connection) => ask(to, 'DELETE', ROUTE),
};

async function ask(to: Connection, method: string, route: string, body?: object): Promise<string[]> {
  return describe(await call<Status>(to, method, route, body));
}

const toBody = ({ share, shadow }: Shares) => ({
  ...(share === undefined ? {} : { share_percent: share }),
  ...(shadow === undefined ? {} : { shadow_percent: shadow }),
});

function describe(status: Status): string[] {
  const { phase, candidate, previous, missed, comparisons } = status;
  const lines = [line('default', status.default)];
  if (candidate !== undefined) {
    lines.push(line('candidate', candidate));
    lines.push(
      `searches   ${status.share_percent} % by the candidate; it shadows ${status.shadow_percent} % of the others`,
    );
  }
  if (previous !== undefined) lines.push(line('previous', previous));
  if (phase === 'none') return [...lines, 'no rollout'];
  lines.push(`missed     ${missed.count} items${missed.count === 0 ? '' : `: ${missed.ids.join(', ')}`}`);
  const { count, overlap_at_10: overlap, default_ms: first, candidate_ms: second } = comparisons;
  if (overlap === null || first === null || second === null) return lines;
  const latency = ({ p50, p95 }: { p50: number; p95: number }) => `${p50} ms (p95 ${p95})`;
  lines.push(
    `compared   ${count} searches: overlap@10 ${overlap}; default ${latency(first)}, candidate ${latency(second)}`,
  );
  return lines;
}

function line(role: string, { id, items, loaded = true }: Status['default'] & { loaded?: boolean }): string {
  const size = items === undefined ? '' : `, ${items} items`;
  return `${role.padEnd(9)}  ${id}${size}${loaded ? '' : ', not loaded'}`;
}
