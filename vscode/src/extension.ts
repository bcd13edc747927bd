// Two trees in the activity bar: the engines of this machine, and the learning path. All they know is what the command
// `llm-magics` of the chosen interpreter says; nothing listens, and nothing is sent anywhere.
import { homedir } from 'node:os';

import { Model } from '@llm-magics/model';
import * as vscode from 'vscode';

import { addCommands } from './commands';
import { chosenIn, IEnvironments, interpreter } from './interpreter';
import { Logs } from './logs';
import { CommandRoutes } from './routes';
import { engineRows, pathRows } from './rows';
import { ShownRates } from './steady';
import { Tree } from './trees';
import { Kind, Trouble } from './trouble';

const WELCOMED: Kind[] = ['none', 'missing', 'old']; // for these package.json has words
const STEADY = 10000; // ms that the command has to live before its end counts as the first one again

/** Called by VS Code when a view is shown or a command is run. */
export function activate(context: vscode.ExtensionContext): void {
  let environments: Promise<IEnvironments | undefined> | null = null;
  const ofPython = () => (environments ??= environmentsOf(context, () => model.forget()));
  const python = () => {
    const workspace = vscode.workspace.workspaceFolders?.[0]?.uri;
    const setting = vscode.workspace.getConfiguration('llmMagics', workspace).get<string>('python', '');
    const chosen = async () => {
      const found = await ofPython();
      return found && chosenIn(found, workspace);
    };
    return interpreter(setting, chosen, {
      home: homedir(),
      workspace: workspace?.scheme === 'file' ? workspace.fsPath : undefined,
      path: process.env.PATH ?? ''
    });
  };
  const state = (kind: string) => void vscode.commands.executeCommand('setContext', 'llmMagics.state', kind);
  let trouble: Trouble | null = null;
  const routes = new CommandRoutes(python, context.extensionPath, now => {
    trouble = now;
    state(now?.kind ?? 'ok');
  });
  const model = new Model(routes, STEADY);
  const logs = new Logs(routes, model);
  state('looking');

  const engines = new Tree();
  const path = new Tree();
  const views = [
    vscode.window.createTreeView('llmMagics.engines', { treeDataProvider: engines }),
    vscode.window.createTreeView('llmMagics.path', { treeDataProvider: path, manageCheckboxStateManually: true })
  ];
  const rates = new ShownRates();
  const draw = () => {
    const rows = engineRows(model, Date.now() / 1000, rates);
    engines.show(rows);
    path.show(pathRows(model.weeks));
    // VS Code shows no welcome below a message: what the welcome cannot know stands beside the title then.
    const welcomed = !rows.length && trouble !== null && WELCOMED.includes(trouble.kind);
    const message = welcomed ? undefined : model.trouble || undefined;
    const description = welcomed ? trouble?.about : undefined;
    if (views[0].message !== message) {
      views[0].message = message;
    }
    if (views[0].description !== description) {
      views[0].description = description;
    }
    const alive = model.engines.length;
    if ((views[0].badge?.value ?? 0) !== alive) {
      views[0].badge = alive
        ? { value: alive, tooltip: `${alive} LLM ${alive === 1 ? 'engine' : 'engines'}` }
        : undefined;
    }
  };
  model.changed.connect(draw);
  // Seconds are counted on the screen while somebody sees it.
  const clock = setInterval(() => views[0].visible && model.engines.length && draw(), 1000);
  for (const view of views) {
    const look = () => model.look(view === views[0] ? 'engines' : 'path', view.visible);
    context.subscriptions.push(view, view.onDidChangeVisibility(look));
    look();
  }
  context.subscriptions.push(
    logs,
    { dispose: () => clearInterval(clock) },
    { dispose: () => ['engines', 'path'].forEach(view => model.look(view, false)) },
    views[1].onDidChangeCheckboxState(event => {
      for (const [row, ticked] of event.items) {
        if (row.about) {
          void model.tick(row.about, ticked === vscode.TreeItemCheckboxState.Checked);
        }
      }
    }),
    vscode.workspace.onDidChangeConfiguration(event => {
      if (event.affectsConfiguration('llmMagics.python')) {
        model.forget();
      }
    }),
    ...addCommands({ model, logs, python })
  );
}

/** The Python extension's environments; undefined where it is not installed. */
async function environmentsOf(
  context: vscode.ExtensionContext,
  changed: () => void
): Promise<IEnvironments | undefined> {
  const found = vscode.extensions.getExtension('ms-python.python');
  const api = found && (await found.activate());
  const environments: IEnvironments | undefined = api?.environments;
  if (environments) {
    context.subscriptions.push(environments.onDidChangeActiveEnvironmentPath(changed));
  }
  return environments;
}
