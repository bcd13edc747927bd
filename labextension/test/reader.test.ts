import { Refused } from '@llm-magics/model';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { Reader } from '../src/reader';

let logs: ReturnType<typeof vi.fn>;
let changes: number;
let reader: Reader;
const page = (text: string, start: number) => ({
  file: '1',
  start,
  end: start + text.length,
  size: 99,
  text,
  earlier: start > 0,
  seam: ''
});

beforeEach(() => {
  vi.useFakeTimers();
  changes = 0;
  logs = vi.fn(async () => page('', 4));
  reader = new Reader('a', { logs, report: vi.fn() } as any, () => (changes += 1), { another: '', gone: '' });
});

afterEach(() => {
  reader.read(false);
  vi.useRealTimers();
});

test('it asks for the end first, then for what follows, and seldom while nothing does', async () => {
  logs.mockResolvedValueOnce(page('c\nd\n', 4));
  reader.read(true);
  await vi.advanceTimersByTimeAsync(0);
  expect(logs.mock.calls[0]).toEqual(['a', undefined]);
  await vi.advanceTimersByTimeAsync(500);
  expect(logs.mock.calls[1]).toEqual(['a', { file: '1', after: 8 }]);
  const before = logs.mock.calls.length;
  await vi.advanceTimersByTimeAsync(20000);
  expect(logs.mock.calls.length - before).toBeLessThanOrEqual(13);
  expect(changes).toBe(1);
});

test('it asks for nothing once nobody looks', async () => {
  reader.read(true);
  await vi.advanceTimersByTimeAsync(0);
  reader.read(false);
  const before = logs.mock.calls.length;
  await vi.advanceTimersByTimeAsync(60000);
  expect(logs.mock.calls.length).toBe(before);
});

test('a server that is away is told once and found again', async () => {
  logs.mockRejectedValueOnce(new Refused('The server does not answer.'));
  reader.read(true);
  await vi.advanceTimersByTimeAsync(0);
  expect(reader.trouble).toBe('The server does not answer.');
  await vi.advanceTimersByTimeAsync(5000);
  expect(reader.trouble).toBe('');
});

test('earlier lines go in front', async () => {
  logs.mockResolvedValueOnce(page('c\n', 4));
  reader.read(true);
  await vi.advanceTimersByTimeAsync(0);
  logs.mockResolvedValueOnce(page('a\nb\n', 0));
  expect(await reader.earlier()).toBe(2);
  expect(logs).toHaveBeenLastCalledWith('a', { file: '1', before: 4 });
  expect(reader.log.lines.map(line => line.text)).toEqual(['a', 'b', 'c']);
});
