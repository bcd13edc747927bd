// Putting cells where the person works: the notebook in front, or a new one. They are shown, not run.
import { withLoad } from '@llm-magics/model';
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
  const { notebook } = editor;
  const cells = notebook.getCells();
  const present = cells.map(cell => cell.document.getText());
  const made = withLoad(source, present).map(
    text => new vscode.NotebookCellData(vscode.NotebookCellKind.Code, text, 'python')
  );
  const at = editor.selections.length ? editor.selections[0].end : cells.length;
  const chosen = at > 0 ? cells[at - 1] : undefined;
  const empty = chosen?.kind === vscode.NotebookCellKind.Code && !chosen.document.getText().trim();
  const start = empty ? at - 1 : at;
  const edit = new vscode.WorkspaceEdit();
  edit.set(notebook.uri, [vscode.NotebookEdit.replaceCells(new vscode.NotebookRange(start, at), made)]);
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
