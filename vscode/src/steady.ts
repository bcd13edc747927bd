// Words for what changes by the second, told so that a row keeps them: one that is drawn anew has new buttons.
import { ITranslate, span } from '@llm-magics/model';

/** What is left of an engine's time: by the minute, the last two by ten seconds. */
export function left(seconds: number): string {
  const minutes = Math.ceil(seconds / 60);
  return minutes >= 120
    ? span(60 * minutes)
    : minutes > 1
      ? `${minutes} min`
      : `${10 * Math.max(1, Math.ceil(seconds / 10))} s`;
}

/** How long something has been so, to the minute. */
export function minutes(seconds: number, trans: ITranslate): string {
  return seconds < 60 ? trans.__('less than a minute') : seconds < 120 ? '1 min' : span(seconds);
}

/** The rates that rows show, by engine. One that trembles is told as it was until it is off by a fifth. */
export class ShownRates {
  private _shown = new Map<string, number>();

  /** What is shown of a rate. */
  of(name: string, rate: number): number {
    const shown = this._shown.get(name);
    if (shown === undefined || Math.abs(rate - shown) > shown / 5 || !rate) {
      this._shown.set(name, rate);
      return rate;
    }
    return shown;
  }
}
