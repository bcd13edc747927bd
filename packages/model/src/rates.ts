// Tokens a second out of counters that only grow, kept for a minute, for the sparkline.
import { ILoad } from './types';

/** Points of a sparkline. */
export const KEPT = 60;

/** The recent rates of one engine. */
export class Rates {
  /** Output tokens a second, oldest first. */
  readonly values: number[] = [];
  private _before: ILoad | null = null;

  /** Takes one look; a counter that fell means that the engine started anew. */
  add(load: ILoad): void {
    const before = this._before;
    this._before = load;
    if (load.output_tokens === undefined || before?.output_tokens === undefined) {
      return;
    }
    const seconds = load.at - before.at;
    if (seconds <= 0) {
      return;
    }
    this.values.push(Math.max(0, (load.output_tokens - before.output_tokens) / seconds));
    if (this.values.length > KEPT) {
      this.values.shift();
    }
  }

  /** The newest rate; null where the engine counts no tokens, or was looked at only once. */
  get now(): number | null {
    return this.values.length ? this.values[this.values.length - 1] : null;
  }
}

/**
 * The corners of a sparkline as an SVG polyline: newest at the right, 0 at the bottom. While nothing but 0 was seen it is
 * a line that does not grow, so that an idle engine's looks the same at every look.
 */
export function sparkline(values: number[], width: number, height: number): string {
  const top = Math.max(0, ...values);
  if (top === 0) {
    return `0,${height - 1} ${width},${height - 1}`;
  }
  const step = width / Math.max(1, KEPT - 1);
  const begin = width - step * (values.length - 1);
  return values
    .map((value, i) => `${(begin + i * step).toFixed(1)},${(height - 1 - (value / top) * (height - 2)).toFixed(1)}`)
    .join(' ');
}
