import { beforeEach, expect, test, vi } from 'vitest';

import { ISocket } from '../src/feed';
import { IRoutes, Model } from '../src/model';
import { Refused } from '../src/refused';
import { engine } from './made';

let socket: ISocket & { closed?: boolean };
let routes: { [Key in keyof Omit<Required<IRoutes>, 'silent'>]: ReturnType<typeof vi.fn> } & { silent: string };
let model: Model;
const say = (message: object) => socket.onmessage!({ data: JSON.stringify(message) });

beforeEach(() => {
  routes = {
    silent: 'Niemand antwortet.',
    engines: vi.fn(async () => ({ engines: [engine('asked')], left_off: 0 })),
    stop: vi.fn(async () => engine('a', { state: 'stopped' })),
    keep: vi.fn(async () => engine('a')),
    dismiss: vi.fn(async () => undefined),
    runs: vi.fn(async () => []),
    tasks: vi.fn(async () => []),
    tick: vi.fn(async () => []),
    notebook: vi.fn(async () => 'a.ipynb'),
    watch: vi.fn(() => {
      socket = { onopen: null, onmessage: null, onclose: null, close: () => (socket.closed = true) };
      return socket;
    })
  };
  model = new Model(routes as unknown as IRoutes);
});

test('nothing is asked while nobody looks; several who look share one socket', () => {
  expect(routes.watch).not.toHaveBeenCalled();
  model.look('panel', true);
  model.look('running', true);
  expect(routes.watch).toHaveBeenCalledTimes(1);
  model.look('panel', false);
  expect(socket.closed).toBeUndefined();
  model.look('running', false);
  expect(socket.closed).toBe(true);
});

test('engines, their load and their rates come from the socket', () => {
  model.look('panel', true);
  say({ engines: [engine('a')], left_off: 3 });
  say({ load: { a: { at: 1, output_tokens: 0, running: 2 } } });
  say({ load: { a: { at: 2, output_tokens: 40, running: 2 } } });
  expect(model.find('a')?.state).toBe('ready');
  expect(model.leftOff).toBe(3);
  expect(model.rates('a')?.now).toBe(40);
  expect(model.load('a')?.running).toBe(2);
  say({ load: {} });
  expect(model.rates('a')).toBeUndefined();
});

test('an engine that did not change stays the same object, and a list that did not is no news', () => {
  const told = vi.fn();
  model.changed.connect(told);
  model.look('panel', true);
  say({ engines: [] });
  expect(model.known).toBe(true);
  expect(told).toHaveBeenCalledTimes(1);
  say({ engines: [engine('a'), engine('b')] });
  const [a, b] = model.engines;
  expect(told).toHaveBeenCalledTimes(2);
  say({ engines: [engine('a'), engine('b')] });
  expect(told).toHaveBeenCalledTimes(2);
  say({ engines: [engine('a'), engine('b', { stage: 'later' })] });
  expect(told).toHaveBeenCalledTimes(3);
  expect(model.engines[0]).toBe(a);
  expect(model.engines[1]).not.toBe(b);
  say({ engines: [model.engines[1], engine('a')] });
  expect(model.engines[1]).toBe(a);
  expect(told).toHaveBeenCalledTimes(4);
  say({ engines: [model.engines[0], engine('a')], left_off: 1 });
  expect(model.leftOff).toBe(1);
});

test('GPUs of which nothing changed stay the same objects', () => {
  model.look('panel', true);
  say({
    gpus: [
      { index: 0, power: 70 },
      { index: 1, power: 70 }
    ]
  });
  const [first, second] = model.gpus;
  say({
    gpus: [
      { index: 0, power: 71 },
      { index: 1, power: 70 }
    ]
  });
  expect(model.gpus[0]).not.toBe(first);
  expect(model.gpus[1]).toBe(second);
});

test('a stop that fails says why in the row, until it is tried again', async () => {
  model.look('panel', true);
  say({ engines: [engine('a')] });
  routes.stop.mockRejectedValueOnce(new Refused('a could not be stopped.', 'a driver call hangs', 'ps -fp 7', 409));
  const stopping = model.stop('a');
  expect(model.stopping.has('a')).toBe(true);
  await stopping;
  expect(model.stopping.has('a')).toBe(false);
  expect(model.refusals['a']).toBe('a could not be stopped. a driver call hangs → ps -fp 7');
  await model.stop('a');
  expect(model.refusals['a']).toBeUndefined();
});

test('a dismissed engine goes at once; one that cannot be dismissed stays and says why', async () => {
  model.look('panel', true);
  say({ engines: [engine('a', { state: 'failed' }), engine('b', { state: 'failed' })] });
  await model.dismiss('a');
  expect(model.engines.map(each => each.name)).toEqual(['b']);
  routes.dismiss.mockRejectedValueOnce(new Refused('b is running.'));
  await model.dismiss('b');
  expect(model.refusals['b']).toBe('b is running.');
  say({ engines: [] });
  expect(model.refusals).toEqual({});
});

test('one quiet line while the server is away, gone when it is back', async () => {
  vi.useFakeTimers();
  model.look('panel', true);
  say({ engines: [engine('a')] });
  socket.onclose!({});
  expect(model.trouble).toBe('Niemand antwortet.'); // the routes' words: Lab's are translated
  expect(model.engines).toHaveLength(1);
  vi.advanceTimersByTime(500);
  socket.onopen!({});
  expect(model.trouble).toBe('');
  say({ trouble: 'The directory of engines cannot be read: no' });
  expect(model.trouble).toContain('cannot be read');
  vi.useRealTimers();
});

test('runs and tasks are asked for again when something was measured or an engine changed its state', async () => {
  model.look('panel', true);
  say({ work: 1 });
  expect(routes.runs).toHaveBeenCalledTimes(1);
  say({ engines: [engine('a', { state: 'loading' })] });
  expect(routes.tasks).toHaveBeenCalledTimes(2);
  say({ engines: [engine('a', { state: 'loading', stage: 'weights 1/2' })] });
  expect(routes.tasks).toHaveBeenCalledTimes(2);
});

test('a tick that is refused is told, and changes nothing', async () => {
  routes.tick.mockRejectedValueOnce(new Refused('It ticks itself.'));
  await model.tick('first', true);
  expect(model.trouble).toBe('It ticks itself.');
  expect(model.weeks).toEqual([]);
});
