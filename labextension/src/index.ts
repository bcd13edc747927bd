// The plugin: puts the panel, the commands and the Running section into JupyterLab or Notebook 7. Only the translator is
// required; what another front end lacks is left out.
import { ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Clipboard, ICommandPalette, MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import { PathExt } from '@jupyterlab/coreutils';
import { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import { ILauncher } from '@jupyterlab/launcher';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { IRunningSessionManagers } from '@jupyterlab/running';
import { ITranslator } from '@jupyterlab/translation';
import { LabIcon, textEditorIcon } from '@jupyterlab/ui-components';
import { Model } from '@llm-magics/model';
import { Panel, Widget } from '@lumino/widgets';

import { Api } from './api';
import { addCommands, Ids, OPEN_RUN } from './commands';
import { engineIcon } from './icon';
import { LogWidget } from './logview';
import { SidebarPanel } from './panel';
import { drag, insert } from './place';
import { IActions } from './rows';
import { addRunning, followRunning } from './running';
import { drawRun } from './runview';

/** Opens a document tab; where the main area takes only one document (Notebook 7), below it. */
function openTab<Content extends Widget>(
  app: JupyterFrontEnd,
  id: string,
  label: string,
  icon: LabIcon,
  content: Content
): MainAreaWidget<Content> {
  const widget = new MainAreaWidget({ content });
  widget.id = id;
  widget.toolbar.hide(); // nothing is in it
  Object.assign(widget.title, { label, icon, closable: true });
  app.shell.add(widget, 'main');
  if (!widget.isAttached) {
    app.shell.add(widget, 'down');
  }
  app.shell.activateById(id);
  return widget;
}

function findTab(app: JupyterFrontEnd, id: string): boolean {
  for (const area of ['main', 'down']) {
    try {
      for (const widget of app.shell.widgets(area)) {
        if (widget.id === id) {
          app.shell.activateById(id);
          return true;
        }
      }
    } catch {
      // a front end without this area
    }
  }
  return false;
}

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'llm-magics:panel',
  description: 'Running LLM engines, their logs, GPUs, runs, and the learning path',
  autoStart: true,
  requires: [ITranslator],
  optional: [
    INotebookTracker,
    ICommandPalette,
    ILauncher,
    ILayoutRestorer,
    IRunningSessionManagers,
    IRenderMimeRegistry,
    IDefaultFileBrowser
  ],
  activate: (
    app: JupyterFrontEnd,
    translator: ITranslator,
    tracker: INotebookTracker | null,
    palette: ICommandPalette | null,
    launcher: ILauncher | null,
    restorer: ILayoutRestorer | null,
    managers: IRunningSessionManagers | null,
    rendermime: IRenderMimeRegistry | null,
    browser: IDefaultFileBrowser | null
  ) => {
    const trans = translator.load('llm_magics');
    const api = new Api(app.serviceManager.serverSettings, trans);
    const model = new Model(api);
    // What they track is opened again when the page is loaded again.
    const logs = new WidgetTracker<MainAreaWidget<LogWidget>>({ namespace: 'llm-magics-logs' });
    const figures = new WidgetTracker<MainAreaWidget<Panel>>({ namespace: 'llm-magics-runs' });

    const actions: IActions = {
      openLog: name => {
        const id = `llm-log-${name}`;
        if (!findTab(app, id)) {
          const content = new LogWidget(name, api, actions.copy, trans);
          void logs.add(openTab(app, id, trans.__('Log of %1', name), textEditorIcon, content));
        }
      },
      openRun: run => {
        const id = `llm-run-${run}`;
        if (!rendermime || findTab(app, id)) {
          return;
        }
        const content = new Panel();
        content.id = run;
        content.addClass('llm-RunView');
        const widget = openTab(app, id, trans.__('Run %1', run), engineIcon, content);
        void figures.add(widget);
        void drawRun(content, rendermime, () => api.run(run), trans).then(() => {
          widget.title.label = content.title.label || widget.title.label;
        });
      },
      openNotebook: path => void app.commands.execute('docmanager:open', { path }),
      copy: async text => {
        try {
          await navigator.clipboard.writeText(text);
        } catch {
          Clipboard.copyToSystem(text); // a page that came by plain http from another machine has no clipboard
        }
      },
      insert: source => insert(app, tracker, source),
      drag: (event, label, source) => drag(event.nativeEvent, tracker, label, source),
      folder: () => {
        const open = tracker?.currentWidget?.context.path;
        const path = browser ? browser.model.path : open ? PathExt.dirname(open) : '';
        return app.serviceManager.contents.localPath(path);
      }
    };

    const panel = new SidebarPanel(model, actions, translator, engineIcon);
    app.shell.add(panel, 'left', { rank: 300, type: 'LLM engines' });
    restorer?.add(panel, panel.id);
    addCommands(app, model, actions, panel.id, engineIcon, trans);
    void restorer?.restore(logs, {
      command: Ids.logs,
      args: widget => ({ name: widget.content.name }),
      name: widget => widget.content.name
    });
    void restorer?.restore(figures, {
      command: OPEN_RUN,
      args: widget => ({ run: widget.content.id }),
      name: widget => widget.content.id
    });
    if (palette) {
      for (const command of Object.values(Ids)) {
        palette.addItem({ command, category: trans.__('LLM engines'), args: { isPalette: true } });
      }
    }
    launcher?.add({ command: Ids.serve, category: trans.__('Other'), rank: 0, args: { isLauncher: true } });
    if (managers) {
      const openLog = (name: string) => actions.openLog(name);
      addRunning(managers, model, engineIcon, openLog, trans);
      followRunning(app, model);
    }
  }
};

export default plugin;
