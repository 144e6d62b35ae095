import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readPage } from '../markdown.js';
import { ALERT_CASES, type AlertCase, QUIET, QUIET_MINUTES } from './alert-cases.js';

const ALERTS = 'deploy/prometheus/alerts.yml';
const promtool = spawnSync('promtool', ['--version']).status === 0;
if (!promtool)
  console.warn("LEFT OUT: the alerts are not tried, since promtool (Debian's prometheus) is not installed.");
const folder = await mkdtemp(path.join(tmpdir(), 'onespace-alerts-'));
afterAll(() => rm(folder, { recursive: true }));

const rules = await readFile(ALERTS, 'utf8');
/** Each alert with the lines of its rule. */
const alerts = [...rules.matchAll(/^ {6}- alert: (\w+)\n((?: {8}.*\n)+)/gm)].map(([, name = '', text = '']) => ({
  name,
  text,
}));

function check(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('promtool', args, { encoding: 'utf8' });
  return status === 0 ? '' : stdout + stderr;
}

interface RuleTest {
  series: Record<string, string>;
  expectations: object[];
}

/** Runs tests of promtool against the rules without their annotations, which it would compare word for word. */
async function tryRules(tests: readonly RuleTest[]): Promise<string> {
  await writeFile(path.join(folder, 'rules.yml'), rules.replaceAll(/^ {8}annotations:\n(?: {10}.*\n)+/gm, ''));
  const file = path.join(folder, 'tests.json');
  // JSON is YAML.
  const document = {
    rule_files: ['rules.yml'],
    evaluation_interval: '1m',
    tests: tests.map(({ series, expectations }) => ({
      interval: '1m',
      input_series: Object.entries(series).map(([one, values]) => ({ series: one, values })),
      alert_rule_test: expectations,
    })),
  };
  await writeFile(file, JSON.stringify(document));
  return check('test', 'rules', file);
}

const expectation = ({ alert, after, labels, severity }: AlertCase) => ({
  alertname: alert,
  eval_time: `${after}m`,
  exp_alerts: [{ exp_labels: { ...labels, severity } }],
});

describe('the alerts', () => {
  it('each have a severity, a summary, a description and a runbook', async () => {
    expect(alerts.length).toBeGreaterThanOrEqual(20);
    const anchors = (await readPage('docs/operations.md')).headings.map(({ text }) => `#${text.toLowerCase()}`);
    for (const { name, text } of alerts) {
      for (const part of [/severity: (critical|warning)/, /summary: ".+"/, /description: ".+"/])
        expect(text).toMatch(part);
      expect(text).toContain(`runbook_url: docs/operations.md#${name.toLowerCase()}\n`);
      expect(anchors).toContain(`#${name.toLowerCase()}`);
    }
  });

  it('are each tried', () => {
    expect([...new Set(ALERT_CASES.map(({ alert }) => alert))].sort()).toEqual(alerts.map(({ name }) => name).sort());
  });

  it.skipIf(!promtool)('are valid, as is the configuration', () => {
    expect(check('check', 'rules', ALERTS)).toBe('');
    expect(check('check', 'config', 'deploy/prometheus/prometheus.yml')).toBe('');
  });

  it.skipIf(!promtool)('each fire', async () => {
    const tests = ALERT_CASES.map((one) => ({ series: one.series, expectations: [expectation(one)] }));
    expect(await tryRules(tests)).toBe('');
  });

  it.skipIf(!promtool)('are all quiet while the service does well', async () => {
    const expectations = alerts.flatMap(({ name }) =>
      QUIET_MINUTES.map((after) => ({ alertname: name, eval_time: `${after}m`, exp_alerts: [] })),
    );
    expect(await tryRules([{ series: QUIET, expectations }])).toBe('');
  });
});
