/**
 * Runs the commands of README.md and docs/: what the pages say works, in the order in which they say it. A command
 * that cannot run in a test is in `NOT_RUN`, with the check that takes its place; any other must run.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Settings } from '../src/config.js';
import { freePort } from './free-port.js';
import { anchorOf, type Command, keysOf, keysShown, type Page, readPage, resolveLink, shapeOf } from './markdown.js';
import { ModelCopies } from './model-copies.js';
import { startServer, type TestServer } from './server.js';

const run = promisify(execFile);
const CLI = path.resolve('dist/src/cli/main.js');

async function markdownIn(folder: string): Promise<string[]> {
  const files = await readdir(folder, { recursive: true });
  return files
    .filter((file) => file.endsWith('.md'))
    .map((file) => path.join(folder, file))
    .sort();
}

/** Users' pages before those that say how to work on the service, as the documentation is read. */
const FIRST = ['README.md', 'README.zh-CN.md', 'docs/quick-start.md'];
const files = [...FIRST, ...(await markdownIn('docs')).filter((file) => !FIRST.includes(file))];
const pages = await Promise.all(files.filter((file) => existsSync(file)).map(readPage));
/** A page in English and in Chinese: their commands are the same, and run once. */
const PAIRS = [
  ['README.md', 'README.zh-CN.md'],
  ['docs/quick-start.md', 'docs/zh-CN/quick-start.md'],
] as const;
const pagesToRun = pages.filter(
  ({ file, commands }) => commands.length > 0 && !PAIRS.some(([, chinese]) => chinese === file),
);
const scripts: Record<string, string> = JSON.parse(await readFile('package.json', 'utf8')).scripts;
const compose = await readFile('docker-compose.yml', 'utf8');
const dockerfile = await readFile('Dockerfile', 'utf8');

/** Assignments before a command, and the command. */
function assignmentsOf(line: string): { names: string[]; rest: string } {
  const { env = '', rest = '' } = /^(?<env>(?:[A-Z_]+=\S+ )*)(?<rest>.*)$/.exec(line)?.groups ?? {};
  return { names: [...env.matchAll(/([A-Z_]+)=/g)].map(([, name]) => name as string), rest };
}

function expectScript(line: string): void {
  const { names, rest } = assignmentsOf(line);
  for (const name of names) expect(Object.keys(Settings.properties), `${name} is a setting`).toContain(name);
  const [, word = '', name = word] = /^npm (?:run )?(([\w:]+))/.exec(rest) ?? [];
  expect(Object.keys(scripts), `package.json has the script "${name}"`).toContain(name);
  // What a script starts is there; what tsc makes under dist is made of a project that is there.
  for (const [file] of (scripts[name] as string).matchAll(/(?:deploy|bench|test)\/[\w/.-]+/g))
    if (!scripts[name]?.includes(`dist/${file}`)) expect(existsSync(file), file).toBe(true);
}

async function expectOptions(line: string): Promise<void> {
  const words = line.replace(/^npx onespace /, '').split(' ');
  const command = words.slice(0, words[0] === 'models' ? 2 : 1);
  const { stdout } = await run(process.execPath, [CLI, ...command, '--help']);
  for (const option of words.filter((word) => word.startsWith('--'))) expect(stdout).toContain(`${option} `);
}

interface NotRun {
  pattern: RegExp;
  why: string;
  check: (line: string) => void | Promise<void>;
}

const NOT_RUN: NotRun[] = [
  {
    pattern: /^([A-Z_]+=\S+ )*npm (start|test)( |$)/,
    why: 'set-up and whole suite: this test would start itself',
    check: expectScript,
  },
  {
    pattern: /^npm run (build|check|format|settings|fuzz|simulate|bench\S*)( |$)/,
    why: 'writes to the working tree, or takes minutes',
    check: expectScript,
  },
  {
    pattern: /^node (deploy|bench|models)\/\S+\.mjs( |$)/,
    why: 'installs packages, or takes minutes',
    check: async (line) => {
      const [, script = '', ...rest] = line.split(' ');
      const source = await readFile(script, 'utf8');
      for (const word of rest.filter((one) => /^(--)?[a-z]/.test(one)))
        expect(source).toContain(word.replace('--', ''));
    },
  },
  {
    pattern: /^docker /,
    why: 'there is no container runtime here',
    check: (line) => {
      const [, verb = '', ...rest] = line.split(' ');
      if (verb === 'compose') {
        const [, profile] = /--profile (\w+)/.exec(line) ?? [];
        expect(compose).toMatch(/^services:\n {2}onespace:\n {4}build: \.$/m);
        if (profile !== undefined) expect(compose).toContain(`profiles: [${profile}]`);
      } else {
        expect(['build', 'run']).toContain(verb);
        for (const [, name] of rest.join(' ').matchAll(/--build-arg (\w+)=/g))
          expect(dockerfile).toContain(`ARG ${name}=`);
        for (const [, name = ''] of rest.join(' ').matchAll(/-e (\w+)=/g))
          expect(Settings.properties).toHaveProperty(name);
      }
    },
  },
  {
    pattern: /^npx onespace (models (pull|remove) |import --chroma )/,
    why: 'needs the hub, or a Chroma server: test/cli runs them',
    check: expectOptions,
  },
];

let server: TestServer;
let copies: ModelCopies;
/** What pages call /tmp, and where their own folders are. */
let scratch: string;
let home: string;
let candidate: string;
/** Ids of the samples: the walk-through of a rollout begins with nothing else stored. */
let samples: string[];

const idsOf = async () => {
  const { items } = (await (await fetch(`${server.url}/items?limit=1000`)).json()) as { items: { id: string }[] };
  return items.map(({ id }) => id);
};

async function deleteAllBut(kept: readonly string[]): Promise<void> {
  const ids = (await idsOf()).filter((id) => !kept.includes(id));
  await fetch(`${server.url}/items`, {
    method: 'DELETE',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ids }),
  });
}

beforeAll(async () => {
  copies = await ModelCopies.open();
  candidate = await copies.make({ revision: 'next' });
  server = await startServer({ MEDIA_ROOTS: `photos=${path.resolve('samples/photos')}` });
  scratch = await mkdtemp(path.join(tmpdir(), 'onespace-readme-'));
  home = path.join(scratch, 'home');
  await mkdir(home);
  await symlink(path.resolve('samples/photos'), path.join(home, 'Pictures'));
  // What `npx onespace` is where the package is installed.
  await writeFile(path.join(scratch, 'npx'), `#!/bin/sh\nshift\nexec "${process.execPath}" "${CLI}" "$@"\n`, {
    mode: 0o755,
  });
  await run(process.execPath, [CLI, '--url', server.url, 'index', 'samples']);
  samples = await idsOf();
});
afterAll(async () => {
  await server.close();
  await copies.close();
  await rm(scratch, { recursive: true });
});

/** The services that the commands of one page start, by the port that the page gives them. */
class Services {
  private readonly ports = new Map<string, number>();
  private readonly children: ChildProcess[] = [];

  /** A command with the ports, folders and models of this run in the place of the page's. */
  localize(line: string): string {
    const ports = [['8000', Number(new URL(server.url).port)] as const, ...this.ports];
    let local = line.replaceAll('/tmp/', `${scratch}/`).replaceAll('./onespace-mini-next', candidate);
    for (const [page, real] of new Map(ports))
      local = local.replaceAll(new RegExp(`(localhost|127\\.0\\.0\\.1):${page}\\b`, 'g'), `127.0.0.1:${real}`);
    return local;
  }

  /** Starts a service in the background, and waits until it is ready. */
  async start(line: string): Promise<void> {
    const [, page = '8000'] = /(?:^| )PORT=(\d+)/.exec(line) ?? [];
    const port = await freePort();
    const local = this.localize(line).replace(/(^| )PORT=\d+/, '$1');
    this.ports.set(page, port);
    const env = { ...environment(this.url), PORT: String(port), LOG_LEVEL: 'error' };
    const dataDir = /DATA_DIR=/.test(line) ? {} : { DATA_DIR: path.join(scratch, `data-${port}`) };
    const child = spawn('bash', ['-c', local], { env: { ...env, ...dataDir }, stdio: 'ignore', detached: true });
    this.children.push(child);
    await expect
      .poll(async () => (await fetch(`http://127.0.0.1:${port}/health`).catch(() => undefined))?.ok, {
        timeout: 30_000,
      })
      .toBe(true);
  }

  get url(): string {
    return `http://127.0.0.1:${this.ports.get('8000') ?? new URL(server.url).port}`;
  }

  async stop(): Promise<void> {
    const exits = this.children.map((child) => once(child, 'exit'));
    for (const { pid } of this.children) if (pid !== undefined) process.kill(-pid, 'SIGTERM');
    await Promise.all(exits);
  }
}

const environment = (url: string): NodeJS.ProcessEnv => ({
  ...process.env,
  HOME: home,
  ONESPACE_URL: url,
  PATH: `${scratch}:${process.env.PATH}`,
});

async function runCommand(line: string, services: Services): Promise<string> {
  const { stdout } = await run('bash', ['-o', 'pipefail', '-c', services.localize(line)], {
    env: environment(services.url),
    maxBuffer: 1e8,
  });
  return stdout;
}

function expectShown(output: string, { language, text }: NonNullable<Command['shown']>): void {
  if (language === 'text') expect(shapeOf(output)).toEqual(shapeOf(text));
  else expect([...keysOf(JSON.parse(output))]).toEqual(expect.arrayContaining(keysShown(text)));
}

describe.each(pagesToRun)('the commands of $file', ({ commands }) => {
  const services = new Services();
  afterAll(() => services.stop());

  it.each(commands)('$line', { timeout: 60_000 }, async ({ line, shown }) => {
    const other = NOT_RUN.find(({ pattern }) => pattern.test(line));
    if (other !== undefined) return other.check(line);
    if (/^([A-Z_]+=\S+ )*(npx onespace serve|node dist\/src\/main\.js)$/.test(line)) return services.start(line);
    if (/haproxy -f/.test(line)) line = line.replace('haproxy -f', 'haproxy -c -f');
    else
      expect(line, 'a command that this test knows').toMatch(
        /^([A-Z_]+=\S+ )*(curl|npx onespace|npm run samples|cp -rv \/tmp\/)/,
      );
    if (line.includes('rollout start')) await deleteAllBut(samples);
    const output = await runCommand(line, services);
    expect(output).not.toBe('');
    if (!shown?.text.includes('urn:onespace:problem')) expect(output).not.toContain('urn:onespace:problem');
    if (shown !== undefined) expectShown(output, shown);
  });
});

describe('links', () => {
  it.each(pages)('of $file lead somewhere', async (page) => {
    const broken: string[] = [];
    for (const target of page.links.filter((link) => !/^[a-z]+:/.test(link))) {
      const { file, anchor } = resolveLink(page, target);
      if (!existsSync(file)) broken.push(target);
      else if (anchor !== undefined) {
        const { headings } = await readPage(file);
        if (!headings.some(({ text }) => anchorOf(text) === anchor)) broken.push(target);
      }
    }
    expect(broken).toEqual([]);
  });
});

describe('the pages', () => {
  it('show commands in console blocks alone, where they are run', () => {
    for (const { file, languages } of pages)
      for (const language of languages) expect(['console', 'json', 'text', 'ts', 'yaml'], file).toContain(language);
  });

  it('begin with a README of at most 150 lines', async () => {
    for (const file of ['README.md', 'README.zh-CN.md'])
      expect((await readFile(file, 'utf8')).trimEnd().split('\n').length, file).toBeLessThanOrEqual(150);
  });
});

describe('a page in Chinese', () => {
  const pageOf = (file: string) => pages.find((page) => page.file === file) as Page;
  /** A link's target, whichever language its page is in. */
  const targetsOf = (page: Page) =>
    page.links.map((link) => {
      if (/^[a-z]+:/.test(link)) return link;
      const { file, anchor = '' } = resolveLink(page, link);
      const english = PAIRS.find(([, chinese]) => chinese === file)?.[0] ?? file;
      return `${english}#${anchor}`;
    });

  it.each(PAIRS)('%s says what %s says', (english, chinese) => {
    const [ours, theirs] = [pageOf(english), pageOf(chinese)];
    expect(theirs.headings.map(({ level }) => level)).toEqual(ours.headings.map(({ level }) => level));
    expect(theirs.commands.map(({ line }) => line)).toEqual(ours.commands.map(({ line }) => line));
    expect(targetsOf(theirs)).toEqual(targetsOf(ours));
    expect(theirs.tableRows).toEqual(ours.tableRows);
  });
});
