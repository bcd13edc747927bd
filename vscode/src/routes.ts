// What JupyterLab's sidebar asks a server, asked of the command `llm-magics`: the model above is the same.
import { IEngine, IRoutes, ISocket, IWeek } from '@llm-magics/model';

import { ask, IRunning, run } from './command';
import { atLeast, garbled, IEnd, NEEDS, SPEAKS, tooOld, Trouble, troubleOf } from './trouble';

/**
 * The output of `list --json --watch` as a socket. Closes with a reason, in words. Its greeting alone opens nothing: what is
 * wrong stays on the screen until it is heard what is so, where it babbles or dies after each greeting.
 */
class Watching implements ISocket {
  onopen: ((event: any) => void) | null = null;
  onmessage: ((event: any) => void) | null = null;
  onclose: ((event: any) => void) | null = null;
  private _process: IRunning | null = null;
  private _greeted = false;
  private _open = false;
  private _over = false;

  constructor(
    private python: () => Promise<string>,
    private folder: string,
    private heard: (trouble: Trouble | null) => void
  ) {
    void this._start();
  }

  close(): void {
    this._over = true;
    this._process?.kill();
  }

  private async _start(): Promise<void> {
    let python: string;
    try {
      python = await this.python();
    } catch (error) {
      this._end(error instanceof Trouble ? error : new Trouble('none', String(error)));
      return;
    }
    if (this._over) {
      return;
    }
    this._process = run(
      python,
      ['list', '--json', '--watch'],
      this.folder,
      line => this._line(python, line),
      end => void this._ended(python, end)
    );
  }

  private _line(python: string, line: string): void {
    if (this._over || !line.trim()) {
      return;
    }
    let message: any;
    try {
      message = JSON.parse(line);
    } catch {
      this._end(garbled(line));
      return;
    }
    if (this._greeted) {
      if (!this._open) {
        this._open = true;
        this.heard(null);
        this.onopen?.({});
      }
      this.onmessage?.({ data: line });
    } else if (typeof message?.llm_magics !== 'string') {
      this._end(garbled(line));
    } else if (!atLeast(message.llm_magics, NEEDS)) {
      this._end(tooOld(python, message.llm_magics));
    } else if (message.speaks !== SPEAKS) {
      const then = 'update this extension';
      this._end(new Trouble('broken', `llm-magics ${message.llm_magics} is too new for this view.`, '', then));
    } else {
      this._greeted = true;
    }
  }

  private async _ended(python: string, end: IEnd): Promise<void> {
    if (this._over) {
      return;
    }
    let trouble = troubleOf(python, end);
    if (trouble.kind === 'old') {
      trouble = tooOld(python, await version(python, this.folder));
    }
    this._end(trouble);
  }

  private _end(trouble: Trouble): void {
    if (!this._over) {
      this.close();
      this.heard(trouble);
      this.onclose?.({ reason: trouble.told });
    }
  }
}

/** What `--version` says; '' where it says nothing. */
function version(python: string, folder: string): Promise<string> {
  return new Promise(resolve => {
    const lines: string[] = [];
    run(
      python,
      ['--version'],
      folder,
      line => lines.push(line.trim()),
      () => resolve(/^[\w.+-]{1,40}$/.test(lines[0] ?? '') ? lines[0] : '')
    );
  });
}

/** The routes over one interpreter, whichever is chosen at the time. */
export class CommandRoutes implements IRoutes {
  readonly silent = 'llm-magics does not answer; trying again.';
  private _asking: Promise<IWeek[]> | null = null;
  private _next: Promise<IWeek[]> | null = null;

  /**
   * @param python - The interpreter; rejects where there is none.
   * @param folder - Where the command is started.
   * @param heard - Gets null when the command is heard, else what is wrong.
   */
  constructor(
    private python: () => Promise<string>,
    private folder: string,
    private heard: (trouble: Trouble | null) => void = () => undefined
  ) {}

  watch(): ISocket {
    return new Watching(this.python, this.folder, this.heard);
  }

  async engines(): Promise<{ engines: IEngine[]; left_off: number }> {
    return { engines: await this._ask('list'), left_off: 0 };
  }

  stop(name: string): Promise<unknown> {
    return this._ask('stop', name);
  }

  keep(name: string, seconds: number): Promise<unknown> {
    return this._ask('keep', name, `${seconds}s`);
  }

  dismiss(name: string): Promise<unknown> {
    return this._ask('dismiss', name);
  }

  /** The path. Asked again while it is being asked, it is asked once more after that, not each time. */
  tasks(): Promise<IWeek[]> {
    if (!this._asking) {
      this._asking = this._ask('learn').finally(() => (this._asking = null));
      return this._asking;
    }
    this._next ??= this._asking
      .catch(() => undefined)
      .then(() => {
        this._next = null;
        return this.tasks();
      });
    return this._next;
  }

  async tick(id: string, done: boolean): Promise<IWeek[]> {
    await this._ask('learn', id, done ? '--tick' : '--untick');
    return this._ask('learn');
  }

  async notebook(id: string, folder: string): Promise<string> {
    return (await this._ask('learn', id, '--to', folder)).copied_to;
  }

  /** The log of an engine, line by line: the last ones first, then on and on. */
  async log(
    name: string,
    lines: number,
    line: (text: string) => void,
    ended: (end: Trouble) => void
  ): Promise<IRunning> {
    const python = await this.python();
    const words = ['logs', '-f', '-n', String(lines), name];
    return run(python, words, this.folder, line, end => ended(troubleOf(python, end)));
  }

  private async _ask(...words: string[]): Promise<any> {
    return ask(await this.python(), [...words, '--json'], this.folder);
  }
}
