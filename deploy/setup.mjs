/**
 * Gets everything `npm start` and `npm test` need, and says nothing when nothing is to do.
 *
 *   packages (npm ci) -> FAISS binding -> ffmpeg -> TypeScript build
 *
 * Names of steps as arguments run only those: `node deploy/setup.mjs packages faiss`. In an installed package
 * `onespace serve` runs `natives faiss ffmpeg`.
 *
 * Plain Node without dependencies, because it runs before there are any. Where it may not
 * install something it names the command to run and exits with code 1.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
const MIN_NODE = [20, 19];
const DOWNLOAD_TIMEOUT_MS = 120_000;
const at = (...parts) => path.join(ROOT, ...parts);
/** Resolves packages as the built service does: beside it, in this package, or where npm hoisted them. */
const require = createRequire(at('dist', 'src', 'main.js'));
const folderOf = (name) => path.dirname(require.resolve(`${name}/package.json`));
const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'));

const say = (message) => console.error(`setup: ${message}`);

/** Ends the set-up with the reason and the command that mends it. */
function stop(problem, remedy) {
  console.error(`\nsetup: ${problem}\n\n  Run this, then try again:\n\n    ${remedy}\n`);
  process.exit(1);
}

/** Runs a command; its output is shown only when it fails. Returns whether it succeeded. */
function run(command, args, { cwd = ROOT, timeout, quiet = false } = {}) {
  const result = spawnSync(command, args, {
    cwd,
    timeout,
    encoding: 'utf8',
    // In runlevel 1 a package does not start its service.
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' },
  });
  const ok = result.status === 0;
  if (!ok && !quiet) {
    const lines = `${result.stdout ?? ''}${result.stderr ?? ''}${result.error ?? ''}`.split('\n');
    const shown = lines.length > 60 ? [...lines.slice(0, 20), '...', ...lines.slice(-30)] : lines;
    console.error(`$ ${command} ${args.join(' ')}\n${shown.join('\n')}`);
  }
  return ok;
}

const works = (command, ...args) => run(command, args, { quiet: true, timeout: 20_000 });

/** Whether this process may install Debian packages. */
const mayInstall = () => process.getuid?.() === 0 && works('apt-get', '--version');

/** Installs Debian packages when this process may, else stops with the command for an administrator. */
function aptInstall(packages, why) {
  const command = `apt-get update && apt-get install -y --no-install-recommends ${packages.join(' ')}`;
  if (!works('apt-get', '--version'))
    stop(`${why}. This is not a Debian-like system`, `# install with your package manager: ${packages.join(' ')}`);
  if (process.getuid?.() !== 0) stop(`${why}, and only root may install it`, `sudo sh -c '${command}'`);
  say(`installing ${packages.join(', ')}`);
  const done =
    run('apt-get', ['update'], { quiet: true }) &&
    run('apt-get', ['install', '-y', '--no-install-recommends', ...packages]);
  if (!done) stop(`${why}, and installing it failed`, command);
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const enough = major > MIN_NODE[0] || (major === MIN_NODE[0] && minor >= MIN_NODE[1]);
  if (!enough)
    stop(
      `Node.js ${process.versions.node} is too old`,
      `# install Node.js ${MIN_NODE.join('.')} or newer: https://nodejs.org`,
    );
}

function npm(args, cwd) {
  const command = process.env.npm_execpath?.endsWith('npm-cli.js')
    ? [process.execPath, process.env.npm_execpath]
    : ['npm'];
  return run(
    command[0],
    [...command.slice(1), ...args, '--no-progress', '--no-audit', '--no-fund', '--no-update-notifier'],
    { cwd },
  );
}

/** `npm ci` in a folder of the repository, unless it has been done for this very lockfile. */
function installPackages(folder, what) {
  const stamp = at(folder, 'node_modules', '.onespace-lock');
  const lock = createHash('sha256')
    .update(readFileSync(at(folder, 'package-lock.json')))
    .digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return;
  say(`installing ${what} (npm ci)`);
  if (!npm(['ci'], at(folder))) stop('npm ci failed', 'npm ci');
  writeFileSync(stamp, lock);
}

/**
 * The install scripts of some packages fetch binaries from outside the registry. Where they fail npm leaves the
 * package out, because it is optional. What they would fetch is not needed (CUDA, ffmpeg) or built below (FAISS),
 * so here these packages are installed without their scripts. They are put beside the build, where the service finds
 * them and a later `npm install` of the surrounding project does not remove them.
 */
function provideNatives() {
  const { optionalDependencies, overrides } = readJson(at('package.json'));
  const missing = Object.keys(optionalDependencies).filter((name) => name !== 'ffmpeg-static' && !isInstalled(name));
  if (missing.length === 0) return;
  say(`installing ${missing.join(', ')} without install scripts`);
  const dependencies = Object.fromEntries(missing.map((name) => [name, optionalDependencies[name]]));
  const manifest = { name: 'onespace-natives', private: true, type: 'module', dependencies, overrides };
  writeFileSync(at('dist', 'package.json'), JSON.stringify(manifest, null, 2));
  const install = ['install', '--ignore-scripts', '--no-package-lock', '--global=false', '--prefix', at('dist')];
  if (!npm(install, at('dist')) || !missing.every(isInstalled))
    stop(
      `installing ${missing.join(', ')} failed`,
      'npm install --ignore-scripts # and check that npm reaches its registry',
    );
}

function isInstalled(name) {
  try {
    require.resolve(name);
    return true;
  } catch {
    return false;
  }
}

const faissBinary = () => path.join(folderOf('faiss-node'), 'build', 'Release', 'faiss-node.node');
// In a process of its own: a half-written binary must not take the set-up down with it.
const faissIs = (condition) =>
  existsSync(faissBinary()) &&
  works(
    process.execPath,
    '-e',
    `process.exit(${condition.replace('faiss', `require(${JSON.stringify(folderOf('faiss-node'))})`)} ? 0 : 1)`,
  );
const faissLoads = () => faissIs('faiss');
const faissIsMended = () => faissIs('faiss.isMended');

const FAISS_PACKAGES = ['g++', 'libfaiss-dev', 'libopenblas-dev'];
const canBuildFaiss = () =>
  works('g++', '-shared', '-o', '/dev/null', '-x', 'c++', '/dev/null', '-lfaiss', '-lopenblas');

/**
 * faiss-node ships its source, which is built against the system's libfaiss, mended (below). Where that is not installed
 * and may not be, the binary of its release page serves, which loses memory with each search.
 */
function provideFaiss() {
  if (faissIsMended()) return;
  if (!canBuildFaiss()) {
    if (!mayInstall() && (faissLoads() || fetchFaiss())) {
      say(
        `this binding of FAISS loses memory with each search; for a service that runs long, have these installed and start again: ${FAISS_PACKAGES.join(', ')}`,
      );
      return;
    }
    aptInstall(FAISS_PACKAGES, 'FAISS is missing and its ready-made binary cannot be downloaded');
  }
  buildFaiss();
  if (!faissIsMended()) stop('the FAISS binding was built but does not load', `ldd ${faissBinary()}`);
}

/** The binary of the release page. @returns whether it could be had */
function fetchFaiss() {
  say('fetching the FAISS binding');
  const fromFaiss = createRequire(path.join(folderOf('faiss-node'), 'package.json'));
  const prebuildInstall = path.join(path.dirname(fromFaiss.resolve('prebuild-install/package.json')), 'bin.js');
  const args = [prebuildInstall, '--runtime', 'napi'];
  run(process.execPath, args, { cwd: folderOf('faiss-node'), timeout: DOWNLOAD_TIMEOUT_MS, quiet: true });
  return faissLoads();
}

/**
 * What is mended in the source of faiss-node 0.5.1: `search` never frees its copy of the queries, four bytes for each of
 * their numbers. The build says that it is mended.
 */
const MENDED = [
  [
    'float *xq = new float[length];\n    for',
    'std::unique_ptr<float[]> queries(new float[length]);\n    float *xq = queries.get();\n    for',
  ],
  [
    'IndexFlatIP::Init(env, exports);\n\n  return exports;',
    'IndexFlatIP::Init(env, exports);\n  exports.Set("isMended", Napi::Boolean::New(env, true));\n  return exports;',
  ],
];

/** @returns the place of the mended source */
function mendFaiss(source, release) {
  let text = readFileSync(path.join(source, 'src', 'faiss.cc'), 'utf8').replaceAll('\r\n', '\n');
  for (const [wrong, right] of MENDED) {
    if (text.split(wrong).length !== 2)
      stop('the source of faiss-node is not the one that is known', 'npm ci # installs the version of the lockfile');
    text = text.replace(wrong, right);
  }
  const mended = path.join(release, 'faiss.cc');
  writeFileSync(mended, text);
  return mended;
}

const SHIM = `#include <faiss/Index.h>
#if FAISS_VERSION_MAJOR == 1 && FAISS_VERSION_MINOR == 7 && FAISS_VERSION_PATCH < 4
namespace faiss { using idx_t = Index::idx_t; }
#endif
`;

function buildFaiss() {
  say('building the FAISS binding');
  const source = folderOf('faiss-node');
  const release = path.dirname(faissBinary());
  mkdirSync(release, { recursive: true });
  // Until 1.7.4 (Debian 12 has 1.7.3) FAISS declared its index type inside the class Index only.
  const shim = path.join(release, 'idx_t.h');
  writeFileSync(shim, SHIM);
  const addonApi = path.dirname(
    createRequire(path.join(source, 'package.json')).resolve('node-addon-api/package.json'),
  );
  const args = [
    ...['-O2', '-std=c++17', '-fPIC', '-shared', '-fexceptions', '-fopenmp', '-DNAPI_VERSION=8'],
    ...['-include', shim],
    `-I${require('node-api-headers').include_dir}`,
    `-I${addonApi}`,
    mendFaiss(source, release),
    ...['-o', faissBinary(), '-lfaiss', '-lopenblas'],
  ];
  if (!run('g++', args))
    stop(
      'building the FAISS binding failed (the compiler output is above)',
      `apt-get install -y ${FAISS_PACKAGES.join(' ')}`,
    );
}

/** The same order as src/media/ffmpeg.ts: FFMPEG_PATH, ffmpeg-static, the system's. */
function provideFfmpeg() {
  if (process.env.FFMPEG_PATH) {
    if (!works(process.env.FFMPEG_PATH, '-version'))
      stop(`FFMPEG_PATH (${process.env.FFMPEG_PATH}) does not run`, 'unset FFMPEG_PATH');
    return;
  }
  if (works('ffmpeg', '-version') || ffmpegStaticWorks()) return;
  if (process.getuid?.() !== 0 || !works('apt-get', '--version')) {
    say('fetching ffmpeg');
    if (isInstalled('ffmpeg-static')) {
      const install = path.join(folderOf('ffmpeg-static'), 'install.js');
      run(process.execPath, [install], { timeout: DOWNLOAD_TIMEOUT_MS, quiet: true });
    }
    if (ffmpegStaticWorks()) return;
  }
  aptInstall(['ffmpeg'], 'ffmpeg is missing');
}

function ffmpegStaticWorks() {
  if (!isInstalled('ffmpeg-static')) return false;
  const binary = path.join(folderOf('ffmpeg-static'), process.platform === 'win32' ? 'ffmpeg.exe' : 'ffmpeg');
  return existsSync(binary) && works(binary, '-version');
}

/**
 * Tools that only the tests start: curl runs the commands of the documentation, HAProxy balances replicas, strace
 * watches what the service opens and makes system calls fail, faketime sets the clock of a process, tini is process 1.
 */
function provideTestTools() {
  const missing = [
    ['curl', '--version'],
    ['haproxy', '-v'],
  ].filter(isMissing);
  const names = missing.map(([tool]) => tool);
  if (names.length > 0) aptInstall(names, `the tests need ${names.join(' and ')}`);
  provideWhereAllowed([
    ['strace', '-V'],
    ['faketime', '--version'],
    ['tini', '--version'],
  ]);
}

/**
 * Further tools of the tests, of some 500 MB together: Chromium opens pages, Prometheus reads dashboard and alerts, nginx
 * balances services.
 */
const provideLargeTools = () =>
  provideWhereAllowed([
    ['chromium', '--version'],
    ['prometheus', '--version'],
    ['nginx', '-v'],
  ]);

const isMissing = ([tool, version]) => !works(tool, version);

/** Installs Debian packages of the names of their tools; what cannot be installed is left out, and tests say so. */
function provideWhereAllowed(tools) {
  const missing = tools.filter(isMissing);
  if (missing.length > 0) run('apt-get', ['update'], { quiet: true });
  for (const [tool] of missing)
    if (!run('apt-get', ['install', '-y', '--no-install-recommends', tool], { quiet: true }))
      say(`LEFT OUT: the tests that need ${tool}, which cannot be installed here`);
}

function newestChange(dir) {
  const entries = readdirSync(dir, { withFileTypes: true });
  const times = entries.map((entry) =>
    entry.isDirectory() ? newestChange(path.join(dir, entry.name)) : statSync(path.join(dir, entry.name)).mtimeMs,
  );
  // A folder's own time changes when a file is removed from it.
  return Math.max(statSync(dir).mtimeMs, ...times);
}

function build() {
  const stamp = at('dist', '.built');
  const sources = Math.max(
    newestChange(at('src')),
    newestChange(at('routes')),
    statSync(at('tsconfig.json')).mtimeMs,
    statSync(at('package-lock.json')).mtimeMs,
  );
  if (existsSync(stamp) && statSync(stamp).mtimeMs > sources) return;
  say('building (tsc)');
  if (!run(process.execPath, [at('node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.json']))
    stop('the build failed (the compiler output is above)', 'npm run build');
  // `npx onespace` runs it; npm makes it executable only where it is there when the package is linked.
  chmodSync(at('dist', 'src', 'cli', 'main.js'), 0o755);
  writeFileSync(stamp, '');
}

const STEPS = {
  packages: () => installPackages('.', 'packages'),
  natives: provideNatives,
  faiss: provideFaiss,
  ffmpeg: provideFfmpeg,
  build,
  // For the tests alone; Chroma's server is 400 MB.
  chroma: () => installPackages('test/store/chroma/server', "the tests' Chroma server"),
  tools: provideTestTools,
  'large-tools': provideLargeTools,
};
const USUAL = ['packages', 'faiss', 'ffmpeg', 'build'];

checkNode();
const asked = process.argv.slice(2);
try {
  for (const step of asked.length > 0 ? asked : USUAL) STEPS[step]();
} catch (error) {
  if (error.code !== 'EACCES' && error.code !== 'EROFS') throw error;
  stop(`${error.path} may not be written`, `sudo ${process.execPath} ${process.argv.slice(1).join(' ')}`);
}
