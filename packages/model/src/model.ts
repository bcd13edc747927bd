// All that a sidebar shows, gathered from the feed and the routes. Listens only while somebody looks.
import { ISignal, Signal } from '@lumino/signaling';

import { Feed, ISocket } from './feed';
import { Rates } from './rates';
import { inWords } from './refused';
import { IEngine, IGpu, ILoad, IMessage, IRun, IWeek } from './types';

/** Who is asked: the server's routes, or a command. What fails rejects, with a `Refused` where the reason is known. */
export interface IRoutes {
  /** What is said while nothing answers, where no reason is known; in the reader's language. */
  readonly silent: string;
  engines(): Promise<{ engines: IEngine[]; left_off: number }>;
  stop(name: string): Promise<unknown>;
  keep(name: string, seconds: number): Promise<unknown>;
  dismiss(name: string): Promise<unknown>;
  /** Left out by those who show no runs. */
  runs?(): Promise<IRun[]>;
  tasks(): Promise<IWeek[]>;
  tick(id: string, done: boolean): Promise<IWeek[]>;
  /** Copies a task's notebook into a folder; the copy's path. */
  notebook(id: string, folder: string): Promise<string>;
  /** Where changes are told. */
  watch(): ISocket;
}

export class Model<Routes extends IRoutes = IRoutes> {
  engines: IEngine[] = [];
  leftOff = 0;
  gpus: IGpu[] = [];
  runs: IRun[] = [];
  weeks: IWeek[] = [];
  /** Whether the list of engines was heard once. */
  known = false;
  /** One quiet line, '' while all is well. */
  trouble = '';
  /** Why an action on an engine failed, by name; shown in its row. */
  refusals: Record<string, string> = {};
  /** Engines that are being stopped at somebody's request here. */
  stopping = new Set<string>();

  private _loads: Record<string, ILoad> = {};
  private _rates = new Map<string, Rates>();
  private _changed = new Signal<this, void>(this);
  private _enginesChanged = new Signal<this, void>(this);
  private _watchers = new Set<string>();
  private _feed: Feed;
  private _away = false;

  /** @param steady - See `Feed`. */
  constructor(
    readonly routes: Routes,
    steady = 0
  ) {
    this._feed = new Feed(
      () => routes.watch(),
      message => this._told(message),
      (away, why) => this._setAway(away, why),
      steady
    );
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get enginesChanged(): ISignal<this, void> {
    return this._enginesChanged;
  }

  load(name: string): ILoad | undefined {
    return this._loads[name];
  }

  rates(name: string): Rates | undefined {
    return this._rates.get(name);
  }

  find(name: string): IEngine | undefined {
    return this.engines.find(engine => engine.name === name);
  }

  /** Somebody (by a name) looks, or does not any more. Nothing is asked or told while nobody does. */
  look(who: string, looks: boolean): void {
    const before = this._watchers.size;
    if (looks) {
      this._watchers.add(who);
    } else {
      this._watchers.delete(who);
    }
    if (!before && this._watchers.size) {
      this._feed.start();
    } else if (before && !this._watchers.size) {
      this._feed.stop();
    }
  }

  /** Try again at once, where the next try would come later. */
  retry(): void {
    if (this._watchers.size) {
      this._feed.stop();
      this._feed.start();
    }
  }

  /** Another machine or installation is asked from now on: nothing that was heard is true of it. */
  forget(): void {
    this.engines = [];
    this.weeks = [];
    this.runs = [];
    this.gpus = [];
    this.leftOff = 0;
    this.known = false;
    this.trouble = '';
    this.refusals = {};
    this._loads = {};
    this._rates.clear();
    this._away = false;
    this._changed.emit();
    this._enginesChanged.emit();
    this.retry();
  }

  /** Ask once for the engines, for those who do not listen. */
  async refresh(): Promise<void> {
    try {
      this._setEngines(await this.routes.engines());
      this._setAway(false);
    } catch (error) {
      this.trouble = inWords(error);
      this._changed.emit();
    }
  }

  async stop(name: string): Promise<void> {
    delete this.refusals[name];
    this.stopping.add(name);
    this._changed.emit();
    await this._act(name, () => this.routes.stop(name));
    this.stopping.delete(name);
    this._changed.emit();
    if (!this._watchers.size) {
      await this.refresh();
    }
  }

  keep(name: string, seconds: number): Promise<void> {
    return this._act(name, () => this.routes.keep(name, seconds));
  }

  async dismiss(name: string): Promise<void> {
    if (await this._act(name, () => this.routes.dismiss(name))) {
      this._setEngines({ engines: this.engines.filter(engine => engine.name !== name), left_off: this.leftOff });
    }
  }

  async tick(task: string, done: boolean): Promise<void> {
    try {
      this.weeks = await this.routes.tick(task, done);
      this.trouble = '';
    } catch (error) {
      this.trouble = inWords(error);
    }
    this._changed.emit();
  }

  /** Runs and tasks, after anything that may have changed them. */
  async refreshWork(): Promise<void> {
    const [runs, weeks] = await Promise.allSettled([this.routes.runs?.() ?? [], this.routes.tasks()]);
    if (runs.status === 'fulfilled') {
      this.runs = runs.value;
    }
    if (weeks.status === 'fulfilled') {
      this.weeks = weeks.value;
    }
    this._changed.emit();
  }

  private async _act(name: string, action: () => Promise<unknown>): Promise<any> {
    delete this.refusals[name];
    try {
      await action();
      return true;
    } catch (error) {
      this.refusals[name] = inWords(error);
      return false;
    } finally {
      this._changed.emit();
    }
  }

  private _told(message: IMessage): void {
    if (message.engines) {
      this._setEngines({ engines: message.engines, left_off: message.left_off ?? 0 });
      return;
    }
    if (message.load) {
      this._loads = message.load;
      for (const [name, load] of Object.entries(message.load)) {
        let rates = this._rates.get(name);
        if (!rates) {
          this._rates.set(name, (rates = new Rates()));
        }
        rates.add(load);
      }
      for (const name of this._rates.keys()) {
        if (!(name in message.load)) {
          this._rates.delete(name);
        }
      }
    }
    if (message.gpus) {
      this.gpus = kept(this.gpus, message.gpus);
    }
    if (message.trouble !== undefined && !this._away) {
      this.trouble = message.trouble;
    }
    if (message.work !== undefined) {
      void this.refreshWork();
    }
    this._changed.emit();
  }

  private _setEngines(list: { engines: IEngine[]; left_off: number }): void {
    const states = (engines: IEngine[]) => engines.map(engine => `${engine.id} ${engine.state}`).join();
    const moved = states(this.engines) !== states(list.engines);
    const engines = kept(this.engines, list.engines);
    const same = engines.length === this.engines.length && engines.every((each, i) => each === this.engines[i]);
    if (this.known && same && this.leftOff === list.left_off) {
      return;
    }
    this.engines = engines;
    this.leftOff = list.left_off;
    this.known = true;
    for (const name of Object.keys(this.refusals)) {
      if (!this.find(name)) {
        delete this.refusals[name];
      }
    }
    this._changed.emit();
    this._enginesChanged.emit();
    if (moved) {
      void this.refreshWork();
    }
  }

  private _setAway(away: boolean, why?: string): void {
    const trouble = away ? why || this.routes.silent : '';
    if (away !== this._away || (away && trouble !== this.trouble)) {
      this._away = away;
      this.trouble = trouble;
      this._changed.emit();
    }
  }
}

/** What is so now; items that did not change stay the same objects, so that who draws them can tell. */
function kept<Item>(before: Item[], now: Item[]): Item[] {
  const known = new Map(before.map(item => [JSON.stringify(item), item]));
  return now.map(item => known.get(JSON.stringify(item)) ?? item);
}
