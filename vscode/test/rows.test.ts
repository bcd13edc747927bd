// What the trees show of every state, in words that a screen reader has too; and what is drawn anew.
import { IEngine, IRoutes, ISocket, Model } from '@llm-magics/model';
import { beforeEach, expect, test } from 'vitest';

import { engine, task } from '../../packages/model/test/made';
import { changes, flat, renewed } from '../src/redraw';
import { engineRows, IRow, pathRows } from '../src/rows';
import { ShownRates } from '../src/steady';
import { atLeast } from '../src/trouble';

let model: Model;
let socket: ISocket;
const NOW = 1000;
const say = (message: object) => socket.onmessage!({ data: JSON.stringify(message) });
const shown = (...engines: IEngine[]) => {
  say({ engines });
  return engineRows(model, NOW);
};
const details = (row: IRow) => Object.fromEntries((row.rows ?? []).map(each => [each.label, each.description]));

beforeEach(() => {
  socket = { onopen: null, onmessage: null, onclose: null, close: () => undefined };
  model = new Model({ watch: () => socket, tasks: async () => [] } as unknown as IRoutes);
  model.look('test', true);
});

test('an engine at work: state, model, where it runs and how fast, at a glance and in detail', () => {
  say({ engines: [engine('qwen')] });
  say({ load: { qwen: { at: 1, output_tokens: 0, running: 1, waiting: 2, memory: 2 ** 30 } } });
  say({ load: { qwen: { at: 2, output_tokens: 45, running: 1, waiting: 2, memory: 2 ** 30 } } });
  const [row] = engineRows(model, NOW);
  expect(row.label).toBe('qwen');
  expect(row.description).toBe('ready · tiny-q8_0.gguf · CPU · 1.0 GiB · 45 tok/s');
  expect(row.spoken).toBe('qwen, ready, tiny-q8_0.gguf, CPU · 1.0 GiB, 45 tok/s');
  expect(row.icon).toBe('circle-filled');
  expect(row.context).toBe('engine.runs.answers');
  expect(details(row)).toEqual({
    Model: '/models/tiny-q8_0.gguf',
    Engine: 'llamacpp 1.2',
    'Runs on': 'CPU · 1.0 GiB',
    Requests: '1 running · 2 waiting',
    Output: '45 tok/s',
    'Ready for': '1 min',
    URL: 'http://127.0.0.1:9000/v1'
  });
});

test('on GPUs, their numbers and the memory it holds there; the GPUs stand below', () => {
  const process = { pid: 7, memory: 3 * 2 ** 30, name: 'python', server: 'qwen' };
  const gpu = { mig: false, index: 0, uuid: 'u', name: 'H100', memory_total: 80 * 2 ** 30, memory_used: 4 * 2 ** 30 };
  say({ gpus: [{ ...gpu, utilisation: 93, power: 301.6, power_limit: 700, temperature: null, processes: [process] }] });
  say({ load: { slow: { at: 1, memory: 2 ** 30 } } });
  const [, slow, silent] = shown(engine('qwen'), engine('slow'), engine('silent'));
  expect(slow.description).toContain('RAM · 1.0 GiB'); // the driver shows it nowhere
  expect(details(silent)).not.toHaveProperty('RAM');
  const rows = shown(engine('qwen', { gpus: [0] }));
  expect(rows[0].description).toContain('GPU 0 · 3.0 GiB');
  expect(rows[1]).toMatchObject({ label: 'GPU 0', description: '4.0 GiB / 80.0 GiB · 93 % · 302 / 700 W' });
  expect(rows[1].rows![0]).toMatchObject({ label: 'qwen', description: '3.0 GiB' });
});

test('a start says its stage and how long the same start took', () => {
  const [row] = shown(
    engine('qwen', { state: 'loading', stage: 'loading weights 1/2', ready_at: null, expected: 200 })
  );
  expect(row.description).toBe('loading · loading weights 1/2');
  expect(details(row)['Start']).toBe('loading weights 1/2 · 100 s of about 3 min');
  expect(row.context).toBe('engine.runs');
  expect(row.icon).toBe('loading~spin');
});

test('one that failed is open, with cause, line and remedy; it can be dismissed, not stopped', () => {
  const diagnosis = { cause: 'out of memory', line: 'CUDA OOM', remedy: 'gpu_memory_utilization: 0.8' };
  const [row] = shown(engine('qwen', { state: 'failed', diagnosis }));
  expect(row.open).toBe(true);
  expect(details(row)).toMatchObject({ Why: 'out of memory', 'It said': 'CUDA OOM', 'What helps': diagnosis.remedy });
  expect(row.context).toBe('engine.ended');
});

test('one of another host that shares the directory says where it runs; nothing can be done to it here', () => {
  const [row] = shown(engine('qwen', { state: 'elsewhere', host: 'node7', stops_at: NOW + 60 }));
  expect(row.description).toBe('running on node7 · tiny-q8_0.gguf');
  expect(row.context).toBe('engine');
  expect(row.icon).toBe('remote');
  expect(row.open).toBe(false);
  expect(details(row)).toEqual({ Model: '/models/tiny-q8_0.gguf', Engine: 'llamacpp 1.2' }); // its URL is of that host
});

test('one that sleeps answers nothing; one about to end counts down', () => {
  const rows = shown(engine('a', { asleep: true }), engine('b', { stops_at: NOW + 541, stops_why: 'idle' }));
  expect(rows[0]).toMatchObject({ icon: 'moon', context: 'engine.runs' });
  expect(rows[0].description).toMatch(/^asleep/);
  expect(rows[1].description).toContain('stops in 10 min');
  expect(details(rows[1])['Ending']).toBe('stops in 10 min: idle');
});

test('a refusal stands in the row, where the person looks', async () => {
  say({ engines: [engine('qwen')] });
  model.refusals['qwen'] = 'qwen could not be stopped.';
  const [row] = engineRows(model, NOW);
  expect(row).toMatchObject({ icon: 'warning', open: true });
  expect(row.rows![0].description).toBe('qwen could not be stopped.');
  expect(row.spoken).toContain('could not be stopped');
});

test('more than are shown are counted', () => {
  say({ engines: [engine('a')], left_off: 3 });
  expect(engineRows(model, NOW)[1].label).toBe('3 more are not shown.');
});

test('the path: the first week with something to do is open; ticks are measured, or yours', () => {
  const done = task('a', { done: true, form: 'lighter', missing: [] });
  const rows = pathRows([
    { week: '1', title: 'Serving', tasks: [done] },
    { week: '2', title: 'Load', tasks: [task('b'), task('c', { manual: true, notebook: null, today: 'read it' })] },
    { week: 'later', title: 'Ongoing', tasks: [task('d')] }
  ]);
  expect(rows.map(row => row.open)).toEqual([false, true, false]);
  expect(rows.map(row => row.label)).toEqual(['Week 1: Serving', 'Week 2: Load', 'Ongoing']);
  expect(rows.map(row => row.description)).toEqual(['1/1', '0/2', '0/1']);
  expect(rows[0].rows![0].tooltip).toBe('Because it teaches.\nMeasured, in its lighter form');
  expect(rows[0].rows![0]).toMatchObject({ icon: 'pass-filled', spoken: 'Do a, done', ticked: undefined });
  const [measured, mine] = rows[1].rows!;
  expect(measured).toMatchObject({ context: 'task.notebook', click: 'llmMagics.openTask', about: 'b' });
  expect(measured.rows!.map(row => row.label)).toEqual(['Because it teaches.', 'a run of it']);
  expect(mine).toMatchObject({ context: 'task', click: undefined, ticked: false });
  expect(mine.rows!.map(row => row.label)).toContain('read it');
});

test('what looks the same is not drawn again, what changed is, alone', () => {
  const before = shown(engine('a'), engine('b'));
  expect(changes(before, shown(engine('a'), engine('b')))).toBeNull();
  expect(changes(before, shown(engine('a'), engine('b', { state: 'stopping' })))).toEqual(['engine id of b']);
  expect(changes(before, shown(engine('a', { model: '/other/tiny-q8_0.gguf' }), engine('b')))).toEqual([
    'engine id of a'
  ]);
  expect(changes(before, shown(engine('b')))).toBe('all');
  expect(changes(before, shown(engine('b'), engine('a')))).toBe('all');
});

test('a row that stays is the same object at every depth: that is how VS Code knows it', () => {
  const before = shown(engine('a'), engine('b'));
  const after = renewed(before, shown(engine('c'), engine('a', { model: '/other/tiny-q8_0.gguf' })));
  expect(after.map(row => row.label)).toEqual(['c', 'a']);
  expect(after[1]).toBe(before[0]);
  expect(after[1].rows![0]).toBe(before[0].rows![0]);
  expect(details(after[1]).Model).toBe('/other/tiny-q8_0.gguf');
  expect(flat(after)).toContain(after[1].rows![0]);
});

test('time that passes and a rate that trembles leave the buttons of a row under the pointer', () => {
  const rates = new ShownRates();
  const drawn = (now: number) => engineRows(model, now, rates);
  say({ engines: [engine('a', { stops_at: NOW + 600 }), engine('b', { state: 'loading', ready_at: null })] });
  let tokens = 0;
  const load = (at: number, more: number) => say({ load: { a: { at, output_tokens: (tokens += more), running: 1 } } });
  load(1, 0);
  load(2, 1240);
  let before = drawn(NOW);
  expect(before[0].description).toContain('1,240 tok/s · stops in 10 min');
  [1180, 1300, 1190, 1290].forEach((more, second) => {
    load(3 + second, more);
    const after = drawn(NOW + 1 + second);
    expect(details(after[0])['Output']).toBe(`${more.toLocaleString('en-US')} tok/s`);
    expect(changes(before, after)).toEqual(['engine id of a Output', 'engine id of b Start']);
    before = after;
  });
  load(7, 1700);
  expect(changes(before, drawn(NOW + 4))).toEqual(['engine id of a']);
  load(8, 0);
  expect(drawn(NOW + 4)[0].description).toContain(' 0 tok/s');
  const late = drawn(NOW + 545);
  expect(late[0].description).toContain('stops in 60 s');
  expect(drawn(NOW + 549)[0].description).toBe(late[0].description);
  expect(drawn(NOW + 599)[0].description).toContain('stops in 10 s');
});

test('versions are compared by their numbers', () => {
  for (const version of ['0.1.0', '0.1', '0.1.1', '0.10.0', '1', '0.1.0rc1', '0.2.dev3']) {
    expect(atLeast(version, '0.1.0')).toBe(true);
  }
  for (const version of ['0.0.9', '0', '', 'unknown', '0.0.10']) {
    expect(atLeast(version, '0.1.0')).toBe(false);
  }
});
