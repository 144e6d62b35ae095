import fs from 'node:fs';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import vm from 'node:vm';
import { FIRST_DESCRIPTOR, type FileCalls, MOUNT } from './file-calls.js';

/** The machine whose files the paths below `MOUNT` are. */
let machine: FileCalls | undefined;

export function useMachine(calls: FileCalls | undefined): void {
  machine = calls;
}

/** Names are synced up to the root of all files, which is simulated too. */
const simulated = (file: unknown): FileCalls | undefined =>
  typeof file === 'string' && (file === '/' || file === MOUNT || file.startsWith(`${MOUNT}/`)) ? machine : undefined;

/** What the engine uses of `FileHandle`. */
class SimHandle {
  constructor(
    readonly calls: FileCalls,
    readonly fd: number,
  ) {}

  read(buffer: Uint8Array, offset: number, length: number, position: number) {
    return this.calls.later(() => {
      const bytes = this.calls.read(this.fd, position, length);
      buffer.set(bytes, offset);
      return { bytesRead: bytes.length, buffer };
    });
  }

  write(buffer: Uint8Array, offset: number, length: number, position: number) {
    return this.calls.later(() => ({
      bytesWritten: this.calls.write(this.fd, position, buffer.subarray(offset, offset + length)),
      buffer,
    }));
  }

  async writeFile(text: string) {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; ) at += (await this.write(bytes, at, bytes.length - at, at)).bytesWritten;
  }

  stat() {
    return this.calls.later(() => ({ size: this.calls.size(this.fd) }));
  }

  truncate(length: number) {
    return this.calls.later(() => this.calls.truncate(this.fd, length));
  }

  sync() {
    return this.calls.later(() => this.calls.sync(this.fd));
  }

  datasync() {
    return this.sync();
  }

  close() {
    return this.calls.later(() => this.calls.close(this.fd));
  }
}

/** Puts a function in the place of another one for simulated paths; other paths keep theirs. */
function replace<T extends object, K extends keyof T & string>(
  target: T,
  name: K,
  stand: (calls: FileCalls, ...args: never[]) => unknown,
): void {
  const original = target[name] as (...args: never[]) => unknown;
  Object.assign(target, {
    [name]: (...args: never[]) => {
      const calls = simulated(args[0]);
      return calls === undefined ? original.apply(target, args) : stand(calls, ...args);
    },
  });
}

/** The same for functions whose first argument is a descriptor. */
function replaceByDescriptor(
  name: 'closeSync' | 'readSync' | 'writevSync',
  stand: (...args: never[]) => unknown,
): void {
  const original = fs[name] as (...args: never[]) => unknown;
  const isSimulated = (fd: unknown) => typeof fd === 'number' && fd > FIRST_DESCRIPTOR;
  Object.assign(fs, { [name]: (...args: never[]) => (isSimulated(args[0]) ? stand(...args) : original(...args)) });
}

const current = (): FileCalls => machine as FileCalls;

/**
 * Puts the simulated disk below `MOUNT`, for this process: the build runs as it is shipped. To be called before the
 * engine is imported.
 */
export function patchFileCalls(): void {
  const { promises } = fs;
  replace(promises, 'open', (calls, file: string, flags: string) =>
    calls.later(() => new SimHandle(calls, calls.open(file, flags))),
  );
  replace(promises, 'readFile', (calls, file: string, encoding?: BufferEncoding) =>
    calls.later(() => (encoding === undefined ? calls.readFile(file) : calls.readFile(file).toString(encoding))),
  );
  replace(promises, 'readdir', (calls, file: string) => calls.later(() => calls.readdir(file)));
  replace(promises, 'stat', (calls, file: string) => calls.later(() => calls.stat(file)));
  replace(promises, 'rename', (calls, from: string, to: string) => calls.later(() => calls.rename(from, to)));
  replace(promises, 'rm', (calls, file: string) => calls.later(() => calls.rm(file)));
  replace(promises, 'mkdir', (calls, file: string, options?: { recursive?: boolean }) =>
    calls.later(() => calls.mkdir(file, options?.recursive === true)),
  );
  replace(fs, 'openSync', (calls, file: string, flags: string) => calls.open(file, flags));
  replace(fs, 'rmSync', (calls, file: string) => calls.rm(file));
  replaceByDescriptor('closeSync', (fd: number) => current().close(fd));
  replaceByDescriptor('readSync', (fd: number, buffer: Uint8Array, offset: number, length: number, at: number) => {
    const bytes = current().read(fd, at, length);
    buffer.set(bytes, offset);
    return bytes.length;
  });
  replaceByDescriptor('writevSync', (fd: number, buffers: Uint8Array[]) =>
    current().write(fd, current().size(fd), Buffer.concat(buffers)),
  );
  syncBuiltinESMExports();
  readIndexesFromMemory();
  skipForcedCollections();
}

/** FAISS opens files itself: it receives the bytes of the simulated one. */
function readIndexesFromMemory(): void {
  const faiss = createRequire(import.meta.url)('faiss-node') as typeof import('faiss-node');
  const { IndexFlatIP } = faiss;
  Object.assign(faiss, {
    IndexFlatIP: class extends IndexFlatIP {
      static override read(file: string) {
        const calls = simulated(file);
        return calls === undefined ? IndexFlatIP.read(file) : IndexFlatIP.fromBuffer(calls.readFile(file));
      }
    },
  });
}

/** The engine collects garbage when it drops an index: with indexes this small that is nearly all the time it takes. */
function skipForcedCollections(): void {
  const run = vm.runInNewContext;
  vm.runInNewContext = (code, ...rest) => (code === 'gc' ? () => {} : run(code, ...rest));
  syncBuiltinESMExports();
}
