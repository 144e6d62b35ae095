import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const dist = fileURLToPath(new URL('./dist', import.meta.url));

export default defineConfig({
  resolve: {
    // Tests import src/ and routes/ by name and run what is shipped: the build, with its worker threads.
    alias: [{ find: /^(?:\.\.\/)+(src|routes)\/(.*\.js)$/, replacement: `${dist}/$1/$2` }],
  },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/build.ts'],
    server: { deps: { external: [/\/dist\/(src|routes)\//] } },
    // Real servers, models and processes start in most files: two cores do not carry more at once.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
