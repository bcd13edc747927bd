import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { Feed, ISocket } from '../src/feed';

class Socket implements ISocket {
  onopen: ((event: any) => void) | null = null;
  onmessage: ((event: any) => void) | null = null;
  onclose: ((event: any) => void) | null = null;
  closed = false;
  close(): void {
    this.closed = true;
    this.onclose?.({});
  }
}

let sockets: Socket[];
let told: any[];
let away: boolean[];
let feed: Feed;

beforeEach(() => {
  vi.useFakeTimers();
  sockets = [];
  told = [];
  away = [];
  feed = new Feed(
    () => {
      sockets.push(new Socket());
      return sockets[sockets.length - 1];
    },
    message => told.push(message),
    value => away.push(value)
  );
});

afterEach(() => void vi.useRealTimers());

test('messages arrive, and what is no JSON is passed over', () => {
  feed.start();
  sockets[0].onopen!({});
  sockets[0].onmessage!({ data: '{"load": {}}' });
  sockets[0].onmessage!({ data: '{' });
  expect(told).toEqual([{ load: {} }]);
  expect(away).toEqual([false]);
});

test('a server that is away is asked less and less often, and found again', () => {
  feed.start();
  const times: number[] = [];
  const began = Date.now();
  for (let i = 0; i < 9; i++) {
    sockets[i].onclose!({});
    vi.advanceTimersToNextTimer();
    times.push(Date.now() - began);
  }
  const pauses = times.map((time, i) => time - (times[i - 1] ?? 0));
  expect(pauses.slice(0, 3)).toEqual([500, 1000, 2000]);
  expect(Math.max(...pauses)).toBe(30000);
  expect(sockets).toHaveLength(10);
  sockets[9].onopen!({});
  expect(away[away.length - 1]).toBe(false);
  sockets[9].onclose!({});
  vi.advanceTimersByTime(500);
  expect(sockets).toHaveLength(11);
});

test('who leaves off is told nothing more, and nothing is tried again', () => {
  feed.start();
  const socket = sockets[0];
  feed.stop();
  expect(socket.closed).toBe(true);
  socket.onmessage?.({ data: '{"load": {}}' });
  vi.advanceTimersByTime(1e6);
  expect(told).toEqual([]);
  expect(away).toEqual([]);
  expect(sockets).toHaveLength(1);
});

test('starting twice opens one socket; a pending attempt ends with stop', () => {
  feed.start();
  feed.start();
  expect(sockets).toHaveLength(1);
  sockets[0].onclose!({});
  feed.stop();
  vi.advanceTimersByTime(1e6);
  expect(sockets).toHaveLength(1);
});
