// What the palette, the menus, the launcher and the panel itself call. Names of engines come as arguments; where one is
// missing, the person is asked.
import { JupyterFrontEnd } from '@jupyterlab/application';
import { Dialog, InputDialog, showDialog } from '@jupyterlab/apputils';
import { TranslationBundle } from '@jupyterlab/translation';
import { answers, baseUrl, benchCell, clientCell, IEngine, Model, runs, serveCell } from '@llm-magics/model';

import { IActions } from './rows';

export const Ids = {
  show: 'llm-magics:show',
  serve: 'llm-magics:serve',
  bench: 'llm-magics:bench',
  client: 'llm-magics:client',
  logs: 'llm-magics:logs',
  stop: 'llm-magics:stop',
  url: 'llm-magics:copy-url'
};

/** Opens a run's figure; for pages that are loaded again, so not in the palette. */
export const OPEN_RUN = 'llm-magics:open-run';

/** Registers the commands. */
export function addCommands(
  app: JupyterFrontEnd,
  model: Model,
  actions: IActions,
  panelId: string,
  icon: any,
  trans: TranslationBundle
): void {
  const { commands } = app;
  const choose = async (title: string, which: (engine: IEngine) => boolean): Promise<string | null> => {
    await model.refresh();
    const names = model.engines.filter(which).map(engine => engine.name);
    if (!names.length) {
      await showDialog({ title, body: trans.__('There is no such engine now.'), buttons: [Dialog.okButton()] });
      return null;
    }
    return names.length === 1 ? names[0] : (await InputDialog.getItem({ title, items: names })).value;
  };
  const about = (
    id: string,
    label: string,
    run: (name: string) => unknown,
    which: (engine: IEngine) => boolean = answers
  ) =>
    commands.addCommand(id, {
      label,
      execute: async args => {
        const name = (args['name'] as string) || (await choose(label, which));
        if (name) {
          await run(name);
        }
      }
    });
  commands.addCommand(Ids.show, {
    label: trans.__('Show LLM Engines'),
    execute: () => app.shell.activateById(panelId)
  });
  commands.addCommand(Ids.serve, {
    label: args => (args['isLauncher'] ? trans.__('LLM engine') : trans.__('Insert a Cell That Serves a Model')),
    caption: trans.__('A cell that serves the model that ships'),
    icon: args => (args['isPalette'] ? undefined : icon),
    execute: () => actions.insert(serveCell())
  });
  about(Ids.bench, trans.__('Insert a Cell That Benches an Engine…'), name => actions.insert(benchCell(name)));
  about(Ids.client, trans.__('Insert a Cell That Asks an Engine…'), name => actions.insert(clientCell(name)));
  about(
    Ids.logs,
    trans.__('Open the Log of an Engine…'),
    name => actions.openLog(name),
    () => true
  );
  commands.addCommand(OPEN_RUN, { execute: args => actions.openRun(args['run'] as string) });
  about(Ids.url, trans.__('Copy the Base URL of an Engine…'), name => {
    const engine = model.find(name);
    return engine && actions.copy(baseUrl(engine));
  });
  const stop = async (name: string) => {
    const answer = await showDialog({
      title: trans.__('Stop %1?', name),
      body: trans.__('Everybody who uses it loses it.'),
      buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: trans.__('Stop') })],
      defaultButton: 0
    });
    if (answer.button.accept) {
      await model.stop(name);
    }
  };
  about(Ids.stop, trans.__('Stop an Engine…'), stop, runs);
}
