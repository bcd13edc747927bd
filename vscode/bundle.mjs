// One file of everything, as VS Code loads it: the sources of this folder and of the shared package, and @lumino/signaling.
import { copyFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { rolldown } from 'rolldown';

const here = name => fileURLToPath(new URL(name, import.meta.url));
const bundle = await rolldown({
  input: here('src/extension.ts'),
  platform: 'node',
  external: ['vscode'],
  resolve: { alias: { '@llm-magics/model': here('../packages/model/src/index.ts') } }
});
await bundle.write({ file: here('dist/extension.js'), format: 'cjs', minify: true, codeSplitting: false });
await bundle.close();
copyFileSync(here('../LICENSE'), here('LICENSE'));
