import { expect, test } from 'vitest';

import { gpuFacts, heldBy, holder } from '../src/engines';
import { IGpu } from '../src/types';
import { engine } from './made';

const trans = {
  __: (text: string, ...values: any[]) => text.replace(/%(\d)/g, (_, place) => String(values[place - 1]))
};
const process = (server: string, memory: number | null) => ({ pid: 7, name: 'python', server, memory });
const gpu = (index: number, more: Partial<IGpu> = {}): IGpu => ({
  index,
  uuid: `GPU-${index}`,
  name: 'H100',
  memory_total: 80,
  memory_used: 1,
  utilisation: null,
  power: null,
  power_limit: null,
  temperature: null,
  mig: false,
  processes: [],
  ...more
});
const GIB = 2 ** 30;

test('an engine is on the GPUs it was given, with the memory that its processes hold on all of them', () => {
  const gpus = [
    gpu(0, { processes: [process('a', 5 * GIB), process('', 70 * GIB), process('a', null)] }),
    gpu(1, { processes: [process('a', 2 * GIB)] })
  ];
  expect(heldBy(engine('a', { gpus: [0, 1] }), { at: 0, memory: GIB }, gpus, trans).text).toBe('GPU 0, 1 · 7.0 GiB');
  expect(heldBy(engine('b', { gpus: [3] }), undefined, gpus, trans).text).toBe('GPU 3');
});

test('one that was given none is where the driver shows its processes', () => {
  const gpus = [gpu(0), gpu(1, { processes: [process('a', 2 * GIB)] })];
  expect(heldBy(engine('a'), { at: 0, memory: GIB }, gpus, trans)).toMatchObject({
    kind: 'GPU',
    text: 'GPU 1 · 2.0 GiB'
  });
});

test('what the driver shows on no GPU is not said to be on the CPU, where there are GPUs', () => {
  const load = { at: 0, memory: 3 * GIB };
  expect(heldBy(engine('a'), load, [gpu(0)], trans).text).toBe('RAM · 3.0 GiB');
  expect(heldBy(engine('a'), undefined, [gpu(0)], trans).text).toBe('');
  expect(heldBy(engine('a'), load, [], trans).text).toBe('CPU · 3.0 GiB');
  expect(heldBy(engine('a'), undefined, [], trans).text).toBe('CPU');
});

test('a GPU says what its driver tells, and nothing for what it does not', () => {
  expect(gpuFacts(gpu(0), trans)).toEqual([]);
  const all = gpu(0, { mig: true, utilisation: 0, power: 512.3, power_limit: 700, temperature: 61 });
  expect(gpuFacts(all, trans)).toEqual(['MIG instances', '0 %', '512 / 700 W', '61 °C']);
  expect(gpuFacts(gpu(0, { power: 70.2 }), trans)).toEqual(['70 W']);
});

test('a process is an engine of ours by its name, or somebody else by program and number', () => {
  expect(holder(process('qwen', 1), trans)).toBe('qwen');
  expect(holder(process('', 1), trans)).toBe('python (pid 7)');
  expect(holder({ ...process('', 1), name: '' }, trans)).toBe('? (pid 7)');
});
