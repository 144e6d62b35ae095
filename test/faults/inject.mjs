/**
 * Makes file calls of a process fail, in all its threads and in the processes that it forks:
 *
 *   FAULT_PLAN=plan.json node --import ./test/faults/inject.mjs dist/src/main.js
 *
 * The plan is read again at each call, so that a test can break the disk and mend it:
 *
 *   {"folder": "/data", "code": "ENOSPC", "calls": "write", "probability": 0.5, "seed": 7}
 *
 * `calls` is `write` (every call that changes the disk), `sync` or `open`. Without a `code` nothing fails. Which
 * calls fail depends on the seed, the thread and the number of the call in it. A file that FAISS writes itself, in the
 * process that builds an approximate index, really fails: it is written to a device that is full.
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { threadId } from 'node:worker_threads';

const { readFileSync } = fs;
const plan = () => {
  try {
    return JSON.parse(readFileSync(process.env.FAULT_PLAN, 'utf8'));
  } catch {
    return {};
  }
};

let calls = 0;
/** The file that each handle or descriptor is open on. */
const files = new WeakMap();
const descriptors = new Map();

/** Throws where the plan lets this call fail. */
function strike(kind, name, file) {
  if (typeof file !== 'string') return;
  const { folder, code, calls: kinds, probability = 1, seed = 0 } = plan();
  if (code === undefined || kind !== kinds || !file.startsWith(folder)) return;
  calls += 1;
  const dice = createHash('md5').update(`${seed} ${threadId} ${calls}`).digest().readUInt32LE() / 2 ** 32;
  if (dice >= probability) return;
  throw Object.assign(new Error(`${code}: injected, ${name} '${file}'`), {
    code,
    syscall: name,
    path: file,
    errno: -1,
  });
}

const replace = (target, name, make) => Object.assign(target, { [name]: make(target[name]) });
const writes = (flags) => typeof flags === 'string' && flags !== 'r';

const { promises } = fs;
replace(
  promises,
  'open',
  (original) =>
    async function open(file, flags, mode) {
      strike('open', 'open', file);
      if (writes(flags)) strike('write', 'open', file);
      const handle = await original(file, flags, mode);
      files.set(handle, file);
      return handle;
    },
);
for (const name of ['mkdir', 'rename', 'writeFile', 'appendFile', 'rm', 'utimes'])
  replace(
    promises,
    name,
    (original) =>
      async function injected(file, ...rest) {
        strike('write', name, file);
        return original(file, ...rest);
      },
  );
for (const name of ['copyFile', 'link'])
  replace(
    promises,
    name,
    (original) =>
      async function injected(from, to, ...rest) {
        strike('write', name, to);
        return original(from, to, ...rest);
      },
  );

const sample = await promises.open(process.execPath, 'r');
const handles = Object.getPrototypeOf(sample);
await sample.close();
for (const [name, kind] of [
  ['write', 'write'],
  ['writeFile', 'write'],
  ['appendFile', 'write'],
  ['truncate', 'write'],
  ['sync', 'sync'],
  ['datasync', 'sync'],
])
  replace(
    handles,
    name,
    (original) =>
      async function injected(...args) {
        strike(kind, name, files.get(this));
        return original.apply(this, args);
      },
  );

replace(fs, 'openSync', (original) => (file, flags, mode) => {
  strike('open', 'open', file);
  if (writes(flags)) strike('write', 'open', file);
  const fd = original(file, flags, mode);
  descriptors.set(fd, file);
  return fd;
});
replace(fs, 'closeSync', (original) => (fd) => {
  descriptors.delete(fd);
  return original(fd);
});
for (const [name, kind] of [
  ['writeSync', 'write'],
  ['writevSync', 'write'],
  ['ftruncateSync', 'write'],
  ['fsyncSync', 'sync'],
  ['fdatasyncSync', 'sync'],
])
  replace(fs, name, (original) => (fd, ...rest) => {
    strike(kind, name, descriptors.get(fd));
    return original(fd, ...rest);
  });
for (const name of ['mkdirSync', 'renameSync', 'writeFileSync', 'rmSync'])
  replace(fs, name, (original) => (file, ...rest) => {
    strike('write', name, file);
    return original(file, ...rest);
  });
replace(fs, 'fdatasync', (original) => (fd, callback) => {
  try {
    strike('sync', 'fdatasync', descriptors.get(fd));
  } catch (error) {
    return process.nextTick(callback, error);
  }
  return original(fd, callback);
});
syncBuiltinESMExports();

// No other process may load the binding outside the thread that uses it.
if (process.argv[1]?.endsWith('build-process.js')) {
  const require = createRequire(import.meta.url);
  const faiss = require('faiss-node');
  /** An index whose `write` may fail; the methods of its class cannot be replaced. */
  const failing = (index) => {
    const write = (file) => {
      let target = file;
      try {
        strike('write', 'write', file);
      } catch {
        target = '/dev/full';
      }
      return faiss.Index.prototype.write.call(index, target);
    };
    return Object.defineProperty(index, 'write', { value: write });
  };
  const Index = {
    fromFactory: (...args) => failing(faiss.Index.fromFactory(...args)),
    fromBuffer: (...args) => failing(faiss.Index.fromBuffer(...args)),
  };
  require.cache[require.resolve('faiss-node')].exports = { ...faiss, Index };
}
