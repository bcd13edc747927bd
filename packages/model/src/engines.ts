// One engine in words: its state, how far its start is, where it runs, what became of it.
import { IEngine, IGpu, ILoad } from './types';
import { bytes, span } from './words';

/** What turns a text and its `%1`, `%2` into the reader's language; Lab's `TranslationBundle` is one. */
export interface ITranslate {
  __(text: string, ...values: any[]): string;
}

/** Whether anything of it runs here; one that is `elsewhere` is another host's, which can be seen and nothing else. */
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
    case 'elsewhere':
      return trans.__('running on %1', engine.host ?? '?');
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

/**
 * Where it runs and what it holds there: `GPU 0, 1 · 14.2 GiB`, or the CPU; and what that means. The GPUs are those it
 * was given, else those on which the driver shows processes of it. '' where neither is known.
 *
 * @param gpus - Those of the machine.
 */
export function heldBy(
  engine: IEngine,
  load: ILoad | undefined,
  gpus: IGpu[],
  trans: ITranslate
): { kind: string; text: string; title: string } {
  const seen: number[] = [];
  let held = 0;
  for (const gpu of gpus) {
    const own = gpu.processes.filter(process => process.server === engine.name);
    if (own.length) {
      seen.push(gpu.index);
      held += own.reduce((sum, process) => sum + (process.memory ?? 0), 0);
    }
  }
  const on = engine.gpus.length ? engine.gpus : seen;
  const [kind, memory, title]: [string, number | null | undefined, string] = on.length
    ? ['GPU', held, trans.__('Its GPUs, and the memory it holds there')]
    : gpus.length
      ? ['RAM', load?.memory, trans.__('Memory of its processes; none is seen on a GPU')]
      : ['CPU', load?.memory, trans.__('It runs on the CPU; memory of its processes')];
  const where = on.length ? `GPU ${on.join(', ')}` : kind;
  return { kind, text: memory ? `${where} · ${bytes(memory)}` : kind === 'RAM' ? '' : where, title };
}

/** What a GPU does, in a few words each; what its driver does not tell is left out. */
export function gpuFacts(gpu: IGpu, trans: ITranslate): string[] {
  const { mig, utilisation, power, power_limit, temperature } = gpu;
  return [
    mig ? trans.__('MIG instances') : '',
    utilisation !== null ? `${utilisation} %` : '',
    power !== null ? `${Math.round(power)}${power_limit ? ` / ${Math.round(power_limit)}` : ''} W` : '',
    temperature !== null ? `${temperature} °C` : ''
  ].filter(fact => fact);
}

/** Whose a process on a GPU is: an engine's, by its name, or somebody else's. */
export function holder(process: IGpu['processes'][number], trans: ITranslate): string {
  return process.server || trans.__('%1 (pid %2)', process.name || '?', process.pid);
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
