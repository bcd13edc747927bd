// The list of engines: a row each, with what it does and what can be done with it.
import type { TranslationBundle } from '@jupyterlab/translation';
import {
  answers,
  basename,
  baseUrl,
  cause,
  countdown,
  ended,
  ends,
  IEngine,
  Model,
  notebookOf,
  runs,
  starts,
  stateWord
} from '@llm-magics/model';
import * as React from 'react';
import { Doing, IDoing, Loading } from './doing';
import { Fragment, h } from './h';

/** What the panel can have done elsewhere. */
export interface IActions {
  openLog(name: string): void;
  openRun(id: string): void;
  openNotebook(path: string): void;
  copy(text: string): Promise<void>;
  insert(source: string): Promise<void>;
  drag(event: React.MouseEvent, label: string, source: string): void;
  folder(): string;
}

const HOUR = 3600;

/** A small button in words; its name begins with those that are seen, for who speaks to the page. */
export function Action(props: {
  label: string;
  title: string;
  onClick: () => void;
  danger?: boolean;
  focus?: boolean;
  disabled?: boolean;
}): JSX.Element {
  return (
    <button
      className={`llm-Action${props.danger ? ' llm-mod-danger' : ''}`}
      title={props.title}
      aria-label={`${props.label}: ${props.title}`}
      onClick={props.onClick}
      autoFocus={props.focus}
      disabled={props.disabled}
    >
      {props.label}
    </button>
  );
}

/** Why it failed, and what helps. */
function Diagnosis(props: { engine: IEngine; trans: TranslationBundle }): JSX.Element {
  const { engine, trans } = props;
  const found = engine.diagnosis ?? {};
  return (
    <div className="llm-Diagnosis">
      <div>{cause(engine, trans)}</div>
      {found.line && <code title={found.line}>{found.line}</code>}
      {found.remedy && <div className="llm-Remedy">→ {found.remedy}</div>}
    </div>
  );
}

interface IRowProps extends IDoing {
  engine: IEngine;
  model: Model;
  actions: IActions;
  trans: TranslationBundle;
  now: number;
  cells: { bench: (name: string) => string; client: (name: string) => string };
  refusal: string | undefined;
  /** Somebody here asked to stop it. */
  stopped: boolean;
}

/** One engine. */
export const Row = React.memo((props: IRowProps): JSX.Element => {
  const { engine, model, actions, trans, now, cells, refusal } = props;
  const [asking, setAsking] = React.useState(false);
  const [back, setBack] = React.useState(false); // the focus goes back to where the question was asked
  const [copied, setCopied] = React.useState(false);
  const row = React.useRef<HTMLLIElement>(null);
  // Who was in a row that goes, by its keys, is left at the head of the list and not at that of the page.
  React.useLayoutEffect(
    () => () => {
      if (row.current?.contains(document.activeElement)) {
        row.current.closest('details')?.querySelector('summary')?.focus();
      }
    },
    []
  );
  const running = runs(engine);
  const stopping = engine.state === 'stopping' || props.stopped;
  const owner = notebookOf(engine);
  const id = `llm-engine-${engine.name}`;
  const leave = () => {
    setAsking(false);
    setBack(true);
  };
  const stop = () => {
    setAsking(false);
    row.current?.focus();
    void model.stop(engine.name);
  };
  const copyUrl = async () => {
    await actions.copy(baseUrl(engine));
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return (
    <li
      ref={row}
      tabIndex={-1}
      className="llm-Row"
      data-name={engine.name}
      data-state={stopping ? 'stopping' : engine.state}
      aria-labelledby={id}
      onMouseDown={event => {
        if (event.button === 0 && answers(engine) && !(event.target as Element).closest('button,.llm-Refusal')) {
          actions.drag(event, `%%bench ${engine.name}`, cells.bench(engine.name));
        }
      }}
    >
      <div className="llm-Row-head">
        <span className="llm-Dot" aria-hidden="true" />
        <span className="llm-Row-name" id={id} title={engine.name}>
          {engine.name}
        </span>
        <span className="llm-Row-state">{stopping ? trans.__('stopping') : stateWord(engine, trans)}</span>
      </div>
      <div className="llm-Row-line llm-muted" title={`${engine.engine} ${engine.engine_version}\n${engine.model}`}>
        {engine.engine} · {ends(engine.model)}
      </div>
      {starts(engine) && <Loading engine={engine} now={now} trans={trans} />}
      {engine.state === 'ready' && <Doing {...props} />}
      {owner && (
        <div className="llm-Row-line llm-muted" title={owner}>
          {trans.__('by %1', basename(owner))}
        </div>
      )}
      {running && engine.stops_at !== null && (
        <div className="llm-Row-line llm-Countdown">
          <span role="timer">
            {trans.__('stops in %1', countdown(engine.stops_at - now))}
            {engine.stops_why ? `: ${engine.stops_why}` : ''}
          </span>
          <Action
            label={trans.__('Keep 1 h')}
            title={trans.__('Keep %1 for another hour', engine.name)}
            onClick={() => void model.keep(engine.name, HOUR)}
          />
        </div>
      )}
      {ended(engine) && <Diagnosis engine={engine} trans={trans} />}
      {refusal && (
        <div className="llm-Refusal" role="alert">
          {refusal}
        </div>
      )}
      {asking ? (
        <div
          key="ask"
          className="llm-Actions"
          role="group"
          aria-label={trans.__('Stop %1?', engine.name)}
          onKeyDown={event => event.key === 'Escape' && leave()}
        >
          <span>{trans.__('Stop it for everybody?')}</span>
          <Action label={trans.__('Stop')} title={trans.__('Yes, stop %1', engine.name)} onClick={stop} danger={true} />
          <Action label={trans.__('No')} title={trans.__('Do not stop %1', engine.name)} focus={true} onClick={leave} />
        </div>
      ) : (
        <div key="actions" className="llm-Actions">
          {answers(engine) && (
            <>
              <Action
                label={trans.__('Bench')}
                title={trans.__('Insert a cell that benches %1', engine.name)}
                onClick={() => void actions.insert(cells.bench(engine.name))}
              />
              <Action
                label={trans.__('Client')}
                title={trans.__('Insert a cell that asks %1 through its openai client', engine.name)}
                onClick={() => void actions.insert(cells.client(engine.name))}
              />
              <Action
                label={copied ? trans.__('Copied') : trans.__('URL')}
                title={trans.__('Copy the base URL of %1', engine.name)}
                onClick={() => void copyUrl()}
              />
            </>
          )}
          <Action
            label={trans.__('Logs')}
            title={trans.__('Open the log of %1', engine.name)}
            onClick={() => actions.openLog(engine.name)}
          />
          {running && (
            <Action
              label={trans.__('Stop…')}
              title={trans.__('Stop %1', engine.name)}
              focus={back}
              onClick={() => setAsking(true)}
              disabled={stopping}
            />
          )}
          {ended(engine) && (
            <Action
              label={trans.__('Dismiss')}
              title={trans.__('Forget %1 and its log', engine.name)}
              onClick={() => void model.dismiss(engine.name)}
            />
          )}
        </div>
      )}
    </li>
  );
});
