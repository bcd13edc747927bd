// The server's routes, one function each. Errors carry what failed, why, and what to do.
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { IAdapter, IEngine, IPage, IRoutes, IRun, IWeek, Model, Refused } from '@llm-magics/model';

/** The model over these routes. */
export type LabModel = Model<Api>;

export class Api implements IRoutes {
  readonly silent: string;

  constructor(
    private settings: ServerConnection.ISettings,
    private trans: TranslationBundle
  ) {
    this.silent = trans.__('The server does not answer; trying again.');
  }

  engines(): Promise<{ engines: IEngine[]; left_off: number }> {
    return this._ask('engines');
  }

  stop(name: string): Promise<IEngine> {
    return this._ask(`engines/${name}`, 'DELETE');
  }

  keep(name: string, seconds: number): Promise<IEngine> {
    return this._ask(`engines/${name}`, 'PATCH', { keep_for: seconds });
  }

  dismiss(name: string): Promise<void> {
    return this._ask(`engines/${name}/record`, 'DELETE');
  }

  logs(name: string, place?: { file: string; after?: number; before?: number }): Promise<IPage> {
    const query = place ? URLExt.objectToQueryString(place as any) : '';
    return this._ask(`engines/${name}/logs${query}`);
  }

  async report(name: string): Promise<string> {
    return (await this._ask(`engines/${name}/report`)).text;
  }

  async adapters(): Promise<IAdapter[]> {
    return (await this._ask('adapters')).adapters;
  }

  async runs(): Promise<IRun[]> {
    return (await this._ask('runs')).runs;
  }

  run(id: string): Promise<{ id: string; label: string; data: any }> {
    return this._ask(`runs/${encodeURIComponent(id)}`);
  }

  async tasks(): Promise<IWeek[]> {
    return (await this._ask('tasks')).weeks;
  }

  async tick(id: string, done: boolean): Promise<IWeek[]> {
    return (await this._ask(`tasks/${id}`, 'PUT', { done })).weeks;
  }

  async notebook(id: string, folder: string): Promise<string> {
    return (await this._ask(`tasks/${id}/notebook`, 'POST', { folder })).path;
  }

  /** The socket that tells of changes. */
  watch(): WebSocket {
    const { wsUrl, token, WebSocket, appendToken } = this.settings;
    const url = URLExt.join(wsUrl, 'llm-magics', 'watch');
    return new WebSocket(appendToken && token ? `${url}?token=${encodeURIComponent(token)}` : url);
  }

  private async _ask(path: string, method = 'GET', body?: object): Promise<any> {
    const url = URLExt.join(this.settings.baseUrl, 'llm-magics') + '/' + path;
    let response: Response;
    try {
      response = await ServerConnection.makeRequest(
        url,
        { method, ...(body ? { body: JSON.stringify(body) } : {}) },
        this.settings
      );
    } catch {
      throw new Refused(this.trans.__('The server does not answer.'));
    }
    if (response.status === 204) {
      return undefined;
    }
    let data: any = null;
    try {
      data = await response.json();
    } catch {
      // not JSON: a proxy's page, said by its status
    }
    if (!response.ok) {
      throw new Refused(
        data?.message || this.trans.__('The server answers %1.', response.status),
        data?.why,
        data?.then,
        response.status
      );
    }
    return data;
  }
}
