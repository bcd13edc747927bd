// A log as a document tab: follows, searches, filters by level. Draws only the lines that are on the screen.
import { TranslationBundle } from '@jupyterlab/translation';
import { inWords } from '@llm-magics/model';
import * as React from 'react';

import { Fragment, h } from './h';
import { found, Level, LEVELS, windowOf } from './loglines';
import { LogRoutes, Reader } from './reader';
import { Action } from './rows';
import { SeenWidget } from './seen';

const ROW = 17; // px of a line, as in style/logs.css
const SAID = 8000; // ms that it is said what was copied

interface ILogProps {
  reader: Reader;
  name: string;
  routes: LogRoutes;
  copy: (text: string) => Promise<void>;
  trans: TranslationBundle;
  version: number;
}

/** The tab's content. */
export function LogView(props: ILogProps): JSX.Element {
  const { reader, name, routes, copy, trans, version } = props;
  const [levels, setLevels] = React.useState<ReadonlySet<Level>>(new Set(LEVELS));
  const [text, setText] = React.useState('');
  const [hit, setHit] = React.useState(-1); // none was gone to yet
  const [follow, setFollow] = React.useState(true);
  const [scroll, setScroll] = React.useState({ top: 0, height: 600 });
  const [said, setSaid] = React.useState({ text: '' });
  const say = (text: string) => setSaid({ text }); // anew, so that the same words stand their whole time again
  const box = React.useRef<HTMLDivElement>(null);
  const lines = React.useMemo(() => reader.log.shown(levels), [version, levels, reader]);
  const hits = React.useMemo(() => found(lines, text), [lines, lines.length, text]);
  const at = Math.max(0, Math.min(hit, hits.length - 1));
  const current = hits.length ? hits[at] : -1;

  React.useLayoutEffect(() => {
    if (follow && box.current) {
      box.current.scrollTop = box.current.scrollHeight;
    }
  }, [version, follow, levels]);

  React.useEffect(() => {
    const over = setTimeout(() => say(''), SAID);
    return () => clearTimeout(over);
  }, [said]);

  const go = (step: number) => {
    if (!hits.length) {
      return;
    }
    const next = (Math.max(hit, step > 0 ? -1 : 0) + step + hits.length) % hits.length;
    setHit(next);
    setFollow(false);
    if (box.current) {
      box.current.scrollTop = hits[next] * ROW - box.current.clientHeight / 2;
    }
  };
  const earlier = async () => {
    const came = await reader.earlier();
    if (came && box.current) {
      box.current.scrollTop += came * ROW;
    }
  };
  const report = async () => {
    try {
      await copy(await routes.report(name));
      say(trans.__('Copied: versions, command, the last 200 lines'));
    } catch (error: any) {
      say(inWords(error));
    }
  };
  const toggle = (level: Level) => {
    const next = new Set(levels);
    if (!next.delete(level)) {
      next.add(level);
    }
    setLevels(next);
  };
  const view = windowOf(scroll.top, scroll.height, ROW, lines.length);
  return (
    <>
      <div className="llm-Log-bar" role="toolbar" aria-label={trans.__('Log of %1', name)}>
        <input
          type="search"
          className="llm-Search"
          placeholder={trans.__('Search')}
          aria-label={trans.__('Search in the log of %1', name)}
          value={text}
          onChange={event => {
            setText(event.target.value);
            setHit(-1);
          }}
          onKeyDown={event => event.key === 'Enter' && go(event.shiftKey ? -1 : 1)}
        />
        <span className="llm-muted llm-Hits" aria-live="polite">
          {text && (hits.length ? `${at + 1}/${hits.length}` : trans.__('not found'))}
        </span>
        <Action label="↑" title={trans.__('Previous match')} onClick={() => go(-1)} disabled={!hits.length} />
        <Action label="↓" title={trans.__('Next match')} onClick={() => go(1)} disabled={!hits.length} />
        {LEVELS.map(level => (
          <label key={level} className="llm-Level">
            <input type="checkbox" checked={levels.has(level)} onChange={() => toggle(level)} />
            {trans.__(level)}
          </label>
        ))}
        <label className="llm-Level">
          <input type="checkbox" checked={follow} onChange={event => setFollow(event.target.checked)} />
          {trans.__('follow')}
        </label>
        <Action
          label={trans.__('Copy as issue report')}
          title={trans.__('Copy versions, the command without secrets, and the last 200 lines')}
          onClick={() => void report()}
        />
        <span className="llm-Said" role="status">
          {said.text || reader.trouble}
        </span>
      </div>
      <div
        className="llm-Log"
        ref={box}
        tabIndex={0}
        role="log"
        aria-label={trans.__('Lines of the log of %1', name)}
        onScroll={event => {
          const element = event.currentTarget;
          setScroll({ top: element.scrollTop, height: element.clientHeight });
          const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 2 * ROW;
          if (follow && !atEnd) {
            setFollow(false);
          }
        }}
      >
        {reader.log.earlier && (
          <div className="llm-Log-earlier">
            <Action
              label={trans.__('Earlier lines')}
              title={trans.__('Read the lines before these')}
              onClick={() => void earlier()}
            />
          </div>
        )}
        {lines.length === 0 && <div className="llm-Log-earlier llm-muted">{trans.__('No lines')}</div>}
        <div style={{ height: lines.length * ROW, position: 'relative' }}>
          <div style={{ top: view.first * ROW, position: 'absolute' }}>
            {lines.slice(view.first, view.last).map((line, i) => (
              <div
                key={view.first + i}
                className="llm-Line"
                data-level={line.level}
                data-hit={view.first + i === current || undefined}
              >
                {line.text || ' '}
              </div>
            ))}
          </div>
        </div>
      </div>
    </>
  );
}

/** The tab. Reads only while it is on the screen. */
export class LogWidget extends SeenWidget {
  private _reader: Reader;
  private _version = 0;

  constructor(
    readonly name: string,
    private routes: LogRoutes,
    private copy: (text: string) => Promise<void>,
    private trans: TranslationBundle
  ) {
    super();
    this.addClass('llm-LogWidget');
    const changed = () => {
      this._version += 1;
      this.update();
    };
    this._reader = new Reader(name, routes, changed, {
      another: trans.__('[another server of this name]'),
      gone: trans.__('[lines are not kept here]')
    });
  }

  render(): JSX.Element {
    return (
      <LogView
        reader={this._reader}
        name={this.name}
        routes={this.routes}
        copy={this.copy}
        trans={this.trans}
        version={this._version}
      />
    );
  }

  protected look(seen: boolean): void {
    this._reader.read(seen);
  }
}
