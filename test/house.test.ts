import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { describe, expect, it } from 'vitest';

/** More files than this do not fit on a screen, nor in a head. */
const MAX_FILES = 15;

const filesUnder = (folder: string) =>
  readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && !`${entry.parentPath}/`.includes('node_modules/'))
    .map(({ parentPath, name }) => ({ folder: parentPath.replaceAll('\\', '/'), name }));

describe('the tree', () => {
  it(`has at most ${MAX_FILES} files in a folder`, () => {
    const counts = new Map<string, number>();
    const roots = ['src', 'routes', 'test', 'bench', 'deploy', 'models', 'docs'];
    // Decisions are a numbered log, which is read by its index.
    for (const { folder } of roots.flatMap(filesUnder))
      if (!/\/work\b|__pycache__|docs\/adr/.test(folder)) counts.set(folder, (counts.get(folder) ?? 0) + 1);
    expect([...counts].filter(([, count]) => count > MAX_FILES)).toEqual([]);
  });

  it('has a file of routes for each family of URLs, and nothing else among them', () => {
    const families = [
      ...['backup', 'embed', 'export', 'health', 'item-files', 'items', 'jobs'],
      ...['metrics', 'openai', 'retrieve', 'rollout'],
    ];
    expect(readdirSync('routes').sort()).toEqual(families.map((family) => `${family}.ts`));
  });
});

describe('dependencies', () => {
  /** Used otherwise than by an import. */
  const INDIRECT: Record<string, string> = {
    '@biomejs/biome': 'npm run check',
    'dependency-cruiser': 'npm run check',
    '@swc/core': 'the parser of dependency-cruiser',
    typescript: 'npm run build',
    '@types/node': 'types of Node.js',
    c8: 'npm run coverage',
    '@langchain/core': 'a peer dependency of @langchain/openai',
    'ffmpeg-static': 'a binary that src/media/video/ffmpeg.ts looks up',
  };
  const manifest = JSON.parse(readFileSync('package.json', 'utf8'));
  const runtime = { ...manifest.dependencies, ...manifest.optionalDependencies } as Record<string, string>;
  const declared = { ...runtime, ...manifest.devDependencies } as Record<string, string>;

  const importedBy = (folders: readonly string[]) => {
    const files = folders.flatMap(filesUnder).filter(({ name }) => /\.(ts|mjs)$/.test(name));
    const sources = files.map(({ folder, name }) => readFileSync(`${folder}/${name}`, 'utf8'));
    const specifiers = sources.flatMap((source) =>
      [...source.matchAll(/(?:\bfrom|\bimport|\brequire|\bresolve)\s*\(?\s*'((?:@[a-z]|[a-z])[\w@/.:-]*)'/g)].map(
        (match) => match[1] ?? '',
      ),
    );
    const packages = specifiers.map((name) => name.split('/', name.startsWith('@') ? 2 : 1).join('/'));
    return new Set(packages.filter((name) => !name.startsWith('node:') && !builtinModules.includes(name)));
  };

  it('are each used', () => {
    const imported = importedBy(['src', 'routes', 'deploy', 'test', 'bench']);
    expect(Object.keys(declared).filter((name) => !imported.has(name) && !(name in INDIRECT))).toEqual([]);
  });

  it('are pinned', () => {
    expect(Object.entries(declared).filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
  });

  it('of the service are not development dependencies', () => {
    expect([...importedBy(['src', 'routes'])].filter((name) => !(name in runtime))).toEqual([]);
  });
});
