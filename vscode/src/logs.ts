// Logs of engines as output channels, which VS Code searches, filters and scrolls.
import type { IRoutes, Model } from '@llm-magics/model';
import * as vscode from 'vscode';

import { Follower } from './follower';
import type { CommandRoutes } from './routes';

const LAST = 1500; // ms for the last lines of an engine that is gone

export class Logs implements vscode.Disposable {
  private _channels = new Map<string, vscode.OutputChannel>();
  private _followers = new Map<string, Follower>();

  constructor(
    private routes: CommandRoutes,
    private model: Model<IRoutes>
  ) {
    model.enginesChanged.connect(this._look, this);
  }

  /** Shows an engine's log, from now on followed. */
  open(name: string): void {
    let channel = this._channels.get(name);
    if (!channel) {
      channel = vscode.window.createOutputChannel(`LLM ${name}`, 'log');
      this._channels.set(name, channel);
    }
    if (!this._followers.has(name)) {
      const paper = channel;
      paper.clear();
      this._followers.set(name, new Follower(name, this.routes, { line: text => paper.appendLine(text) }));
    }
    channel.show(true);
  }

  dispose(): void {
    this.model.enginesChanged.disconnect(this._look, this);
    for (const follower of this._followers.values()) {
      follower.stop();
    }
    for (const channel of this._channels.values()) {
      channel.dispose();
    }
  }

  private _look(): void {
    for (const [name, follower] of this._followers) {
      if (this.model.known && !this.model.find(name)) {
        this._followers.delete(name);
        setTimeout(() => follower.stop(`${name} has stopped.`), LAST);
      }
    }
  }
}
