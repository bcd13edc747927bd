// Putting cells where the person works: the notebook in front, or a new one; and by drag and drop.
import { JupyterFrontEnd } from '@jupyterlab/application';
import { INotebookTracker, Notebook, NotebookPanel } from '@jupyterlab/notebook';
import { asCell, IPlaced, placed, withLoad } from '@llm-magics/model';
import { MimeData, UUID } from '@lumino/coreutils';
import { Drag } from '@lumino/dragdrop';

const CELLS = 'application/vnd.jupyter.cells';

/** The sources of a notebook's cells; null for those that are no code. */
function sources(notebook: Notebook): (string | null)[] {
  return notebook.model!.sharedModel.cells.map(cell => (cell.cell_type === 'code' ? cell.getSource() : null));
}

/** Changes a notebook, in one step; the last of the new cells, or the one below them, becomes the active one. */
function change(notebook: Notebook, { start, remove, cells }: IPlaced, active = start + cells.length - 1): void {
  const { sharedModel } = notebook.model!;
  sharedModel.transact(() => {
    sharedModel.insertCells(start + remove, cells.map(asCell));
    sharedModel.deleteCellRange(start, start + remove);
  });
  notebook.deselectAll();
  notebook.activeCellIndex = active;
}

/** Puts a code cell below the active one (in place of it, when it is empty); it is shown, not run. */
export async function insert(app: JupyterFrontEnd, tracker: INotebookTracker | null, source: string): Promise<void> {
  let panel: NotebookPanel | null = tracker?.currentWidget ?? null;
  if (!panel) {
    const { kernelspecs } = app.serviceManager;
    await kernelspecs.ready; // else it would ask which kernel
    panel = await app.commands.execute('notebook:create-new', { kernelName: kernelspecs.specs?.default });
  }
  if (!panel) {
    return;
  }
  await panel.context.ready;
  await panel.revealed;
  const notebook = panel.content;
  change(notebook, placed(source, sources(notebook), notebook.activeCellIndex));
  void notebook.scrollToItem(notebook.activeCellIndex);
  app.shell.activateById(panel.id);
  notebook.activate();
}

/** What a cell needs that was dropped somewhere, put before it; it stays where the person wants it. */
function complete(notebook: Notebook, id: string, source: string): void {
  const start = notebook.model?.sharedModel.cells.findIndex(cell => cell.id === id) ?? -1;
  if (start >= 0) {
    const cells = withLoad(source, sources(notebook).slice(0, start)).slice(0, -1);
    change(notebook, { start, remove: 0, cells }, start + cells.length);
  }
}

/** Starts to drag a cell from an element once the pointer has moved a little. */
export function drag(event: MouseEvent, tracker: INotebookTracker | null, label: string, source: string): void {
  const { clientX, clientY } = event;
  event.preventDefault(); // else the browser drags text that is selected, or selects some
  const end = () => {
    document.removeEventListener('mousemove', move, true);
    document.removeEventListener('mouseup', end, true);
  };
  const move = (moved: MouseEvent) => {
    if (Math.hypot(moved.clientX - clientX, moved.clientY - clientY) < 6) {
      return;
    }
    end();
    const id = UUID.uuid4();
    const data = new MimeData();
    data.setData(CELLS, [{ ...asCell(source), id }]);
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
    void dragging.start(moved.clientX, moved.clientY).then(() => {
      dragging.dispose();
      tracker?.forEach(panel => complete(panel.content, id, source));
    });
  };
  document.addEventListener('mousemove', move, true);
  document.addEventListener('mouseup', end, true);
}
