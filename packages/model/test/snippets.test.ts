import { expect, test } from 'vitest';

import { asCell, benchCell, clientCell, compareCell, LOAD, serveCell, withLoad } from '../src/snippets';

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

test('the magics are loaded once, and only for magics', () => {
  expect(withLoad('%%bench a', [])).toEqual([LOAD, '%%bench a']);
  expect(withLoad('%%bench a', ['import x', '  %load_ext llm_magics'])).toEqual(['%%bench a']);
  expect(withLoad('%%bench a', ['# %load_ext llm_magics', '%load_ext other'])).toEqual([LOAD, '%%bench a']);
  expect(withLoad(serveCell(), [])).toEqual([serveCell()]);
  expect(withLoad(clientCell('a'), [])).toEqual([clientCell('a')]);
});
