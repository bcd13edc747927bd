// Reading a log page by page: forwards while somebody looks, backwards when asked.
import { inWords } from '@llm-magics/model';
import type { Api } from './api';
import { ISeams, LogLines } from './loglines';

const OFTEN = 500; // ms between two looks while lines come
const SELDOM = 2000; // ms while none do

/** What the log's tab needs of the routes. */
export type LogRoutes = Pick<Api, 'logs' | 'report'>;

/** Reads on while it is to; tells when something came. */
export class Reader {
  readonly log: LogLines;
  trouble = '';
  private _timer: ReturnType<typeof setTimeout> | null = null;
  private _pause = OFTEN;
  private _reading = false;
  private _wanted = false;

  constructor(
    private name: string,
    private routes: LogRoutes,
    private changed: () => void,
    seams: ISeams
  ) {
    this.log = new LogLines(seams);
  }

  /** Begin to read, or leave off. */
  read(wanted: boolean): void {
    this._wanted = wanted;
    if (this._timer !== null) {
      clearTimeout(this._timer);
      this._timer = null;
    }
    if (wanted) {
      this._pause = OFTEN;
      void this._next();
    }
  }

  /** The page before the first line. */
  async earlier(): Promise<number> {
    const place = this.log.first;
    if (!place || this._reading) {
      return 0;
    }
    this._reading = true;
    try {
      return this.log.prepend(await this.routes.logs(this.name, { file: place.file, before: place.offset }));
    } catch (error) {
      this._failed(error);
      return 0;
    } finally {
      this._reading = false;
      this.changed();
    }
  }

  private async _next(): Promise<void> {
    if (this._reading) {
      return this._later();
    }
    this._reading = true;
    try {
      const place = this.log.last;
      const page = await this.routes.logs(this.name, place ? { file: place.file, after: place.offset } : undefined);
      const came = this.log.append(page);
      const recovered = this.trouble !== '';
      this.trouble = '';
      this._pause = came ? OFTEN : Math.min(SELDOM, this._pause * 1.5);
      if (came || recovered || !place) {
        this.changed();
      }
    } catch (error) {
      this._failed(error);
      this._pause = Math.min(30000, this._pause * 2);
      this.changed();
    } finally {
      this._reading = false;
    }
    this._later();
  }

  private _later(): void {
    if (this._wanted) {
      clearTimeout(this._timer ?? undefined);
      this._timer = setTimeout(() => void this._next(), this._pause);
    }
  }

  private _failed(error: unknown): void {
    this.trouble = inWords(error);
  }
}
