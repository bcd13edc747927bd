// Putting cells where the person works: the notebook in front, or a new one; and by drag and drop.
import { JupyterFrontEnd } from '@jupyterlab/application';
import { INotebookTracker, NotebookActions, NotebookPanel } from '@jupyterlab/notebook';
import { asCell, withLoad } from '@llm-magics/model';
import { MimeData } from '@lumino/coreutils';
import { Drag } from '@lumino/dragdrop';

const CELLS = 'application/vnd.jupyter.cells';

/** Puts a code cell below the active one (into it, when it is empty); it is shown, not run. */
export async function insert(app: JupyterFrontEnd, tracker: INotebookTracker | null, source: string): Promise<void> {
  let panel: NotebookPanel | null = tracker?.currentWidget ?? null;
  if (!panel) {
    panel = await app.commands.execute('notebook:create-new', {
      kernelName: app.serviceManager.kernelspecs.specs?.default
    });
  }
  if (!panel) {
    return;
  }
  await panel.context.ready;
  await panel.revealed;
  const notebook = panel.content;
  for (const cell of withLoad(source, sources(panel))) {
    const active = notebook.activeCell;
    if (!active || active.model.type !== 'code' || active.model.sharedModel.getSource().trim()) {
      NotebookActions.insertBelow(notebook);
    }
    notebook.activeCell?.model.sharedModel.setSource(cell);
  }
  app.shell.activateById(panel.id);
  notebook.activate();
}

function sources(panel: NotebookPanel | null): string[] {
  return panel?.content.widgets.map(cell => cell.model.sharedModel.getSource()) ?? [];
}

/** Starts to drag a cell from an element once the pointer has moved a little. */
export function drag(event: MouseEvent, tracker: INotebookTracker | null, label: string, source: string): void {
  const { clientX, clientY } = event;
  const end = () => {
    document.removeEventListener('mousemove', move, true);
    document.removeEventListener('mouseup', end, true);
  };
  const move = (moved: MouseEvent) => {
    if (Math.hypot(moved.clientX - clientX, moved.clientY - clientY) < 6) {
      return;
    }
    end();
    const data = new MimeData();
    data.setData(CELLS, withLoad(source, sources(tracker?.currentWidget ?? null)).map(asCell));
    data.setData('text/plain', source);
    const image = document.createElement('div');
    image.className = 'llm-DragImage';
    image.textContent = label;
    const dragging = new Drag({
      mimeData: data,
      dragImage: image,
      supportedActions: 'copy',
      proposedAction: 'copy',
      source: null
    });
    void dragging.start(moved.clientX, moved.clientY).then(() => dragging.dispose());
  };
  document.addEventListener('mousemove', move, true);
  document.addEventListener('mouseup', end, true);
}
