/**
 * The long run of the fuzz test:
 *
 *   npx tsc -p test/fuzz && node --expose-gc dist/test/fuzz/main.js --cases 10000 --seed 1
 *
 * `--first NUMBER --cases 1` repeats one case. Exits with 1 when a rule is violated.
 */
import { parseArgs } from 'node:util';
import { type FuzzReport, fuzz } from './fuzz.js';

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '1000' },
    first: { type: 'string', default: '0' },
    seed: { type: 'string', default: '1' },
    concurrency: { type: 'string', default: '4' },
  },
});

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;

// A decoder's process alone does not keep this one alive: in the service the server does.
const alive = setInterval(() => {}, 1000);
const report = await fuzz({
  cases: Number(values.cases),
  first: Number(values.first),
  seed: Number(values.seed),
  concurrency: Number(values.concurrency),
  onProgress: ({ cases, failures }: FuzzReport) =>
    console.error(`${cases} cases, ${failures.length} failures, ${megabytes(process.memoryUsage.rss())}`),
});

clearInterval(alive);

const { answers, failures, leftovers, slowest, startRssBytes } = report;
console.table(answers);
console.log(`slowest: ${slowest.ms} ms, case ${slowest.caseNumber} (${slowest.name})`);
console.log(
  `left over: ${leftovers.processes} processes, ${leftovers.files} files, ${leftovers.descriptors} descriptors`,
);
console.log(`memory: ${megabytes(startRssBytes)} before, ${megabytes(startRssBytes + leftovers.rssBytes)} after`);
for (const failure of failures) console.log(failure);
process.exitCode = failures.length > 0 || leftovers.processes > 0 || leftovers.files > 0 ? 1 : 0;
