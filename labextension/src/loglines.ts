// A log as the tab holds it: lines, their levels, what a filter and a search leave. Bounded, whatever the log's size.
import { IPage } from '@llm-magics/model';

export type Level = 'error' | 'warning' | 'info' | 'debug';
export const LEVELS: Level[] = ['error', 'warning', 'info', 'debug'];

/** Lines kept; more than anybody scrolls through, and about 20 MB at most. */
export const MOST = 50000;

export interface ILine {
  text: string;
  level: Level;
}

const WORDS: [RegExp, Level][] = [
  [
    /\b(?:CRITICAL|FATAL|ERROR|ERR)\b|^E\d{4} |^[\d.]+ E |\bTraceback \(most recent|^[\w.]*(?:Error|Exception): /,
    'error'
  ],
  [/\bWARN(?:ING)?\b|^W\d{4} |^[\d.]+ W |\bwarning:/, 'warning'],
  [/\b(?:DEBUG|TRACE)\b|^D\d{4} |^[\d.]+ D /, 'debug']
];

/** The level that a line names; `info` where it names none. */
export function levelOf(text: string): Level {
  const head = text.slice(0, 200);
  for (const [pattern, level] of WORDS) {
    if (pattern.test(head)) {
      return level;
    }
  }
  return 'info';
}

/** What is said where lines do not follow those before them, by a page's `seam`. */
export interface ISeams {
  another: string;
  gone: string;
}

/** The lines that were read so far, and the places before and behind them. */
export class LogLines {
  lines: ILine[] = [];
  earlier = false;
  /** Where to read back from, and where to read on; null before the first page. */
  first: { file: string; offset: number } | null = null;
  last: { file: string; offset: number } | null = null;

  constructor(private seams: ISeams) {}

  /** Takes a page that follows what is here (or is the first). Returns how many lines came. */
  append(page: IPage): number {
    const lines = split(page.text);
    if (!this.first) {
      this.first = { file: page.file, offset: page.start };
      this.earlier = page.earlier;
    }
    if (page.seam) {
      lines.unshift(this._said(page.seam));
    }
    this.last = { file: page.file, offset: page.end };
    for (const line of lines) {
      this.lines.push(line);
    }
    this._bound();
    return lines.length;
  }

  /** Takes a page that comes before what is here. Returns how many lines came. */
  prepend(page: IPage): number {
    const before = this.lines.length;
    this.earlier = page.earlier;
    this.first = { file: page.file, offset: page.start };
    this.lines = [...split(page.text), ...this.lines];
    this._bound();
    return this.lines.length - before;
  }

  /** The lines that a filter leaves. */
  shown(levels: ReadonlySet<Level>): ILine[] {
    return levels.size === LEVELS.length ? this.lines : this.lines.filter(line => levels.has(line.level));
  }

  private _said(seam: keyof ISeams): ILine {
    return { text: this.seams[seam], level: 'warning' };
  }

  /** Lets the oldest lines go where there are too many. */
  private _bound(): void {
    const more = this.lines.length - MOST;
    if (more > 0) {
      this.lines.splice(0, more + 1, this._said('gone'));
      this.earlier = false;
    }
  }
}

/** The numbers of the lines that hold a text, whatever its case. */
export function found(lines: ILine[], text: string): number[] {
  const wanted = text.toLowerCase();
  const numbers: number[] = [];
  if (wanted) {
    lines.forEach((line, number) => {
      if (line.text.toLowerCase().includes(wanted)) {
        numbers.push(number);
      }
    });
  }
  return numbers;
}

/** What stands on the screen: lines from `first` to before `last`, some more on both sides. */
export function windowOf(top: number, height: number, row: number, count: number): { first: number; last: number } {
  const spare = 20;
  const first = Math.max(0, Math.min(count, Math.floor(top / row)) - spare);
  return { first, last: Math.min(count, Math.ceil((top + height) / row) + spare) };
}

function split(text: string): ILine[] {
  if (!text) {
    return [];
  }
  let level: Level = 'info';
  return text
    .replace(/\n$/, '')
    .split('\n')
    .map(line => {
      // The lines of a traceback belong to the error above them.
      level = level === 'error' && /^\s+\S/.test(line) && levelOf(line) === 'info' ? 'error' : levelOf(line);
      return { text: line, level };
    });
}
