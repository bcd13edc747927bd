// One engine in words: its state, how far its start is, where it runs, what became of it.
import { IEngine, ILoad } from './types';
import { bytes, span } from './words';

/** What turns a text and its `%1`, `%2` into the reader's language; Lab's `TranslationBundle` is one. */
export interface ITranslate {
  __(text: string, ...values: any[]): string;
}

/** Whether anything of it runs. */
export function runs(engine: IEngine): boolean {
  return ['starting', 'loading', 'ready', 'stopping'].includes(engine.state);
}

/** Whether it is still to become ready. */
export function starts(engine: IEngine): boolean {
  return engine.state === 'starting' || engine.state === 'loading';
}

/** Whether it can be asked something now. */
export function answers(engine: IEngine): boolean {
  return engine.state === 'ready' && !engine.asleep;
}

/** Whether it ended in a way that somebody has to see. */
export function ended(engine: IEngine): boolean {
  return engine.state === 'failed' || engine.state === 'lost';
}

/** The base URL for OpenAI clients. */
export function baseUrl(engine: IEngine): string {
  return `${engine.url}/v1`;
}

/** The notebook of the first owner that has one. */
export function notebookOf(engine: IEngine): string | undefined {
  return engine.owners.find(owner => owner.notebook)?.notebook;
}

/** The word for a state. */
export function stateWord(engine: IEngine, trans: ITranslate): string {
  switch (engine.state) {
    case 'starting':
      return trans.__('starting');
    case 'loading':
      return trans.__('loading');
    case 'ready':
      return engine.asleep ? trans.__('asleep') : trans.__('ready');
    case 'stopping':
      return trans.__('stopping');
    case 'failed':
      return trans.__('failed');
    case 'lost':
      return trans.__('lost');
    default:
      return engine.state;
  }
}

/** How far a start is: its stage in words, the time passed beside what the same start took, the share of it (0 to 1). */
export function progress(
  engine: IEngine,
  now: number,
  trans: ITranslate
): { stage: string; time: string; share: number | null } {
  const passed = Math.max(0, now - engine.created);
  return {
    stage: engine.stage || trans.__('starting the engine'),
    time: `${span(passed)}${engine.expected ? ` ${trans.__('of about %1', span(engine.expected))}` : ''}`,
    share: engine.expected ? Math.min(0.99, passed / engine.expected) : null
  };
}

/** Where it runs and what it holds there: `GPU 0, 1 · 14.2 GiB`, or the CPU; and what that means. */
export function heldBy(
  engine: IEngine,
  load: ILoad | undefined,
  gpuMemory: number,
  trans: ITranslate
): { text: string; title: string } {
  return engine.gpus.length
    ? {
        text: `GPU ${engine.gpus.join(', ')}${gpuMemory ? ` · ${bytes(gpuMemory)}` : ''}`,
        title: trans.__('GPUs it was given, and the memory its processes hold there')
      }
    : {
        text: load?.memory ? `CPU · ${bytes(load.memory)}` : 'CPU',
        title: trans.__('It runs on the CPU; memory of its processes')
      };
}

/** The requests it answers and those that wait; '' where it does not say. */
export function requests(load: ILoad | undefined, trans: ITranslate): string {
  if (load?.running === undefined) {
    return '';
  }
  const waiting = load.waiting !== undefined ? ` · ${trans.__('%1 waiting', load.waiting)}` : '';
  return `${trans.__('%1 running', load.running)}${waiting}`;
}

/** Why it ended, in one line. */
export function cause(engine: IEngine, trans: ITranslate): string {
  return (
    engine.diagnosis?.cause ||
    (engine.state === 'lost'
      ? trans.__('its supervisor was killed; what it left was ended')
      : engine.exit !== null
        ? trans.__('it ended with status %1', engine.exit)
        : trans.__('it ended'))
  );
}
