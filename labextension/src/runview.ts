// A stored run as a document tab, drawn by Lab's own renderers from the bundle that a notebook would hold.
import { IRenderMimeRegistry, MimeModel } from '@jupyterlab/rendermime';
import { TranslationBundle } from '@jupyterlab/translation';
import { inWords } from '@llm-magics/model';
import { Panel, Widget } from '@lumino/widgets';

/** Draws a mime bundle into a panel; says in words what went wrong where it could not be had. */
export async function drawRun(
  panel: Panel,
  rendermime: IRenderMimeRegistry,
  ask: () => Promise<{ label: string; data: any }>,
  trans: TranslationBundle
): Promise<void> {
  let why = trans.__('Nothing here can draw this run.');
  try {
    const { label, data } = await ask();
    panel.title.label = label;
    const type = rendermime.preferredMimeType(data, 'ensure');
    if (type) {
      const renderer = rendermime.createRenderer(type);
      panel.addWidget(renderer);
      await renderer.renderModel(new MimeModel({ data, trusted: false }));
      return;
    }
  } catch (error: any) {
    why = inWords(error);
  }
  const message = new Widget();
  message.addClass('llm-Empty');
  message.node.textContent = why;
  panel.addWidget(message);
}
