// Putting cells where the person works: the notebook in front, or a new one. They are shown, not run.
import { placed } from '@llm-magics/model';
import * as vscode from 'vscode';

const JUPYTER = 'jupyter-notebook';

/** Puts a code cell below the chosen one (in place of it, when it is empty). */
export async function insert(source: string): Promise<void> {
  let editor = vscode.window.activeNotebookEditor;
  if (editor?.notebook.notebookType !== JUPYTER) {
    editor = vscode.window.visibleNotebookEditors.find(each => each.notebook.notebookType === JUPYTER);
  }
  if (!editor) {
    const notebook = await vscode.workspace.openNotebookDocument(JUPYTER, new vscode.NotebookData([]));
    editor = await vscode.window.showNotebookDocument(notebook);
  }
  const { notebook, selections } = editor;
  const present = notebook
    .getCells()
    .map(cell => (cell.kind === vscode.NotebookCellKind.Code ? cell.document.getText() : null));
  const { start, remove, cells } = placed(source, present, selections.length ? selections[0].end - 1 : -1);
  const made = cells.map(text => new vscode.NotebookCellData(vscode.NotebookCellKind.Code, text, 'python'));
  const place = new vscode.NotebookRange(start, start + remove);
  const edit = new vscode.WorkspaceEdit();
  edit.set(notebook.uri, [vscode.NotebookEdit.replaceCells(place, made)]);
  if (!(await vscode.workspace.applyEdit(edit))) {
    throw new Error('The notebook took no cell.');
  }
  const last = new vscode.NotebookRange(start + made.length - 1, start + made.length);
  const shown = await vscode.window.showNotebookDocument(notebook, { selections: [last] });
  shown.revealRange(last, vscode.NotebookEditorRevealType.InCenterIfOutsideViewport);
}

/** Opens a notebook's file. */
export async function openNotebook(path: string): Promise<void> {
  const notebook = await vscode.workspace.openNotebookDocument(vscode.Uri.file(path));
  await vscode.window.showNotebookDocument(notebook, { preview: false });
}

/** The folder of the user's that a copy goes into: the notebook's in front, else the workspace's first, else asked. */
export async function folder(): Promise<string | undefined> {
  const front = vscode.window.activeNotebookEditor?.notebook.uri;
  if (front?.scheme === 'file' && vscode.workspace.getWorkspaceFolder(front)) {
    return vscode.Uri.joinPath(front, '..').fsPath;
  }
  const workspace = vscode.workspace.workspaceFolders?.find(each => each.uri.scheme === 'file');
  if (workspace) {
    return workspace.uri.fsPath;
  }
  const chosen = await vscode.window.showOpenDialog({
    canSelectFiles: false,
    canSelectFolders: true,
    openLabel: 'Copy the Notebook Here'
  });
  return chosen?.[0]?.fsPath;
}
