import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../free-port.js';
import { ServiceProcess } from '../service-process.js';

/** When the signal is sent, in ms after the process was started. */
const MOMENTS = [0, 1, 5, 20, 35, 50, 75, 100, 150, 200, 350, 500, 750, 1000, 1500, 2000, 3000, 5000];
/** An order of magnitude over what a stop takes on a loaded machine. */
const PROMPT_MS = 15_000;
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

const ofOwnPidNamespace = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'];
const [unshare = '', ...unshareArgs] = ofOwnPidNamespace;
const canUnshare = spawnSync(unshare, [...unshareArgs, 'true']).status === 0;
if (!canUnshare) console.warn('LEFT OUT: the service as process 1, which needs "unshare --pid" (root).');
const hasScript = spawnSync('script', ['--version']).status === 0;
if (!hasScript) console.warn('LEFT OUT: the terminal that is closed, which needs "script" (Debian: bsdutils).');

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'onespace-lifecycle-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const promptly = <Result>(ending: Promise<Result>): Promise<Result | 'still running'> =>
  Promise.race([ending, sleep(PROMPT_MS, 'still running' as const, { ref: false })]);

/** A request that is under way from now on, until `finish` sends the rest of it. */
function beginRequest(url: string): { finish(): void; reply: Promise<Response> } {
  let finish = () => {};
  const rest = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const body = new ReadableStream({
    async start(controller) {
      controller.enqueue(new TextEncoder().encode('{"text":'));
      await rest;
      controller.enqueue(new TextEncoder().encode('"a cat"}'));
      controller.close();
    },
  });
  const headers = { 'content-type': 'application/json' };
  const reply = fetch(`${url}/embed/text`, { method: 'POST', headers, body, duplex: 'half' } as RequestInit);
  reply.catch(() => {});
  return { finish, reply };
}

describe('before its modules are loaded', () => {
  it('the process loads nothing but what handles signals', () => {
    const source = readFileSync('src/main.ts', 'utf8');
    const imported = [...source.matchAll(/^import .* from '([^']+)'/gm)].map((match) => match[1]);
    expect(imported.filter((name) => !name?.startsWith('node:'))).toEqual([]);
    expect(source.indexOf('process.on(signal')).toBeLessThan(source.indexOf("import('./start.js')"));
  });
});

describe.each(SIGNALS)('%s', (signal) => {
  it('ends the process at whatever moment it comes, and the next start finds everything in order', async () => {
    const dataDir = path.join(folder, signal);
    const first = await ServiceProcess.start({ settings: { DATA_DIR: dataDir } });
    await fetch(`${first.url}/items`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ id: 'kept', text: 'a red car' }),
    });
    first.child.kill(signal);
    expect(await promptly(first.exit)).toEqual([0, null]);

    const moments = signal === 'SIGTERM' ? MOMENTS : MOMENTS.filter((_, i) => i % 4 === 0);
    for (const ms of moments) {
      const service = await ServiceProcess.spawn({ settings: { DATA_DIR: dataDir } });
      await sleep(ms);
      service.child.kill(signal);
      const ending = await promptly(service.exit);
      await service.kill();
      // The kernel ends a process that does not handle signals yet, and one that is stuck in native code; else it ends in order.
      expect([JSON.stringify([0, null]), JSON.stringify([null, signal])], `after ${ms} ms`).toContain(
        JSON.stringify(ending),
      );
      expect(service.stderr.replace(/^\nonespace is ready[\s\S]*/, ''), `after ${ms} ms`).toBe('');
    }

    const last = await ServiceProcess.start({ settings: { DATA_DIR: dataDir } });
    const { items } = JSON.parse((await last.get('/items')).body);
    expect(items).toMatchObject([{ id: 'kept' }]);
    last.child.kill(signal);
    expect(await promptly(last.exit)).toEqual([0, null]);
  }, 600_000);
});

describe.skipIf(!canUnshare)('as process 1 of a pid namespace', () => {
  /** The process that `unshare` started, as this namespace knows it. */
  async function inner(pid: number | undefined): Promise<number | undefined> {
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
    return Number(children.trim().split(' ')[0]) || undefined;
  }

  /**
   * Whether the service handles its signals, by the one that Node does not handle itself. Node's own handler of SIGTERM
   * raises it again without a handler, and the kernel drops that for process 1.
   */
  const handlesSignals = async (pid: number): Promise<boolean> => {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
    return (Number.parseInt(/SigCgt:\s*([0-9a-f]+)/.exec(status)?.[1]?.slice(-8) ?? '0', 16) & 1) === 1;
  };

  it('hears SIGTERM from the moment its handlers are there, long before anything is loaded', async () => {
    const windows: number[] = [];
    for (const ms of [0, 1, 5, 20, 50, 100, 200, 500, 1000, 2000, 4000]) {
      const dataDir = path.join(folder, `pid-1-${ms}`);
      await mkdir(dataDir);
      const service = await ServiceProcess.spawn({ settings: { DATA_DIR: dataDir }, prefix: ofOwnPidNamespace });
      let pid: number | undefined;
      while (pid === undefined) pid = await inner(service.child.pid);
      const beganMs = performance.now();
      while (!(await handlesSignals(pid))) await sleep(1);
      windows.push(Math.round(performance.now() - beganMs));
      // One handler is added after the other.
      await sleep(2 + ms);
      process.kill(pid, 'SIGTERM');
      const ending = await promptly(service.exit);
      await service.kill();
      expect(ending, `${ms} ms after the handlers`).toEqual([0, null]);
    }
    console.log(`process 1 is deaf to SIGTERM for ${Math.min(...windows)} to ${Math.max(...windows)} ms`);
  }, 300_000);

  it.skipIf(spawnSync('tini', ['--version']).status !== 0)(
    'is never deaf under tini',
    async () => {
      for (const ms of [5, 20, 50, 100, 500, 2000]) {
        const dataDir = path.join(folder, `tini-${ms}`);
        await mkdir(dataDir);
        const service = await ServiceProcess.spawn({
          settings: { DATA_DIR: dataDir },
          prefix: [...ofOwnPidNamespace, 'tini', '--'],
        });
        let pid: number | undefined;
        while (pid === undefined) pid = await inner(service.child.pid);
        // tini blocks signals first of all, and passes on what has come meanwhile.
        while (!(await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')).startsWith('tini')) await sleep(1);
        await sleep(ms);
        process.kill(pid, 'SIGTERM');
        const ending = await promptly(service.exit);
        await service.kill();
        expect(['[0,null]', '[143,null]'], `after ${ms} ms`).toContain(JSON.stringify(ending));
      }
    },
    200_000,
  );
});

describe('a signal that comes more than once', () => {
  it.each(SIGNALS)(
    'is one wish to stop, within a second: %s',
    async (signal) => {
      const service = await ServiceProcess.start();
      const { finish, reply } = beginRequest(service.url);
      await sleep(300);
      for (const ms of [0, 1, 20, 300]) {
        await sleep(ms);
        service.child.kill(signal);
      }
      await sleep(100);
      finish();
      expect((await reply).status).toBe(200);
      expect(await promptly(service.exit)).toEqual([0, null]);
      await service.kill();
    },
    120_000,
  );

  it('ends the process at once after that', async () => {
    const service = await ServiceProcess.start();
    const { reply } = beginRequest(service.url);
    await sleep(300);
    service.child.kill('SIGINT');
    await sleep(1500);
    service.child.kill('SIGTERM');
    expect(await promptly(service.exit)).toEqual([1, null]);
    await expect(reply).rejects.toThrow();
    expect(service.stderr).toContain('SIGTERM again');
    await service.kill();
  }, 120_000);

  it('Ctrl-C reaches npm and the service that it runs: what is under way is answered', async () => {
    const [dataDir, port] = [path.join(folder, 'npm'), await freePort()];
    const env = { ...process.env, DATA_DIR: dataDir, PORT: String(port), LOG_LEVEL: 'info' };
    // As npm start does, without the set-up before it.
    const command = ['exec', '--offline', '--call', 'node dist/src/main.js'];
    const npm = spawn('npm', command, { env, detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
    let log = '';
    npm.stdout.setEncoding('utf8').on('data', (text) => {
      log += text;
    });
    const logged = once(npm.stdout, 'close');
    await ready(`http://127.0.0.1:${port}`);
    const { finish, reply } = beginRequest(`http://127.0.0.1:${port}`);
    await sleep(300);
    // What a terminal does: to the whole group.
    process.kill(-(npm.pid as number), 'SIGINT');
    await sleep(500);
    finish();
    expect((await reply).status).toBe(200);
    expect(await promptly(logged)).not.toBe('still running');
    expect(log).toContain('SIGINT: finishing the requests under way');
  }, 150_000);
});

async function ready(url: string): Promise<void> {
  const isReady = () =>
    fetch(`${url}/readyz`).then(
      ({ status }) => status === 200,
      () => false,
    );
  await expect.poll(isReady, { timeout: 90_000, interval: 100 }).toBe(true);
}

describe.skipIf(!hasScript)('a terminal that is closed', () => {
  /** With the first the shell of the service hears of it; with the other the kernel tells the whole group too, when its leader ends. */
  it.each(['exec sh', 'true; sh'])(
    'stops the service in order, under "%s": what is under way is answered',
    async (shell) => {
      const [dataDir, port, code] = [
        await mkdtemp(path.join(folder, 'terminal-')),
        await freePort(),
        path.join(await mkdtemp(path.join(folder, 'code-')), 'exit-code'),
      ];
      const env = { ...process.env, DATA_DIR: dataDir, PORT: String(port), LOG_LEVEL: 'info' };
      // The shell survives the terminal, to pass the signal on as shells do, and to tell the exit code.
      const run = path.join(folder, 'run.sh');
      const script = `
      trap 'kill -HUP $pid' HUP
      "${process.execPath}" dist/src/main.js & pid=$!
      wait $pid; code=$?
      if [ $code -gt 128 ]; then wait $pid; code=$?; fi
      echo $code > "${code}"`;
      await writeFile(run, script);
      const terminal = spawn('script', ['--quiet', '--command', `${shell} ${run}; exit`, '/dev/null'], {
        env,
        stdio: 'pipe',
      });
      const exited = once(terminal, 'exit');
      const url = `http://127.0.0.1:${port}`;
      await ready(url);

      const { finish, reply } = beginRequest(url);
      await sleep(500);
      terminal.kill('SIGKILL');
      await exited;
      await sleep(500);
      finish();
      expect((await reply).status).toBe(200);
      await expect.poll(() => readFile(code, 'utf8').catch(() => ''), { timeout: PROMPT_MS }).toBe('0\n');
    },
    150_000,
  );
});
