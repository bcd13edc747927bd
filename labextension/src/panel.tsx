// The sidebar: engines, GPUs, runs, learning path, one below the other, each to be folded.
import { ITranslator, TranslationBundle } from '@jupyterlab/translation';
import { LabIcon } from '@jupyterlab/ui-components';
import { benchCell, clientCell, counted, IAdapter, serveCell } from '@llm-magics/model';
import * as React from 'react';

import { LabModel } from './api';
import { countsSeconds, rowTime } from './clock';
import { doing } from './doing';
import { Fragment, h } from './h';
import { Gpu } from './machine';
import { Action, IActions, Row } from './rows';
import { SeenWidget } from './seen';
import { Path, Runs } from './work';

const CELLS = { bench: benchCell, client: clientCell };

function Section(props: { title: string; count?: string; open: boolean; children: React.ReactNode }): JSX.Element {
  return (
    <details className="llm-Section" open={props.open}>
      <summary>
        <h2>{props.title}</h2>
        {props.count && <span className="llm-muted">{props.count}</span>}
      </summary>
      {props.children}
    </details>
  );
}

/** What puts a cell into the notebook that serves a model, on the engine that is chosen beside it. */
const Start = React.memo((props: { model: LabModel; actions: IActions; trans: TranslationBundle }): JSX.Element => {
  const { model, actions, trans } = props;
  const [adapters, setAdapters] = React.useState<IAdapter[]>([]);
  const [engine, setEngine] = React.useState('');
  const ask = () => {
    if (!adapters.length) {
      model.routes.adapters().then(setAdapters, () => undefined);
    }
  };
  return (
    <div className="llm-Start">
      <Action
        label={trans.__('Serve tiny')}
        title={trans.__('Insert a cell that serves the model that ships')}
        onClick={() => void actions.insert(serveCell(engine))}
      />
      <select
        className="llm-Select"
        aria-label={trans.__('Engine')}
        value={engine}
        onFocus={ask}
        onChange={event => setEngine(event.target.value)}
      >
        <option value="">{trans.__('default engine')}</option>
        {adapters.map(adapter => (
          <option key={adapter.key} value={adapter.key}>
            {adapter.title}
          </option>
        ))}
      </select>
    </div>
  );
});

/** The time, told anew every so many ms; 0: not while nobody looks, or there is nothing to tell the time of. */
function useClock(every: number): number {
  const [now, setNow] = React.useState(Date.now() / 1000);
  React.useEffect(() => {
    const tell = () =>
      setNow(before => {
        const time = Date.now() / 1000;
        return time - before < 0.5 ? before : time; // it was just drawn
      });
    tell();
    const timer = every ? setInterval(tell, every) : undefined;
    return () => clearInterval(timer);
  }, [every]);
  return now;
}

/**
 * What the sidebar shows. A row is drawn again only when something of its own changed: it gets all that it shows, and
 * the time to the second only where it shows seconds.
 */
export function Sidebar(props: {
  model: LabModel;
  actions: IActions;
  trans: TranslationBundle;
  looking: boolean;
}): JSX.Element {
  const { model, actions, trans, looking } = props;
  const seconds = model.engines.some(engine => countsSeconds(engine, Date.now() / 1000));
  const now = useClock(!looking || !model.engines.length ? 0 : seconds ? 1000 : 30000);
  const [, draw] = React.useReducer((count: number) => count + 1, 0);
  React.useEffect(() => {
    model.changed.connect(draw);
    return () => void model.changed.disconnect(draw);
  }, [model]);
  const { engines, gpus, runs, weeks } = model;
  const { done, all } = counted(...weeks);
  return (
    <>
      <div className="llm-Trouble" role="status">
        {model.trouble}
      </div>
      <Section title={trans.__('Engines')} count={engines.length ? String(engines.length) : undefined} open={true}>
        {engines.length > 0 ? (
          <ul className="llm-List" aria-label={trans.__('Engines')}>
            {engines.map(engine => (
              <Row
                key={engine.id || engine.name}
                engine={engine}
                model={model}
                actions={actions}
                trans={trans}
                now={rowTime(engine, now)}
                cells={CELLS}
                {...doing(engine, model, trans)}
                refusal={model.refusals[engine.name]}
                stopped={model.stopping.has(engine.name)}
              />
            ))}
          </ul>
        ) : (
          <p className="llm-Empty">{model.known ? trans.__('No engine is running.') : trans.__('Looking …')}</p>
        )}
        {model.leftOff > 0 && <p className="llm-Empty">{trans.__('%1 more are not shown.', model.leftOff)}</p>}
        <Start model={model} actions={actions} trans={trans} />
      </Section>
      {gpus.length > 0 && (
        <Section title={trans.__('GPUs')} count={String(gpus.length)} open={true}>
          <ul className="llm-List">
            {gpus.map(gpu => (
              <Gpu key={gpu.uuid} gpu={gpu} trans={trans} />
            ))}
          </ul>
        </Section>
      )}
      {weeks.length > 0 && (
        <Section title={trans.__('Learning path')} count={`${done}/${all}`} open={true}>
          <Path weeks={weeks} model={model} actions={actions} trans={trans} />
        </Section>
      )}
      {runs.length > 0 && (
        <Section title={trans.__('Runs')} count={String(runs.length)} open={false}>
          <Runs runs={runs} actions={actions} trans={trans} />
        </Section>
      )}
    </>
  );
}

/** The widget in the left area. Looks only while it is visible, on a page that is. */
export class SidebarPanel extends SeenWidget {
  private _trans: TranslationBundle;
  private _opened = false;

  constructor(
    private model: LabModel,
    private actions: IActions,
    translator: ITranslator,
    icon: LabIcon
  ) {
    super();
    this._trans = translator.load('llm_magics');
    this.id = 'llm-magics';
    this.addClass('llm-Panel');
    this.title.icon = icon;
    this.title.caption = this._trans.__('LLM engines');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', this._trans.__('LLM engines'));
  }

  render(): JSX.Element | null {
    // Nothing is drawn before somebody looks; what was unfolded then is found so again, but no clock runs meanwhile.
    this._opened ||= this.seen;
    return this._opened ? (
      <Sidebar model={this.model} actions={this.actions} trans={this._trans} looking={this.seen} />
    ) : null;
  }

  protected look(seen: boolean): void {
    this.model.look(this.id, seen);
    if (!this.isDisposed) {
      this.update();
    }
  }
}
