// What the Jupyter extension does with a notebook's cells, in its public words: a controller, a kernel, outputs as items.
const { spawn } = require('node:child_process');
const { join } = require('node:path');
const { createInterface } = require('node:readline');

const vscode = require('vscode');

exports.activate = context => {
  const controller = vscode.notebooks.createNotebookController('test-kernel', 'jupyter-notebook', 'Python of the tests');
  controller.supportedLanguages = ['python'];
  controller.supportsExecutionOrder = true;
  const kernels = new Map(); // by notebook
  let order = 0;
  controller.executeHandler = async (cells, notebook) => {
    if (!kernels.has(notebook)) {
      kernels.set(notebook, new Kernel(notebook.uri.fsPath));
    }
    for (const cell of cells) {
      const execution = controller.createNotebookCellExecution(cell);
      execution.executionOrder = ++order;
      execution.start(Date.now());
      await execution.clearOutput();
      execution.end(await kernels.get(notebook).run(cell.document.getText(), execution), Date.now());
    }
  };
  const prefer = notebook =>
    controller.updateNotebookAffinity(notebook, vscode.NotebookControllerAffinity.Preferred);
  vscode.workspace.notebookDocuments.forEach(prefer);
  context.subscriptions.push(controller, vscode.workspace.onDidOpenNotebookDocument(prefer), {
    dispose: () => kernels.forEach(kernel => kernel.end())
  });
};

/** A kernel behind kernel.py: a line of JSON each way for each thing that is said. */
class Kernel {
  constructor(notebook) {
    const python = vscode.workspace.getConfiguration('llmMagics').get('python');
    this.process = spawn(python, [join(__dirname, 'kernel.py'), notebook], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.shown = new Map(); // outputs that may be replaced, by display id
    this.lines = createInterface(this.process.stdout)[Symbol.asyncIterator]();
  }

  async run(source, execution) {
    this.process.stdin.write(JSON.stringify(source) + '\n');
    for (;;) {
      const { value, done } = await this.lines.next();
      const said = done ? { kind: 'done', ok: false } : JSON.parse(value);
      if (said.kind === 'done') {
        return said.ok;
      }
      await this.show(said, execution);
    }
  }

  async show({ kind, data, metadata, id, text, name }, execution) {
    if (kind === 'clear') {
      await execution.clearOutput();
    } else if (kind === 'stream') {
      const item = vscode.NotebookCellOutputItem[name === 'stderr' ? 'stderr' : 'stdout'](text);
      await execution.appendOutput(new vscode.NotebookCellOutput([item]));
    } else if (kind === 'update') {
      const output = this.shown.get(id);
      if (output) {
        await execution.replaceOutputItems(items(data), output);
      }
    } else {
      const output = new vscode.NotebookCellOutput(items(data), { outputType: kind, metadata });
      this.shown.set(id, output);
      await execution.appendOutput(output);
    }
  }

  end() {
    this.process.stdin.end();
  }
}

function items(data) {
  return Object.entries(data).map(([mime, value]) => {
    if (mime.startsWith('image/') && mime !== 'image/svg+xml') {
      return new vscode.NotebookCellOutputItem(Buffer.from(value, 'base64'), mime);
    }
    return typeof value === 'string'
      ? vscode.NotebookCellOutputItem.text(value, mime)
      : vscode.NotebookCellOutputItem.json(value, mime);
  });
}
