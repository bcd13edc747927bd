// What the palette offers: of every engine what can be done with it now, and the words in which it is chosen.
import { IRoutes, Model } from '@llm-magics/model';
import { beforeEach, expect, test, vi } from 'vitest';

import { engine } from '../../packages/model/test/made';
import { insert } from '../src/cells';
import { addCommands } from '../src/commands';

const vscode = vi.hoisted(() => ({
  commands: { registerCommand: vi.fn() },
  env: { clipboard: { writeText: vi.fn() } },
  window: {
    setStatusBarMessage: vi.fn(),
    showErrorMessage: vi.fn(),
    showInformationMessage: vi.fn(),
    showQuickPick: vi.fn(),
    showWarningMessage: vi.fn()
  }
}));
vi.mock('vscode', () => vscode);
vi.mock('../src/cells', () => ({ insert: vi.fn() }));

const ENGINES = [
  engine('well'),
  engine('other', { url: 'http://127.0.0.1:9001' }),
  engine('sleeper', { asleep: true }),
  engine('starter', { state: 'loading' }),
  engine('broken', { state: 'failed' }),
  engine('far', { state: 'elsewhere', host: 'node7' })
];
let routes: Record<'engines' | 'stop' | 'keep' | 'dismiss' | 'tasks', ReturnType<typeof vi.fn>>;
let logs: { open: ReturnType<typeof vi.fn> };

/** Runs a command from the palette; `choice` is what the person takes of that which is offered. */
async function run(id: string, choice?: string): Promise<string[]> {
  vscode.window.showQuickPick.mockImplementation(async items => items.find((item: any) => item.label === choice));
  const [, command] = vscode.commands.registerCommand.mock.calls.find(([name]) => name === `llmMagics.${id}`)!;
  await command();
  const [items] = vscode.window.showQuickPick.mock.lastCall ?? [[]];
  return items.map((item: any) => item.label);
}

beforeEach(() => {
  vi.clearAllMocks();
  routes = {
    engines: vi.fn(async () => ({ engines: ENGINES, left_off: 0 })),
    stop: vi.fn(),
    keep: vi.fn(),
    dismiss: vi.fn(),
    tasks: vi.fn(async () => [])
  };
  logs = { open: vi.fn() };
  const model = new Model(routes as unknown as IRoutes);
  addCommands({ model, logs: logs as any, python: async () => 'python3' });
});

test('cells and the URL are those of engines that answer', async () => {
  expect(await run('benchCell', 'other')).toEqual(['well', 'other']);
  expect(insert).toHaveBeenLastCalledWith(expect.stringMatching(/^%%bench other\n/));
  expect(await run('clientCell', 'other')).toEqual(['well', 'other']);
  expect(insert).toHaveBeenLastCalledWith(expect.stringContaining('other.client.chat'));
  expect(await run('copyUrl', 'other')).toEqual(['well', 'other']);
  expect(vscode.env.clipboard.writeText).toHaveBeenLastCalledWith('http://127.0.0.1:9001/v1');
});

test('whatever runs here can be kept and stopped, what ended forgotten, every log read', async () => {
  const here = ['well', 'other', 'sleeper', 'starter'];
  expect(await run('keep', 'sleeper')).toEqual(here);
  expect(routes.keep).toHaveBeenCalledWith('sleeper', 3600);
  expect(await run('dismiss', 'broken')).toEqual(['broken']);
  expect(routes.dismiss).toHaveBeenCalledWith('broken');
  expect(await run('openLog', 'broken')).toEqual([...here, 'broken', 'far']);
  expect(logs.open).toHaveBeenCalledWith('broken');
  expect(await run('stop', 'starter')).toEqual(here);
  expect(routes.stop).not.toHaveBeenCalled(); // the dialog was closed
  vscode.window.showWarningMessage.mockResolvedValueOnce('Stop');
  await run('stop', 'starter');
  expect(routes.stop).toHaveBeenCalledWith('starter');
});

test('who chooses sees the state of each; who chooses none changes nothing', async () => {
  await run('stop');
  const [items] = vscode.window.showQuickPick.mock.lastCall!;
  expect(items.map((item: any) => item.description.split(' · ')[0])).toEqual(['ready', 'ready', 'asleep', 'loading']);
  expect(vscode.window.showWarningMessage).not.toHaveBeenCalled();
  await run('benchCell');
  expect(insert).not.toHaveBeenCalled();
});

test('where none answers it is said, and nothing is asked', async () => {
  routes.engines.mockResolvedValue({ engines: ENGINES.slice(2), left_off: 0 });
  await run('benchCell');
  expect(vscode.window.showInformationMessage).toHaveBeenCalledTimes(1);
  expect(vscode.window.showQuickPick).not.toHaveBeenCalled();
});
