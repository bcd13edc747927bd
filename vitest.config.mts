import { fileURLToPath } from 'node:url';

import { defineConfig } from 'vitest/config';

const project = (root: string) => ({
  extends: true as const,
  test: { name: root, root, include: ['test/**/*.test.ts'] }
});

// The shared package is tested, and used by the tests of the others, from its sources: nothing has to be built first.
export default defineConfig({
  resolve: { alias: { '@llm-magics/model': fileURLToPath(new URL('packages/model/src/index.ts', import.meta.url)) } },
  test: { environment: 'node', testTimeout: 60000, projects: ['packages/model', 'labextension', 'vscode'].map(project) }
});
