import { expect, test } from 'vitest';

import { KEPT, Rates, sparkline } from '../src/rates';

test('a rate is tokens over the time between two looks', () => {
  const rates = new Rates();
  rates.add({ at: 10, output_tokens: 100 });
  expect(rates.now).toBeNull();
  rates.add({ at: 12, output_tokens: 160 });
  expect(rates.now).toBe(30);
});

test('an engine that counts nothing has no rate, not a rate of zero', () => {
  const rates = new Rates();
  rates.add({ at: 1, memory: 5 });
  rates.add({ at: 2, memory: 5 });
  expect(rates.now).toBeNull();
});

test('a counter that starts anew is no negative rate, and the same look twice is no rate', () => {
  const rates = new Rates();
  rates.add({ at: 1, output_tokens: 500 });
  rates.add({ at: 2, output_tokens: 20 });
  expect(rates.now).toBe(0);
  rates.add({ at: 2, output_tokens: 20 });
  expect(rates.values).toHaveLength(1);
});

test('a minute is kept', () => {
  const rates = new Rates();
  for (let i = 0; i < 3 * KEPT; i++) {
    rates.add({ at: i, output_tokens: i * i });
  }
  expect(rates.values).toHaveLength(KEPT);
  expect(rates.now).toBe(2 * (3 * KEPT) - 3);
});

test('the newest value is at the right, the largest at the top, zero at the bottom', () => {
  const corners = sparkline([0, 10, 5], 59, 16)
    .split(' ')
    .map(corner => corner.split(',').map(Number));
  expect(corners.map(corner => corner[0])).toEqual([57, 58, 59]);
  expect(corners[1][1]).toBe(1);
  expect(corners[0][1]).toBe(15);
});

test('an engine that does nothing draws the same line at every look', () => {
  expect(sparkline([0], 59, 16)).toBe('0,15 59,15');
  expect(sparkline([0, 0], 59, 16)).toBe(sparkline([0], 59, 16));
  expect(sparkline([0, 1], 59, 16)).not.toBe(sparkline([0], 59, 16));
});
