/** The layers, bottom first. A file imports from its own layer and from those before it, types included. */
const LAYERS = `
  common lib config.ts media store observability models inference inputs embedding search items serving
  rollout backup jobs http routes service.ts|app.ts|admin-app.ts|start.ts|main.ts client cli
`
  .trim()
  .split(/\s+/);

const pathOf = (layer) => (layer === 'routes' ? '^routes/' : `^src/(${layer})(/|$)`);
const FILES = '^(src|routes)/';

module.exports = {
  forbidden: [
    { name: 'no import cycle', severity: 'error', from: {}, to: { circular: true } },
    { name: 'every file has a layer', severity: 'error', from: { path: FILES, pathNot: LAYERS.map(pathOf) }, to: {} },
    {
      name: 'the client stands alone',
      severity: 'error',
      from: { path: pathOf('client') },
      to: { pathNot: pathOf('client') },
    },
    ...LAYERS.map((layer, i) => ({
      name: `${layer} imports downward only`,
      severity: 'error',
      from: { path: pathOf(layer) },
      to: { path: FILES, pathNot: LAYERS.slice(0, i + 1).map(pathOf) },
    })),
  ],
  options: {
    parser: 'swc',
    tsPreCompilationDeps: true, // Counts imports of types.
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      extensions: ['.ts', '.js'],
      conditionNames: ['import', 'types', 'default'],
      exportsFields: ['exports'],
    },
  },
};
