// What the two trees show, as plain data: rows with words, an icon's name, what can be done with them.
import {
  answers,
  basename,
  baseUrl,
  bytes,
  cause,
  counted,
  current,
  ended,
  ends,
  gpuFacts,
  heading,
  heldBy,
  holder,
  IEngine,
  IGpu,
  IRoutes,
  ITask,
  ITranslate,
  IWeek,
  Model,
  notebookOf,
  progress,
  rate,
  requests,
  runs,
  starts,
  stateWord,
  tickedBy
} from '@llm-magics/model';

import { english } from './english';
import { left, minutes, ShownRates } from './steady';

/** One row. Two that are equal as JSON look the same. */
export interface IRow {
  /** Of one row, whatever becomes of it. */
  id: string;
  label: string;
  description?: string;
  tooltip?: string;
  /** What a screen reader says. */
  spoken: string;
  icon?: string;
  colour?: string;
  /** What menus go by: `engine.runs.answers`, `task.notebook` … */
  context?: string;
  /** An engine's name, a task's id: what commands are about. */
  about?: string;
  /** A command that a click runs. */
  click?: string;
  /** A check box; undefined where there is none. */
  ticked?: boolean;
  open?: boolean;
  rows?: IRow[];
}

const ICONS: Record<string, [icon: string, colour?: string]> = {
  starting: ['loading~spin'],
  loading: ['loading~spin'],
  ready: ['circle-filled', 'charts.green'],
  asleep: ['moon'],
  stopping: ['debug-stop'],
  failed: ['error', 'list.errorForeground'],
  lost: ['error', 'list.errorForeground'],
  elsewhere: ['remote']
};

/** The engines, then the GPUs where there are any. */
export function engineRows(
  model: Model<IRoutes>,
  now: number,
  rates = new ShownRates(),
  trans: ITranslate = english
): IRow[] {
  const rows = model.engines.map(engine => engineRow(engine, model, now, rates, trans));
  if (model.leftOff > 0) {
    const label = trans.__('%1 more are not shown.', model.leftOff);
    rows.push({ id: 'left-off', label, spoken: label });
  }
  return [...rows, ...model.gpus.map(gpu => gpuRow(gpu, trans))];
}

function engineRow(engine: IEngine, model: Model<IRoutes>, now: number, rates: ShownRates, trans: ITranslate): IRow {
  const stopping = engine.state === 'stopping' || model.stopping.has(engine.name);
  const shown: IEngine = stopping ? { ...engine, state: 'stopping' } : engine;
  const state = stateWord(shown, trans);
  const load = model.load(engine.name);
  const perSecond = model.rates(engine.name)?.now ?? null;
  const refusal = model.refusals[engine.name];
  const [icon, colour] = refusal
    ? ['warning', 'list.warningForeground']
    : (ICONS[engine.asleep && shown.state === 'ready' ? 'asleep' : shown.state] ?? ['circle-outline']);
  const held = heldBy(engine, load, model.gpus, trans);
  const speed = (value: number) => `${rate(value)} ${trans.__('tok/s')}`;
  const id = `engine ${engine.id || engine.name}`;
  const detail = (label: string, description: string, more: Partial<IRow> = {}): IRow => ({
    id: `${id} ${label}`,
    label,
    description,
    tooltip: description,
    spoken: `${label}: ${description}`,
    ...more
  });
  const rows: IRow[] = [];
  if (refusal) {
    rows.push(detail(trans.__('Refused'), refusal, { icon: 'warning' }));
  }
  if (starts(shown)) {
    const { stage, time } = progress(engine, now, trans);
    rows.push(detail(trans.__('Start'), `${stage} · ${time}`));
  }
  if (ended(engine)) {
    rows.push(detail(trans.__('Why'), cause(engine, trans)));
    if (engine.diagnosis?.line) {
      rows.push(detail(trans.__('It said'), engine.diagnosis.line));
    }
    if (engine.diagnosis?.remedy) {
      rows.push(detail(trans.__('What helps'), engine.diagnosis.remedy));
    }
  }
  rows.push(detail(trans.__('Model'), engine.model));
  rows.push(detail(trans.__('Engine'), `${engine.engine} ${engine.engine_version}`.trim()));
  if (shown.state === 'ready') {
    if (held.text) {
      rows.push(detail(held.kind === 'CPU' ? trans.__('Runs on') : held.kind, held.text, { tooltip: held.title }));
    }
    const asked = requests(load, trans);
    if (asked) {
      rows.push(detail(trans.__('Requests'), asked));
    }
    if (perSecond !== null) {
      rows.push(detail(trans.__('Output'), speed(perSecond), { tooltip: trans.__('Output tokens per second') }));
    }
    rows.push(detail(trans.__('Ready for'), minutes(now - (engine.ready_at ?? engine.created), trans)));
  }
  if (runs(engine) && engine.url) {
    rows.push(detail('URL', baseUrl(engine), { context: 'url', about: engine.name }));
  }
  const owner = notebookOf(engine);
  if (owner) {
    rows.push(detail(trans.__('Started by'), basename(owner), { tooltip: owner }));
  }
  let ending = '';
  if (runs(engine) && engine.stops_at !== null) {
    ending = trans.__('stops in %1', left(engine.stops_at - now));
    const why = engine.stops_why ? `: ${engine.stops_why}` : '';
    rows.push(detail(trans.__('Ending'), `${ending}${why}`, { icon: 'watch', context: 'ending', about: engine.name }));
  }
  const words = [
    state,
    starts(shown) ? engine.stage : ends(basename(engine.model), 24),
    shown.state === 'ready' ? held.text : '',
    shown.state === 'ready' && perSecond !== null ? speed(rates.of(engine.name, perSecond)) : '',
    ending
  ].filter(word => word);
  return {
    id,
    label: engine.name,
    description: words.join(' · '),
    tooltip: [`${engine.name}: ${state}`, `${engine.engine} · ${engine.model}`, engine.url]
      .filter(line => line)
      .join('\n'),
    spoken: [engine.name, ...words, refusal ?? ''].filter(word => word).join(', '),
    icon,
    colour,
    context: [
      'engine',
      runs(engine) && !stopping ? 'runs' : '',
      answers(shown) ? 'answers' : '',
      ended(engine) ? 'ended' : ''
    ]
      .filter(word => word)
      .join('.'),
    about: engine.name,
    open: ended(engine) || refusal !== undefined,
    rows
  };
}

function gpuRow(gpu: IGpu, trans: ITranslate): IRow {
  const memory = gpu.memory_total ? [`${bytes(gpu.memory_used)} / ${bytes(gpu.memory_total)}`] : [];
  const facts = [...memory, ...gpuFacts(gpu, trans)];
  return {
    id: `gpu ${gpu.uuid}`,
    label: `GPU ${gpu.index}`,
    description: facts.join(' · '),
    tooltip: `${gpu.name}\n${gpu.uuid}`,
    spoken: [`GPU ${gpu.index}`, gpu.name, ...facts].join(', '),
    icon: 'circuit-board',
    context: 'gpu',
    open: false,
    rows: gpu.processes.map(process => {
      const label = holder(process, trans);
      const description = process.memory === null ? '' : bytes(process.memory);
      return { id: `gpu ${gpu.uuid} ${process.pid}`, label, description, spoken: `${label} ${description}` };
    })
  };
}

/** The weeks, each with its tasks; the first with something to do is open. */
export function pathRows(weeks: IWeek[], trans: ITranslate = english): IRow[] {
  const first = current(weeks);
  return weeks.map((week, number) => {
    const { done, all } = counted(week);
    return {
      id: `week ${week.week}`,
      label: heading(week, trans),
      description: `${done}/${all}`,
      spoken: `${heading(week, trans)}, ${trans.__('%1 of %2 done', done, all)}`,
      icon: done === all ? 'pass-filled' : 'circle-large-outline',
      colour: done === all ? 'charts.green' : undefined,
      context: 'week',
      open: number === first,
      rows: week.tasks.map(task => taskRow(task, trans))
    };
  });
}

function taskRow(task: ITask, trans: ITranslate): IRow {
  const id = `task ${task.id}`;
  const said = (name: string, label: string, icon?: string): IRow => ({
    id: `${id} ${name}`,
    label,
    tooltip: label,
    spoken: label,
    icon
  });
  const rows = [said('why', task.why, 'info')];
  if (!task.done) {
    rows.push(...task.missing.map((each, number) => said(`missing ${number}`, each, 'circle-small')));
    if (!task.notebook && task.today) {
      rows.push(said('today', task.today));
    }
    if (task.lighter) {
      rows.push(said('lighter', task.lighter));
    }
  }
  const ticked = task.done ? trans.__('done') : trans.__('to do');
  return {
    id,
    label: task.title,
    tooltip: `${task.why}\n${tickedBy(task, trans)}`,
    spoken: `${task.title}, ${ticked}`,
    icon: task.manual ? undefined : task.done ? 'pass-filled' : 'circle-large-outline',
    colour: task.done ? 'charts.green' : undefined,
    context: task.notebook ? 'task.notebook' : 'task',
    about: task.id,
    click: task.notebook ? 'llmMagics.openTask' : undefined,
    ticked: task.manual ? task.done : undefined,
    open: false,
    rows
  };
}
