import { expect, test } from 'vitest';

import { basename, bytes, countdown, ends, rate, span } from '../src/words';

test('times are said in one or two units, finely enough for a start', () => {
  expect(span(-3)).toBe('0 s');
  expect(span(119.9)).toBe('119 s');
  expect(span(120)).toBe('2 min');
  expect(span(3600)).toBe('1 h');
  expect(span(3 * 3600 + 20 * 60)).toBe('3 h 20 min');
  expect(span(2 * 86400 + 4 * 3600)).toBe('2 d 4 h');
});

test('a countdown never says 0:00 before the time', () => {
  expect(countdown(0.2)).toBe('0:01');
  expect(countdown(598)).toBe('9:58');
  expect(countdown(3723)).toBe('1:02:03');
  expect(countdown(-5)).toBe('0:00');
});

test('bytes change their unit before they take four digits', () => {
  expect(bytes(999)).toBe('999 B');
  expect(bytes(1024 ** 2 * 115)).toBe('115 MiB');
  expect(bytes(1024 ** 3 * 1.5)).toBe('1.5 GiB');
  expect(bytes(1000 * 1024)).toBe('1.0 MiB');
});

test('rates have three digits', () => {
  expect(rate(0)).toBe('0');
  expect(rate(0.42)).toBe('0.4');
  expect(rate(12.54)).toBe('13');
  expect(rate(1240.4)).toBe('1,240');
});

test('both ends of a model name stay, however long it is', () => {
  const name = 'Qwen/Qwen2.5-Coder-32B-Instruct-GPTQ-Int4-very-long-indeed';
  const short = ends(name, 20);
  expect(Array.from(short)).toHaveLength(20);
  expect(name.startsWith(short.split('…')[0])).toBe(true);
  expect(name.endsWith(short.split('…')[1])).toBe(true);
  expect(ends('tiny')).toBe('tiny');
  expect(ends('🦙'.repeat(50), 9)).toBe('🦙🦙🦙🦙…🦙🦙🦙🦙');
});

test('the name of a notebook is the end of its path', () => {
  expect(basename('/notes/of/mine/a.ipynb')).toBe('a.ipynb');
  expect(basename('a.ipynb')).toBe('a.ipynb');
  expect(basename('/')).toBe('/');
});
