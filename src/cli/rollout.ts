import { Command } from 'commander';
import type { Static } from 'typebox';
import { call } from '../client/http.js';
import type { RolloutStatus } from '../http/schemas/rollout.js';
import { connectionOf } from './connection.js';

type Status = Static<typeof RolloutStatus>;

const ROUTE = '/admin/rollout';

interface TrafficOptions {
  /** Percent of the searches that the candidate answers. */
  share?: number | undefined;
  /** Percent of the other searches that the candidate runs as well. */
  shadow?: number | undefined;
}

export const command = new Command('rollout').description(
  'replace the default model with another one while the service runs',
);

command
  .command('start')
  .description('load a candidate beside the default model; from now on writes go to both indexes')
  .argument('<model>', 'name of a folder under models/, or a path that the service can read')
  .option('--share <percent>', 'percent of the searches that the candidate answers (default: 0)', Number)
  .option('--shadow <percent>', 'percent of the others that it runs as well, to compare (default: 100)', Number)
  .action((model: string, options: TrafficOptions, self: Command) =>
    send(self, 'POST', ROUTE, { model, ...toBody(options) }),
  );

command
  .command('share')
  .description('set how many of the searches the candidate answers')
  .argument('<percent>', 'percent of the searches', Number)
  .option('--shadow <percent>', 'percent of the others that it runs as well, to compare', Number)
  .action((share: number, { shadow }: TrafficOptions, self: Command) =>
    send(self, 'PATCH', ROUTE, toBody({ share, shadow })),
  );

for (const [step, description] of [
  ['promote', 'make the candidate the default model'],
  ['rollback', 'make the model before the promotion the default again'],
] as const) {
  command
    .command(step)
    .description(description)
    .option('--force', 'even when items are missing in its index', false)
    .action(({ force }: { force: boolean }, self: Command) => send(self, 'POST', `${ROUTE}/${step}?force=${force}`));
}

command
  .command('drop')
  .description('end the rollout: unload the model that is not the default; its index stays on disk')
  .action((_options: object, self: Command) => send(self, 'DELETE', ROUTE));

command
  .command('status')
  .description('print both models, the traffic and how they compare')
  .action((_options: object, self: Command) => send(self, 'GET', ROUTE));

/** Sends one step of a rollout and prints the state after it. */
async function send(self: Command, method: string, route: string, body?: object): Promise<void> {
  const status = await call<Status>(connectionOf(self), method, route, body);
  console.log(describe(status).join('\n'));
}

const toBody = ({ share, shadow }: TrafficOptions) => ({
  ...(share === undefined ? {} : { share_percent: share }),
  ...(shadow === undefined ? {} : { shadow_percent: shadow }),
});

function describe(status: Status): string[] {
  const { phase, candidate, previous, missed: outOfSync, comparisons } = status;
  const lines = [line('default', modelOf(status.default))];
  if (candidate !== undefined) {
    const { share_percent: traffic, shadow_percent: shadow } = status;
    lines.push(line('candidate', modelOf(candidate)));
    lines.push(line('traffic', `${traffic} % of the searches to the candidate; it shadows ${shadow} % of the others`));
  }
  if (previous !== undefined) lines.push(line('previous', modelOf(previous)));
  if (phase === 'none') return [...lines, 'no rollout'];
  const ids = outOfSync.count === 0 ? '' : `: ${outOfSync.ids.join(', ')}`;
  lines.push(line('out of sync', `${outOfSync.count} items${ids}`));
  const { count, overlap_at_10: overlap, default_ms: first, candidate_ms: second } = comparisons;
  if (overlap === null || first === null || second === null) return lines;
  const latencies = `default ${latency(first)}, candidate ${latency(second)}`;
  lines.push(line('compared', `${count} searches: overlap@10 ${overlap}; ${latencies}`));
  return lines;
}

const line = (label: string, text: string): string => `${label.padEnd(11)}  ${text}`;

const latency = ({ p50, p95 }: { p50: number; p95: number }): string => `${p50} ms (p95 ${p95})`;

function modelOf({ id, items, loaded = true }: Status['default'] & { loaded?: boolean }): string {
  return `${id}${items === undefined ? '' : `, ${items} items`}${loaded ? '' : ', not loaded'}`;
}
