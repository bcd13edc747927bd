import { expect, test } from 'vitest';

import { asCell, benchCell, clientCell, compareCell, LOAD, placed, serveCell, withLoad } from '../src/snippets';

test('cells name what they are for', () => {
  expect(benchCell('qwen')).toMatch(/^%%bench qwen\n/);
  expect(clientCell('qwen')).toContain('qwen.client.chat.completions.create');
  expect(compareCell('r1', 'r2')).toBe('%compare r1 r2');
  expect(serveCell()).toBe('%serve tiny');
  expect(serveCell('vllm')).toBe('%%serve vllm --engine vllm\nmodel: tiny');
  expect(serveCell('my-engine')).toMatch(/^%%serve server --engine my-engine\n/);
});

test('a cell is a whole code cell', () => {
  expect(asCell('1')).toMatchObject({ cell_type: 'code', source: '1', outputs: [], execution_count: null });
});

test('a magic is loaded by a cell above it, and by one more where none does', () => {
  expect(withLoad('%%bench a', [])).toEqual([LOAD, '%%bench a']);
  expect(withLoad('%serve tiny', [])).toEqual([`${LOAD}\n%serve tiny`]);
  for (const loads of ['  %load_ext llm_magics', 'import x\n%reload_ext llm_magics # ours', 'load_ext llm_magics']) {
    expect(withLoad('%%bench a', ['import x', loads])).toEqual(['%%bench a']);
    expect(withLoad('%serve tiny', [null, loads])).toEqual(['%serve tiny']);
  }
  for (const other of [
    '# %load_ext llm_magics',
    '%load_ext llm_magics_of_mine',
    `%%bash\n${LOAD}`,
    '%load_ext x',
    null
  ]) {
    expect(withLoad('%%bench a', [other])).toEqual([LOAD, '%%bench a']);
  }
  expect(withLoad(clientCell('a'), [])).toEqual([clientCell('a')]);
});

/** What a notebook holds when a snippet was put into it. */
function after(source: string, present: (string | null)[], chosen: number): (string | null)[] {
  const { start, remove, cells } = placed(source, present, chosen);
  const now = [...present];
  now.splice(start, remove, ...cells);
  return now;
}

test('a snippet goes below the chosen cell, in place of it where it is empty', () => {
  expect(after('%%bench a', [LOAD, '1', '2'], 1)).toEqual([LOAD, '1', '%%bench a', '2']);
  expect(after('%%bench a', [LOAD, ' \n', '2'], 1)).toEqual([LOAD, '%%bench a', '2']);
  expect(after('%%bench a', [LOAD, null, '2'], 1)).toEqual([LOAD, null, '%%bench a', '2']);
  expect(after('x', ['', '1'], 0)).toEqual(['x', '1']);
  expect(after('x', ['1', '2'], -1)).toEqual(['1', '2', 'x']);
  expect(after('x', [], -1)).toEqual(['x']);
});

test('no snippet goes above the cell that loads what it needs', () => {
  expect(after('%%bench a', [LOAD, '2'], 0)).toEqual([LOAD, '%%bench a', '2']);
  expect(after('%%bench a', ['', LOAD, '2'], 0)).toEqual(['', LOAD, '%%bench a', '2']);
  expect(after('%serve tiny', ['1', '2', LOAD], 0)).toEqual(['1', '2', LOAD, '%serve tiny']);
  expect(after('%%bench a', [null, LOAD, '', '2', LOAD], 3)).toEqual([null, LOAD, '', '2', '%%bench a', LOAD]);
  expect(after('print()', ['', LOAD], 0)).toEqual(['print()', LOAD]); // it needs nothing
});

test('a notebook that loads the magics nowhere gets a cell that does', () => {
  expect(after('%%bench a', ['1', '2'], 0)).toEqual(['1', LOAD, '%%bench a', '2']);
  expect(after('%%bench a', ['', '2'], 0)).toEqual([LOAD, '%%bench a', '2']);
  expect(after('%compare a b', [null], 0)).toEqual([null, `${LOAD}\n%compare a b`]);
  expect(after('%%bench a', [], -1)).toEqual([LOAD, '%%bench a']);
});
