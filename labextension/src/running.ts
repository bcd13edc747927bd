// The same engines in Lab's own Running panel, and in Notebook 7's Running tab.
import { JupyterFrontEnd } from '@jupyterlab/application';
import { IRunningSessionManagers, IRunningSessions } from '@jupyterlab/running';
import { TranslationBundle } from '@jupyterlab/translation';
import { LabIcon } from '@jupyterlab/ui-components';
import { Model, runs, stateWord } from '@llm-magics/model';
import { MessageLoop } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import { isSeen } from './seen';

/** Adds the section; `open` shows an engine's log. */
export function addRunning(
  managers: IRunningSessionManagers,
  model: Model,
  icon: LabIcon,
  open: (name: string) => void,
  trans: TranslationBundle
): void {
  const alive = () => model.engines.filter(runs);
  const items = (): IRunningSessions.IRunningItem[] =>
    alive().map(engine => ({
      className: 'llm-Running',
      context: engine.name,
      icon: () => icon,
      label: () => engine.name,
      labelTitle: () => `${engine.engine} · ${engine.model}\n${engine.url}`,
      detail: () => (engine.state === 'ready' ? engine.engine : stateWord(engine, trans)),
      open: () => open(engine.name),
      shutdown: () => void model.stop(engine.name)
    }));
  managers.add({
    name: trans.__('LLM engines'),
    running: items,
    shutdownAll: () => alive().forEach(engine => void model.stop(engine.name)),
    refreshRunning: () => void model.refresh(),
    runningChanged: model.enginesChanged,
    shutdownLabel: trans.__('Stop'),
    shutdownAllLabel: trans.__('Stop All'),
    shutdownAllConfirmationText: trans.__('Stop all engines of this machine that you started?')
  });
  void model.refresh();
}

/** Tells the model whether somebody sees the Running panel, wherever it is. */
export function followRunning(app: JupyterFrontEnd, model: Model): void {
  const ids = ['jp-running-sessions', 'jp-running-sessions-tree'];
  const search = (widget: Widget): void => {
    if (ids.includes(widget.id)) {
      const look = () => model.look('running', isSeen(widget));
      document.addEventListener('visibilitychange', look);
      MessageLoop.installMessageHook(widget, (_, message) => {
        if (message.type.startsWith('after-')) {
          queueMicrotask(look); // it takes the message first
        }
        return true;
      });
      look();
    }
    for (const child of widget.children()) {
      search(child);
    }
  };
  void app.restored.then(() => search(app.shell as unknown as Widget));
}
