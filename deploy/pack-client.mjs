/**
 * Builds the package `onespace-client` from src/client, with the version of the service, and packs it:
 *
 *   npm run client:pack        prints the path of the tarball
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PACKAGE = path.join(ROOT, 'dist', 'client-package');
const { version, license } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));

const manifest = {
  name: 'onespace-client',
  version,
  description: 'Typed client for onespace: text, images and video in one vector space.',
  keywords: ['onespace', 'embeddings', 'multimodal', 'vector-search'],
  license,
  type: 'module',
  sideEffects: false,
  engines: { node: '>=20' },
  main: './index.js',
  types: './index.d.ts',
  exports: { '.': { types: './index.d.ts', default: './index.js' }, './package.json': './package.json' },
  files: ['*.js', '*.d.ts'],
};

const run = (command, args, cwd) =>
  execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 2] });

rmSync(PACKAGE, { recursive: true, force: true });
run('npx', ['tsc', '-p', 'src/client'], ROOT);
copyFileSync(path.join(ROOT, 'src', 'client', 'README.md'), path.join(PACKAGE, 'README.md'));
copyFileSync(path.join(ROOT, 'LICENSE'), path.join(PACKAGE, 'LICENSE'));
writeFileSync(path.join(PACKAGE, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
const [{ filename }] = JSON.parse(run('npm', ['pack', '--json'], PACKAGE));
console.log(path.join(PACKAGE, filename));
