/** Sends the same requests to several servers, one server after another in one run, and prints the results. */
import { load } from '../load.mjs';
import { printTable } from '../table.mjs';
import { uniqueFile } from './workloads.mjs';

export const textRequest = (words) => () => ({
  path: '/embed/text',
  type: 'application/json',
  body: JSON.stringify({ text: words }),
});
export const imageRequest = (file) => () => ({
  path: '/embed/image',
  type: 'image/jpeg',
  body: uniqueFile(file, 'image/jpeg'),
});

/**
 * @param servers functions that start each server, by name; the first is compared with the others
 * @param workloads named lists of functions that make a request, used in a cycle
 */
export async function compare({ servers, workloads, seconds, concurrencies = [1, 64] }) {
  const rows = [];
  for (const [server, start] of Object.entries(servers)) {
    const { url, stop } = await start();
    for (const { name, requests } of workloads) {
      let sent = 0;
      const next = () => requests[sent++ % requests.length]();
      await load(url, { concurrency: 2, seconds: 1, next });
      for (const concurrency of concurrencies) {
        const { perSecond, p50Ms, p99Ms } = await load(url, { concurrency, seconds, next });
        rows.push({ input: name, concurrency, server, '/s': perSecond, 'p50 ms': p50Ms, 'p99 ms': p99Ms });
      }
    }
    await stop();
  }
  const [first, ...others] = Object.keys(servers);
  const rate = (server, { input, concurrency }) =>
    rows.find((row) => row.server === server && row.input === input && row.concurrency === concurrency)['/s'];
  printTable('Every server', rows);
  printTable(
    'Ratio of throughput',
    rows
      .filter(({ server }) => server === first)
      .map((row) => ({
        input: row.input,
        concurrency: row.concurrency,
        ...Object.fromEntries(others.map((other) => [`${first} / ${other}`, row['/s'] / rate(other, row)])),
      })),
  );
}
