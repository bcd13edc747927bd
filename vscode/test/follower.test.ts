// A log goes on: line by line, again after the command died, until the engine is gone.
import { afterEach, expect, test, vi } from 'vitest';

import { Follower } from '../src/follower';
import { CommandRoutes } from '../src/routes';
import { IScripted, scripted } from './scripted';

let follower: Follower | undefined;
afterEach(() => follower?.stop());

const soon = (check: () => void) => vi.waitFor(check, { timeout: 50000, interval: 10 });

function follow(python: IScripted): string[] {
  const lines: string[] = [];
  const routes = new CommandRoutes(async () => python.path, '/');
  follower = new Follower('qwen', routes, { line: text => lines.push(text) });
  return lines;
}

test('lines come as they are written, split wherever they may be', async () => {
  const python = scripted(`process.stdout.write('on'); await until('more'); say('e\\ntwo \\u00e9'); await forever();`);
  const lines = follow(python);
  await soon(() => expect(python.calls()).toEqual(['-m llm_magics.cli logs -f -n 500 qwen']));
  expect(lines).toEqual([]);
  python.happen('more');
  await soon(() => expect(lines).toEqual(['one', 'two é']));
});

test('a command that dies is said once, and followed again', async () => {
  const python = scripted(`say('one'); complain('no more'); process.exit(1);`);
  const lines = follow(python);
  await soon(() => expect(lines).toEqual(['one', '[llm-magics ended with status 1. no more Trying again.]']));
  python.plays(`say('two'); await forever();`);
  await soon(() => expect(lines[2]).toBe('two'));
  expect(python.calls()[1]).toBe('-m llm_magics.cli logs -f -n 20 qwen');
});

test('the same trouble is not said twice', async () => {
  const python = scripted(`complain('no'); process.exit(1);`);
  const lines = follow(python);
  await soon(() => expect(python.calls().length).toBeGreaterThanOrEqual(2));
  python.plays(`say('back'); await forever();`);
  await soon(() => expect(lines).toContain('back'));
  expect(lines.filter(line => line.includes('Trying again'))).toHaveLength(1);
});

test('when it is over, why is written below and nothing comes any more', async () => {
  const python = scripted(`say('one'); await until('more'); say('two'); await forever();`);
  const lines = follow(python);
  await soon(() => expect(lines).toEqual(['one']));
  follower!.stop('qwen has stopped.');
  python.happen('more');
  await new Promise(done => setTimeout(done, 300));
  expect(lines).toEqual(['one', '[qwen has stopped.]']);
});
