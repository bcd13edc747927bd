// Whose llm-magics is asked: the setting's, the Python extension's, PATH's, in that order; and what is said where there is none.
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { beforeEach, expect, test } from 'vitest';

import { chosenIn, interpreter } from '../src/interpreter';

let home: string;
let bin: string;
const program = (path: string, mode = 0o755) => {
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, '#!/bin/sh\n');
  chmodSync(path, mode);
  return path;
};
const none = async () => undefined;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'llm-magics-'));
  bin = join(home, 'bin');
  mkdirSync(bin);
});

test('the setting comes first: a path, one below home or the workspace, or a name on PATH', async () => {
  const path = program(join(home, 'venv/bin/python'));
  const named = program(join(bin, 'python3.12'));
  const places = { home, workspace: home, path: bin };
  const other = async () => '/other/python';
  expect(await interpreter(path, other, places)).toBe(path);
  expect(await interpreter('~/venv/bin/python', other, places)).toBe(path);
  expect(await interpreter('${workspaceFolder}/venv/bin/python', other, places)).toBe(path);
  expect(await interpreter(' python3.12 ', other, places)).toBe(named);
});

test('a setting that names nothing, or a file that is no program, is said and not passed over', async () => {
  program(join(bin, 'python3'));
  const data = program(join(home, 'data.txt'), 0o644);
  for (const wish of [join(home, 'no/python'), data, 'python9', './python', '${workspaceFolder}/python']) {
    const failed = interpreter(wish, none, { home, path: bin });
    await expect(failed).rejects.toMatchObject({ kind: 'none' });
    await expect(failed).rejects.toThrow(wish);
  }
});

test("then the Python extension's choice, then python3 on PATH, else it is said", async () => {
  const places = { home, path: `relative:${bin}` };
  expect(await interpreter('', async () => '/chosen/python', places)).toBe('/chosen/python');
  await expect(interpreter('', none, places)).rejects.toThrow('There is no Python here');
  const found = program(join(bin, 'python3'));
  expect(await interpreter('', none, places)).toBe(found);
  expect(await interpreter('', () => Promise.reject(new Error('broken')), places)).toBe(found);
});

test("the Python extension's API is asked for the file to run", async () => {
  const environments = (uri?: { fsPath: string }) => ({
    getActiveEnvironmentPath: () => ({ path: '/envs/a' }),
    resolveEnvironment: async (asked: { path: string }) =>
      asked.path === '/envs/a' ? { executable: { uri } } : undefined,
    onDidChangeActiveEnvironmentPath: () => ({ dispose: () => undefined })
  });
  expect(await chosenIn(environments({ fsPath: '/envs/a/bin/python' }))).toBe('/envs/a/bin/python');
  expect(await chosenIn(environments())).toBeUndefined();
});
