// What the palette, the menus and the rows call. A row comes as the argument; without one, the person is asked.
import {
  answers,
  baseUrl,
  benchCell,
  clientCell,
  ended,
  IEngine,
  IRoutes,
  Model,
  runs,
  serveCell,
  stateWord
} from '@llm-magics/model';
import * as vscode from 'vscode';

import { folder, insert, openNotebook } from './cells';
import type { Logs } from './logs';
import { english } from './english';
import { IRow } from './rows';

const HOUR = 3600;

/** What the commands work with. */
export interface IAround {
  model: Model<IRoutes>;
  logs: Logs;
  /** The interpreter that is asked now. */
  python: () => Promise<string>;
}

/** Registers the commands. */
export function addCommands({ model, logs, python }: IAround): vscode.Disposable[] {
  const command = (id: string, run: (row?: IRow) => unknown) =>
    vscode.commands.registerCommand(`llmMagics.${id}`, async (row?: IRow) => {
      try {
        await run(row);
      } catch (error: any) {
        void vscode.window.showErrorMessage(error.told ?? String(error.message ?? error));
      }
    });
  const about = (
    id: string,
    title: string,
    run: (name: string) => unknown,
    which: (engine: IEngine) => boolean = () => true
  ) =>
    command(id, async row => {
      const name = row?.about ?? (await choose(model, title, which));
      if (name) {
        await run(name);
      }
    });
  return [
    command('refresh', () => model.retry()),
    command('serveCell', () => insert(serveCell())),
    about('benchCell', 'Bench which engine?', name => insert(benchCell(name)), answers),
    about('clientCell', 'Ask which engine?', name => insert(clientCell(name)), answers),
    about('openLog', 'The log of which engine?', name => logs.open(name)),
    about('keep', 'Keep which engine for another hour?', name => model.keep(name, HOUR), runs),
    about('dismiss', 'Forget which engine?', name => model.dismiss(name), ended),
    about('stop', 'Stop which engine?', name => stop(model, name), runs),
    about(
      'copyUrl',
      'The base URL of which engine?',
      async name => {
        const engine = model.find(name);
        if (engine) {
          await vscode.env.clipboard.writeText(baseUrl(engine));
          vscode.window.setStatusBarMessage(`Copied ${baseUrl(engine)}`, 3000);
        }
      },
      answers
    ),
    command('openTask', async row => {
      const task = row?.about ?? (await chooseTask(model));
      const place = task && (await folder());
      if (task && place) {
        await openNotebook(await model.routes.notebook(task, place));
      }
    }),
    command('chooseInterpreter', async () => {
      if ((await vscode.commands.getCommands(true)).includes('python.setInterpreter')) {
        await vscode.commands.executeCommand('python.setInterpreter');
      } else {
        await vscode.commands.executeCommand('workbench.action.openSettings', 'llmMagics.python');
      }
    }),
    command('install', async () => {
      const terminal = vscode.window.createTerminal('llm-magics');
      terminal.show();
      // Typed, not run: whose environment it is, the person knows.
      terminal.sendText(`${quoted(await python())} -m pip install --upgrade llm-magics`, false);
    })
  ];
}

async function stop(model: Model<IRoutes>, name: string): Promise<void> {
  const detail = 'Everybody who uses it loses it.';
  const answer = await vscode.window.showWarningMessage(`Stop ${name}?`, { modal: true, detail }, 'Stop');
  if (answer === 'Stop') {
    await model.stop(name);
  }
}

async function choose(
  model: Model<IRoutes>,
  title: string,
  which: (engine: IEngine) => boolean
): Promise<string | undefined> {
  await model.refresh();
  const items = model.engines.filter(which).map(engine => ({
    label: engine.name,
    description: `${stateWord(engine, english)} · ${engine.engine} · ${engine.model}`
  }));
  if (!items.length) {
    void vscode.window.showInformationMessage('There is no such engine now.');
    return undefined;
  }
  return (await vscode.window.showQuickPick(items, { title }))?.label;
}

async function chooseTask(model: Model<IRoutes>): Promise<string | undefined> {
  if (!model.weeks.length) {
    await model.refreshWork();
  }
  const items = model.weeks
    .flatMap(week => week.tasks)
    .filter(task => task.notebook)
    .map(task => ({ label: task.title, description: task.notebook ?? '', id: task.id }));
  return (await vscode.window.showQuickPick(items, { title: 'Open the notebook of which task?' }))?.id;
}

function quoted(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replace(/'/g, `'\\''`)}'`;
}
