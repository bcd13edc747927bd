// What an engine does at this moment, as lines of its row: how far its start is; its requests, memory and tokens/s.
import type { TranslationBundle } from '@jupyterlab/translation';
import { heldBy, IEngine, KEPT, Model, progress, rate, requests, span, sparkline } from '@llm-magics/model';

import { Fragment, h } from './h';

/** What a running engine does, as its row shows it: texts, which stay the same while nothing that is seen changes. */
export interface IDoing {
  /** Requests; '' where it does not say. */
  asked: string;
  /** Where it runs and what it holds there, and what that means. */
  held: string;
  heldTitle: string;
  /** Output tokens a second; '' where it does not count them. */
  speed: string;
  /** The corners of their sparkline. */
  points: string;
}

const [WIDTH, HEIGHT] = [44, 16]; // px, of the sparkline

/** An engine as it is now. */
export function doing(engine: IEngine, model: Model, trans: TranslationBundle): IDoing {
  const load = model.load(engine.name);
  const rates = model.rates(engine.name);
  const held = heldBy(engine, load, model.gpus, trans);
  return {
    asked: requests(load, trans),
    held: held.text,
    heldTitle: held.title,
    speed: rates && rates.now !== null ? rate(rates.now) : '',
    points: rates ? sparkline(rates.values, WIDTH, HEIGHT) : ''
  };
}

/** Tokens a second over the last minute. */
function Sparkline(props: { speed: string; points: string; trans: TranslationBundle }): JSX.Element {
  const { speed, points, trans } = props;
  return (
    <span className="llm-Rate" title={trans.__('Output tokens per second, the last %1 looks', KEPT)}>
      <svg width={WIDTH} height={HEIGHT} role="img" aria-label={trans.__('%1 tokens per second', speed)}>
        <polyline points={points} />
      </svg>
      <span aria-hidden="true">
        {speed} {trans.__('tok/s')}
      </span>
    </span>
  );
}

/** How far a start is, by what the same start took the last time. */
export function Loading(props: { engine: IEngine; now: number; trans: TranslationBundle }): JSX.Element {
  const { engine, now, trans } = props;
  const { stage, time, share } = progress(engine, now, trans);
  return (
    <div className="llm-Row-line">
      <span className="llm-Row-stage" title={stage}>
        {stage}
      </span>
      <span className="llm-muted">{time}</span>
      {share !== null && (
        <span
          className="llm-Progress"
          role="progressbar"
          aria-label={trans.__('Start of %1', engine.name)}
          aria-valuemin={0}
          aria-valuemax={100}
          aria-valuenow={Math.round(share * 100)}
        >
          <span style={{ width: `${share * 100}%` }} />
        </span>
      )}
    </div>
  );
}

/** What a running engine does. */
export function Doing(props: IDoing & { engine: IEngine; now: number; trans: TranslationBundle }): JSX.Element {
  const { engine, asked, held, heldTitle, speed, points, now, trans } = props;
  const where = (
    <span className="llm-muted" title={heldTitle}>
      {held}
    </span>
  );
  return (
    <>
      <div className="llm-Row-line">
        {asked ? <span title={trans.__('Requests being answered, and those waiting')}>{asked}</span> : where}
        <span className="llm-muted llm-mod-end" title={trans.__('How long it has been ready')}>
          {span(now - (engine.ready_at ?? engine.created))}
        </span>
      </div>
      {(asked || speed) && (
        <div className="llm-Row-line">
          {asked && where}
          {speed && <Sparkline speed={speed} points={points} trans={trans} />}
        </div>
      )}
    </>
  );
}
