// What was measured and what is next: the last runs, and the weeks of the learning path.
import type { TranslationBundle } from '@jupyterlab/translation';
import {
  compareCell,
  counted,
  current,
  ends,
  heading,
  inWords,
  IRun,
  ITask,
  IWeek,
  Model,
  rate,
  tickedBy
} from '@llm-magics/model';
import * as React from 'react';

import { Fragment, h } from './h';
import { Action, IActions } from './rows';

/** When a run was, in the reader's own time; the day only where it is another than today. */
function when(iso: string): string {
  const date = new Date(iso);
  const today = date.toDateString() === new Date().toDateString();
  return isNaN(date.getTime())
    ? iso
    : date.toLocaleString(undefined, {
        ...(today ? {} : { month: 'short', day: 'numeric' }),
        hour: '2-digit',
        minute: '2-digit'
      });
}

/** The last runs; two that are chosen can be compared. */
export const Runs = React.memo((props: { runs: IRun[]; actions: IActions; trans: TranslationBundle }): JSX.Element => {
  const { runs, actions, trans } = props;
  const [chosen, setChosen] = React.useState<string[]>([]);
  const here = chosen.filter(id => runs.some(run => run.id === id));
  const choose = (id: string) => setChosen(here.includes(id) ? here.filter(each => each !== id) : [...here, id]);
  return (
    <>
      <ul className="llm-List">
        {runs.map(run => (
          <li key={run.id} className="llm-Run">
            <input
              type="checkbox"
              checked={here.includes(run.id)}
              disabled={here.length > 1 && !here.includes(run.id)}
              onChange={() => choose(run.id)}
              aria-label={trans.__('Choose the run of %1 at %2', run.label, when(run.started))}
            />
            <button
              className="llm-Link"
              title={`${run.id}\n${run.engine} · ${run.model}`}
              onClick={() => actions.openRun(run.id)}
            >
              {ends(run.label, 24)}
            </button>
            <span className="llm-muted">
              {run.headline.round ? `${run.headline.round} · ` : ''}
              {run.status !== 'complete' ? `${trans.__('partial')} · ` : ''}
              {run.headline.output_throughput ? `${rate(run.headline.output_throughput)} ${trans.__('tok/s')} · ` : ''}
              {when(run.started)}
            </span>
          </li>
        ))}
      </ul>
      <div className="llm-Actions">
        <Action
          label={trans.__('Compare')}
          title={trans.__('Insert a cell that compares the two chosen runs')}
          disabled={here.length !== 2}
          onClick={() => void actions.insert(compareCell(here[0], here[1]))}
        />
        {here.length < 2 && <span className="llm-muted">{trans.__('choose two runs')}</span>}
      </div>
    </>
  );
});

function Task(props: { task: ITask; model: Model; actions: IActions; trans: TranslationBundle }): JSX.Element {
  const { task, model, actions, trans } = props;
  const [open, setOpen] = React.useState(false);
  const [refusal, setRefusal] = React.useState('');
  const fetchNotebook = async () => {
    try {
      setRefusal('');
      actions.openNotebook(await model.routes.notebook(task.id, actions.folder()));
    } catch (error: any) {
      setRefusal(inWords(error));
    }
  };
  return (
    <li className="llm-Task" data-done={task.done}>
      <div className="llm-Task-head">
        <input
          type="checkbox"
          checked={task.done}
          disabled={!task.manual}
          aria-label={task.title}
          title={tickedBy(task, trans)}
          onChange={event => void model.tick(task.id, event.target.checked)}
        />
        <button
          className="llm-Link"
          aria-expanded={open}
          onClick={() => {
            setOpen(!open);
            if (!open && task.notebook) {
              void fetchNotebook();
            }
          }}
        >
          {task.title}
        </button>
      </div>
      {open && (
        <div className="llm-Task-body">
          <div>{task.why}</div>
          {!task.done && task.missing.length > 0 && (
            <>
              <div className="llm-muted">{trans.__('Still to do:')}</div>
              <ul>
                {task.missing.map(each => (
                  <li key={each}>{each}</li>
                ))}
              </ul>
            </>
          )}
          {!task.done && !task.notebook && task.today && <div>{task.today}</div>}
          {!task.done && task.lighter && <div className="llm-muted">{task.lighter}</div>}
          {task.notebook && (
            <div className="llm-Actions">
              <Action
                label={trans.__('Notebook')}
                title={trans.__('Open the notebook of “%1”', task.title)}
                onClick={() => void fetchNotebook()}
              />
            </div>
          )}
        </div>
      )}
      {refusal && (
        <div className="llm-Refusal" role="alert">
          {refusal}
        </div>
      )}
    </li>
  );
}

/** The path, a week after the other. */
export const Path = React.memo(
  (props: { weeks: IWeek[]; model: Model; actions: IActions; trans: TranslationBundle }): JSX.Element => {
    const { weeks, model, actions, trans } = props;
    const first = current(weeks);
    return (
      <>
        {weeks.map((week, number) => {
          const { done, all } = counted(week);
          return (
            <details key={week.week} className="llm-Week" open={number === first}>
              <summary>
                <span>{heading(week, trans)}</span>
                <span className="llm-muted" aria-label={trans.__('%1 of %2 done', done, all)}>
                  {done}/{all}
                </span>
              </summary>
              <ul className="llm-List">
                {week.tasks.map(task => (
                  <Task key={task.id} task={task} model={model} actions={actions} trans={trans} />
                ))}
              </ul>
            </details>
          );
        })}
      </>
    );
  }
);
