/**
 * Clients that come slowly, hang up, never read and send nonsense, for as long as this thread runs. They have a thread
 * of their own, so that their own work does not delay the clients that are measured.
 */
import http from 'node:http';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { workerData } from 'node:worker_threads';
import { post } from './load.mjs';
import { random } from './random.mjs';

const { url, items, images, clips } = workerData;
const { hostname, port } = new URL(url);
const agent = new http.Agent({ keepAlive: true });
const next = random(12);
const pick = (list) => list[Math.floor(next() * list.length)];

const connection = (onConnect) =>
  new Promise((resolve) => {
    const socket = net.connect(Number(port), hostname, () => onConnect(socket));
    socket.on('error', () => {});
    socket.on('close', resolve);
  });
const head = (path, type, length) =>
  `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: ${type}\r\ncontent-length: ${length}\r\n\r\n`;

/** Announces much and sends little, until it is cut off. */
const slow = (bytesPerSecond) =>
  connection((socket) => {
    socket.write(head('/embed/image', 'image/jpeg', 60_000_000));
    socket.write(pick(images).subarray(0, 500));
    const timer = setInterval(() => socket.write(Buffer.alloc(bytesPerSecond)), 1000);
    socket.on('close', () => clearInterval(timer));
    setTimeout(() => socket.destroy(), 60_000);
  });

/** Sends a request, or half of one, and goes. It replaces an item that is there: the index does not grow. */
const hangUp = () =>
  connection((socket) => {
    const image = pick(images);
    socket.write(head(`/items?id=${pick(items)}`, 'image/jpeg', image.length));
    socket.write(next() < 0.5 ? image : image.subarray(0, image.length / 2));
    setTimeout(() => socket.destroy(), 50 * next());
  });

/** Asks for pages and never reads the replies. */
const neverRead = () =>
  connection((socket) => {
    socket.pause();
    for (let i = 0; i < 50; i++) socket.write('GET /items?limit=1000 HTTP/1.1\r\nhost: localhost\r\n\r\n');
    setTimeout(() => socket.destroy(), 30_000);
  });

const raw = (text) =>
  connection((socket) => {
    socket.resume();
    socket.end(text);
    setTimeout(() => socket.destroy(), 5_000);
  });

const damaged = (bytes) => {
  const copy = Buffer.from(bytes);
  for (let i = 0; i < 20; i++) copy[Math.floor(next() * copy.length)] = Math.floor(256 * next());
  return copy;
};
const NONSENSE = [
  () => raw('GARBAGE\r\n\r\n'),
  () => raw(`GET / HTTP/1.1\r\nx: ${'a'.repeat(20_000)}\r\n\r\n`),
  () => raw(head('/embed/image', 'image/png', 999_999_999_999)),
  () => raw(head('/items', 'application/json', 30_000) + '['.repeat(30_000)),
  () => raw(`${head('/retrieve', 'application/json', 300_014)}{"include":[${'"",'.repeat(100_000)}1]`),
  () => raw(`${head('/items', 'application/json', 900_001)}[${'{},'.repeat(300_000)}`),
  () => post(url, agent, { path: '/embed/image', type: 'image/jpeg', body: damaged(pick(images)) }),
  () => post(url, agent, { path: '/embed/video', type: 'video/mp4', body: damaged(pick(clips)) }),
];

/** Does something again and again, `concurrency` at a time. */
const keep = (concurrency, task, pauseMs = 0) =>
  Array.from({ length: concurrency }, async () => {
    for (;;) {
      await task().catch(() => {});
      await sleep(pauseMs);
    }
  });

await Promise.all([
  ...keep(40, () => slow(1_200)),
  ...keep(20, () => slow(100)),
  ...keep(4, hangUp, 500),
  ...keep(10, neverRead, 1000),
  ...keep(1, () => pick(NONSENSE)(), 500),
]);
