import { span } from '@llm-magics/model';
import { expect, test } from 'vitest';

import { engine } from '../../packages/model/test/made';
import { countsSeconds, rowTime } from '../src/clock';

const BEGAN = 1795711187.408123; // seconds since the epoch are not exact to the last digit

test('seconds are counted while they are shown', () => {
  const young = engine('a', { ready_at: BEGAN });
  expect(countsSeconds(young, BEGAN + 119)).toBe(true);
  expect(rowTime(young, BEGAN + 118.5)).toBe(BEGAN + 118.5);
  expect(countsSeconds(young, BEGAN + 200)).toBe(false);
  expect(countsSeconds(engine('a', { ready_at: BEGAN, stops_at: BEGAN + 999 }), BEGAN + 200)).toBe(true);
  for (const [state, counts] of [
    ['starting', true],
    ['loading', true],
    ['stopping', false],
    ['failed', false]
  ] as const) {
    expect(countsSeconds(engine('a', { state, ready_at: null }), 5000)).toBe(counts);
  }
});

test('later a row has a new time exactly when its words are others', () => {
  const old = engine('a', { ready_at: BEGAN });
  let before = rowTime(old, BEGAN + 150);
  for (let seconds = 150.25; seconds < 2 * 3600; seconds += 0.75) {
    const time = rowTime(old, BEGAN + seconds);
    expect(span(time - BEGAN)).toBe(span(BEGAN + seconds - BEGAN));
    expect(time !== before).toBe(span(time - BEGAN) !== span(before - BEGAN));
    before = time;
  }
});
