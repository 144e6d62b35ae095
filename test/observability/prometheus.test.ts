import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { freePort } from '../free-port.js';
import { jpeg, mp4 } from '../media-files.js';
import { ServiceProcess } from '../service-process.js';

/** A real Prometheus with the alerts of the repository reads the real service, and every expression has data. */

const prometheus = spawnSync('prometheus', ['--version']).status === 0;
if (!prometheus) console.warn("LEFT OUT: no expression is tried, since Debian's prometheus is not installed.");

const DASHBOARD = 'deploy/grafana/dashboards/onespace.json';
const SOON = { timeout: 60_000, interval: 1000 };

/** Series that a service without these does not have. */
const WITHOUT: Record<string, string> = {
  onespace_gpu_memory_used_bytes: 'a GPU',
  onespace_gpu_memory_total_bytes: 'a GPU',
  onespace_gpu_busy_ratio: 'a GPU',
  onespace_index_recall_at_10: 'an approximate index of 10,000 vectors',
  onespace_device_moves_total: 'a second device or an upstream',
  onespace_snapshot_timestamp_seconds: 'a snapshot: the write-ahead log is too short for one',
};
/** Expressions that divide by what only a rollout counts. */
const OF_ROLLOUTS = ['onespace_rollout_overlap_at_10_sum', 'onespace_rollout_search_seconds_bucket'];

interface Target {
  expr: string;
  legendFormat: string;
  datasource: { uid: string };
}
interface Panel {
  title: string;
  type: string;
  datasource?: { uid: string };
  fieldConfig?: { defaults: { unit?: string } };
  targets?: Target[];
}
interface Dashboard {
  panels: Panel[];
  templating: { list: { name: string; type: string; query: string | { query: string } }[] };
}
const dashboard = JSON.parse(await readFile(DASHBOARD, 'utf8')) as Dashboard;
const panels = dashboard.panels.filter(({ type }) => type !== 'row');
const targets = panels.flatMap(({ title, targets = [] }) => targets.map((target) => ({ title, ...target })));

const namesIn = (expression: string): string[] => [
  ...new Set([...expression.matchAll(/\b(?:onespace|process|nodejs)[\w:]*/g)].map(([name]) => name)),
];
/** Metrics with their labels, as an expression selects them. */
const selectorsIn = (expression: string): string[] => [
  ...new Set(
    [...expression.matchAll(/\b(?:up\b|(?:onespace|process|nodejs)[\w:]*)(?:\{[^}]*\})?/g)].map(([found]) => found),
  ),
];
const isLeftOut = (expression: string) =>
  namesIn(expression).some((name) => name in WITHOUT || OF_ROLLOUTS.includes(name));

describe('the dashboard', () => {
  it('reads from the data source that is chosen, in units, and names the instance of each line', () => {
    expect(panels.length).toBeGreaterThan(30);
    for (const { title, fieldConfig, datasource } of panels) {
      expect(fieldConfig?.defaults.unit, title).toBeTruthy();
      expect(datasource?.uid, title).toBe(`\${datasource}`);
    }
    for (const { title, datasource, legendFormat, expr } of targets) {
      expect(datasource.uid, title).toBe(`\${datasource}`);
      expect(legendFormat, title).toContain('{{instance}}');
      expect(expr, title).toContain('instance=~"$instance"');
    }
    expect(dashboard.templating.list.map(({ name }) => name)).toEqual(['datasource', 'instance', 'model']);
  });

  it('draws the lag of the event loop in seconds, and the cache on disk apart from memory', () => {
    for (const { title, fieldConfig, targets = [] } of panels) {
      const names = targets.flatMap(({ expr }) => namesIn(expr));
      if (names.some((name) => name.includes('lag'))) expect(fieldConfig?.defaults.unit).toBe('s');
      if (names.some((name) => name.startsWith('process_resident')))
        expect(names).not.toContain('onespace_cache_bytes');
      if (targets.some(({ expr }) => expr.includes('tier="disk"'))) expect(title).toBe('Cache on disk');
    }
  });
});

describe.skipIf(!prometheus)('a Prometheus that reads the service', () => {
  let service: ServiceProcess;
  let child: ChildProcess;
  let folder: string;
  let url: string;

  async function query(expression: string): Promise<number[]> {
    const reply = await fetch(`${url}/api/v1/query`, {
      method: 'POST',
      body: new URLSearchParams({ query: expression }),
    });
    const { status, error, data } = (await reply.json()) as {
      status: string;
      error?: string;
      data?: { result: { value: [number, string] }[] };
    };
    if (status !== 'success') throw new Error(`${expression}: ${error}`);
    return (data?.result ?? []).map(({ value }) => Number(value[1]));
  }

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'onespace-prometheus-'));
    service = await ServiceProcess.start({ settings: { LOG_LEVEL: 'debug' } });
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    const config = (await readFile('deploy/prometheus/prometheus.yml', 'utf8'))
      .replace('scrape_interval: 10s', 'scrape_interval: 2s\n  evaluation_interval: 2s')
      .replace('onespace:9464', new URL(service.url).host)
      .replace('alerts.yml', path.resolve('deploy/prometheus/alerts.yml'));
    await writeFile(path.join(folder, 'prometheus.yml'), config);
    const flags = [
      `--config.file=${folder}/prometheus.yml`,
      `--storage.tsdb.path=${folder}/data`,
      `--web.listen-address=127.0.0.1:${port}`,
    ];
    child = spawn('prometheus', flags, { stdio: 'ignore' });
    const up = () => query('up{job="onespace"}').catch(() => []);
    await vi.waitFor(async () => expect(await up()).toEqual([1]), SOON);
    const [picture, clip] = await Promise.all([jpeg('red'), mp4()]);
    const file = (route: string, body: Buffer, type: string) =>
      fetch(service.url + route, { method: 'POST', headers: { 'content-type': type }, body: new Uint8Array(body) });
    const json = (route: string, body: object) =>
      fetch(service.url + route, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
    for (let round = 0; round < 6; round++) {
      await json('/items', { text: `a thing, number ${round}` });
      await json('/retrieve', { text: `a thing like number ${round}` });
      await file('/embed/image', picture, 'image/jpeg');
      await file('/embed/video', clip, 'video/mp4');
      await json('/retrieve', { nonsense: true });
      await sleep(2000);
    }
    await sleep(4000);
  });
  afterAll(async () => {
    const exit = once(child, 'exit');
    child.kill();
    await exit;
    await service.stop();
    await rm(folder, { recursive: true });
  });

  it('has data for every expression of the dashboard', async () => {
    const empty: string[] = [];
    for (const { title, expr } of targets) {
      const expression = expr.replaceAll('$__rate_interval', '1m').replaceAll(/\$(?:instance|model)/g, '.*');
      const values = await query(expression);
      if (!values.some(Number.isFinite) && !isLeftOut(expr)) empty.push(`${title}: ${expr}`);
    }
    expect(empty).toEqual([]);
  });

  it('has the values to choose instance and model from', async () => {
    for (const { type, query: from } of dashboard.templating.list) {
      if (type !== 'query' || typeof from === 'string') continue;
      const [, selector = '', label = ''] = /^label_values\((.+), (\w+)\)$/.exec(from.query) ?? [];
      expect(await query(`count by (${label}) (${selector.replace('$instance', '.*')})`)).toEqual([1]);
    }
  });

  it('has every series that an alert looks at, and none of them fires', async () => {
    const { data } = (await (await fetch(`${url}/api/v1/rules`)).json()) as {
      data: {
        groups: { rules: { name: string; query: string; state?: string; health: string; lastError?: string }[] }[];
      };
    };
    const rules = data.groups.flatMap(({ rules }) => rules);
    expect(rules.length).toBeGreaterThan(25);
    const missing: string[] = [];
    for (const { name, query: expression, state, health, lastError } of rules) {
      expect([name, health, lastError]).toEqual([name, 'ok', undefined]);
      // Pending is allowed: the disk of this machine may be filling.
      expect(state, name).not.toBe('firing');
      for (const selector of selectorsIn(expression))
        if ((await query(selector)).length === 0 && !isLeftOut(selector)) missing.push(`${name}: ${selector}`);
    }
    expect(missing).toEqual([]);
  });

  it('accepts the names and types of the metrics', async () => {
    const text = await (await fetch(`${service.url}/metrics`)).text();
    const { stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
    // The default metrics of prom-client have a suffix that it objects to.
    const objections = (stdout + stderr)
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('nodejs_active_'));
    expect(objections).toEqual([]);
  });
});
