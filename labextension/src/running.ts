// The same engines in Lab's own Running panel, and in Notebook 7's Running tab.
import { IRunningSessionManagers, IRunningSessions } from '@jupyterlab/running';
import { TranslationBundle } from '@jupyterlab/translation';
import { LabIcon } from '@jupyterlab/ui-components';
import { Model, runs, stateWord } from '@llm-magics/model';

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
