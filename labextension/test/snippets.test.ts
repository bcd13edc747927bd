import { expect, test } from 'vitest';

import { asCell, benchCell, clientCell, compareCell, serveCell } from '../src/snippets';

test('cells name what they are for', () => {
  expect(benchCell('qwen')).toMatch(/^%%bench qwen\n/);
  expect(clientCell('qwen')).toContain('qwen.client.chat.completions.create');
  expect(compareCell('r1', 'r2')).toBe('%compare r1 r2');
  expect(serveCell()).toBe('%load_ext llm_magics\n%serve tiny');
  expect(serveCell('vllm')).toBe('%%serve vllm --engine vllm\nmodel: tiny');
  expect(serveCell('my-engine')).toMatch(/^%%serve server --engine my-engine\n/);
});

test('a cell is a whole code cell', () => {
  expect(asCell('1')).toMatchObject({ cell_type: 'code', source: '1', outputs: [], execution_count: null });
});
