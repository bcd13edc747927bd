// Following one engine's log: on and on, again after the command died, until the engine is gone.
import { Trouble } from './trouble';
import type { IRunning } from './command';
import type { CommandRoutes } from './routes';

const LINES = 500; // of the past, when it is opened
const FIRST = 1000; // ms before the first try again, and the longest
const LONGEST = 30000;

/** Where the lines go. */
export interface IPaper {
  line(text: string): void;
}

export class Follower {
  private _process: IRunning | null = null;
  private _timer: ReturnType<typeof setTimeout> | null = null;
  private _pause = FIRST;
  private _wanted = true;
  private _told = '';

  constructor(
    readonly name: string,
    private routes: Pick<CommandRoutes, 'log'>,
    private paper: IPaper
  ) {
    void this._start(LINES);
  }

  /** Leave off; `why` is written below the last line. */
  stop(why = ''): void {
    if (!this._wanted) {
      return;
    }
    this._wanted = false;
    if (this._timer !== null) {
      clearTimeout(this._timer);
    }
    this._process?.kill();
    if (why) {
      this.paper.line(`[${why}]`);
    }
  }

  private async _start(lines: number): Promise<void> {
    this._timer = null;
    try {
      const process = await this.routes.log(
        this.name,
        lines,
        line => this._line(line),
        end => this._again(end)
      );
      this._process = process;
      if (!this._wanted) {
        process.kill();
      }
    } catch (error) {
      this._again(error instanceof Trouble ? error : new Trouble('broken', String(error)));
    }
  }

  private _line(text: string): void {
    if (this._wanted) {
      this._pause = FIRST;
      this._told = '';
      this.paper.line(text);
    }
  }

  private _again(end: Trouble): void {
    if (!this._wanted) {
      return;
    }
    if (end.told !== this._told) {
      this._told = end.told;
      this.paper.line(`[${end.told} Trying again.]`);
    }
    // What was written meanwhile is read with the last lines; some of them may stand here twice.
    this._timer = setTimeout(() => void this._start(20), this._pause);
    this._pause = Math.min(LONGEST, this._pause * 2);
  }
}
