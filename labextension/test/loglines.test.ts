import { IPage } from '@llm-magics/model';
import { expect, test } from 'vitest';

import { found, levelOf, LEVELS, LogLines, MOST, windowOf } from '../src/loglines';

const SEAMS = { another: 'another', gone: 'gone' };
const page = (text: string, more: Partial<IPage> = {}): IPage => ({
  file: '7',
  start: 0,
  end: text.length,
  size: text.length,
  text,
  earlier: false,
  seam: '',
  ...more
});

test('levels as engines write them', () => {
  expect(levelOf('ERROR 11-26 03:00:00 [core.py:1] no memory')).toBe('error');
  expect(levelOf('(EngineCore pid=3) WARNING 11-26: slow')).toBe('warning');
  expect(levelOf('Traceback (most recent call last):')).toBe('error');
  expect(levelOf('torch.OutOfMemoryError: CUDA out of memory')).toBe('error');
  expect(levelOf('ValueError: no')).toBe('error');
  expect(levelOf('INFO: 127.0.0.1 "GET /error HTTP/1.1" 200')).toBe('info');
  expect(levelOf('DEBUG x')).toBe('debug');
  expect(levelOf('0.00.021.295 W srv  load_model: slow')).toBe('warning');
  expect(levelOf('0.00.021.295 E srv  load_model: no')).toBe('error');
  expect(levelOf('0.00.021.295 I srv  E x')).toBe('info');
});

test('the lines of a traceback belong to the error', () => {
  const log = new LogLines(SEAMS);
  log.append(
    page('INFO a\nTraceback (most recent call last):\n  File "x.py", line 1\n    f()\nValueError: no\nINFO b\n')
  );
  expect(log.lines.map(line => line.level)).toEqual(['info', 'error', 'error', 'error', 'error', 'info']);
  expect(log.shown(new Set(['error'])).map(line => line.text)).not.toContain('INFO b');
  expect(log.shown(new Set(LEVELS))).toHaveLength(6);
});

test('pages follow each other, and earlier ones go in front', () => {
  const log = new LogLines(SEAMS);
  log.append(page('c\nd\n', { start: 4, end: 8, earlier: true }));
  expect(log.earlier).toBe(true);
  log.append(page('e\n', { start: 8, end: 10 }));
  expect(log.last).toEqual({ file: '7', offset: 10 });
  expect(log.first).toEqual({ file: '7', offset: 4 });
  expect(log.prepend(page('a\nb\n', { start: 0, end: 4 }))).toBe(2);
  expect(log.lines.map(line => line.text).join('')).toBe('abcde');
  expect(log.earlier).toBe(false);
});

test('an empty line is a line, an empty page is none', () => {
  const log = new LogLines(SEAMS);
  expect(log.append(page('a\n\nb\n'))).toBe(3);
  expect(log.append(page(''))).toBe(0);
});

test('what does not follow the lines above it is set apart, as a warning', () => {
  const log = new LogLines(SEAMS);
  log.append(page('a\n'));
  log.append(page('y\n', { file: '8', seam: 'gone' }));
  log.append(page('z\n', { file: '9', seam: 'another' }));
  expect(log.lines.map(line => line.text)).toEqual(['a', 'gone', 'y', 'another', 'z']);
  expect(log.shown(new Set(['warning'])).map(line => line.text)).toEqual(['gone', 'another']);
  expect(log.last).toEqual({ file: '9', offset: 2 });
});

test('a log of any length is kept in bounds', () => {
  const log = new LogLines(SEAMS);
  for (let i = 0; i < 3; i++) {
    log.append(page('x\n'.repeat(MOST / 2)));
  }
  expect(log.lines).toHaveLength(MOST);
  expect(log.lines[0].text).toBe('gone');
  expect(log.lines[1].text).toBe('x');
  expect(log.earlier).toBe(false);
  expect(log.prepend(page('a\nb\n', { start: 0, end: 4 }))).toBe(0);
  expect(log.lines.slice(0, 2).map(line => line.text)).toEqual(['gone', 'x']);
});

test('a search looks at letters, not at patterns or case', () => {
  const log = new LogLines(SEAMS);
  log.append(page('a.c\nABC\nA.C (x\n'));
  expect(found(log.lines, 'a.c')).toEqual([0, 2]);
  expect(found(log.lines, '(')).toEqual([2]);
  expect(found(log.lines, '')).toEqual([]);
});

test('only what is on the screen is drawn', () => {
  expect(windowOf(0, 600, 20, 5)).toEqual({ first: 0, last: 5 });
  const view = windowOf(20000, 600, 20, 50000);
  expect(view.first).toBe(980);
  expect(view.last).toBe(1050);
  expect(windowOf(1e9, 600, 20, 30).first).toBeLessThanOrEqual(30);
});
