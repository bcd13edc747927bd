// How often a row's time has to be told, so that it is drawn again when its words change and not before.
import { IEngine, starts } from '@llm-magics/model';

/** Whether an engine's row shows seconds that pass. */
export function countsSeconds(engine: IEngine, now: number): boolean {
  if (engine.state === 'ready') {
    return engine.stops_at !== null || now - (engine.ready_at ?? engine.created) < 150;
  }
  return starts(engine);
}

/** The time as an engine's row shows it: to the minute since it was ready, but for those that show seconds. */
export function rowTime(engine: IEngine, now: number): number {
  const since = engine.ready_at ?? engine.created;
  return countsSeconds(engine, now) ? now : since + 60 * Math.floor((now - since) / 60) + 1;
}
