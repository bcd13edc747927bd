// The rows as VS Code's trees: drawn anew where they changed, and only there.
import * as vscode from 'vscode';

import { changes, flat, renewed } from './redraw';
import { IRow } from './rows';

export class Tree implements vscode.TreeDataProvider<IRow> {
  private _rows: IRow[] = [];
  private _changed = new vscode.EventEmitter<IRow | IRow[] | undefined>();
  readonly onDidChangeTreeData = this._changed.event;

  /** What is shown from now on. */
  show(rows: IRow[]): void {
    const changed = changes(this._rows, rows);
    this._rows = renewed(this._rows, rows);
    if (changed === 'all') {
      this._changed.fire(undefined);
    } else if (changed) {
      this._changed.fire(flat(this._rows).filter(row => changed.includes(row.id)));
    }
  }

  getChildren(row?: IRow): IRow[] {
    return row ? (row.rows ?? []) : this._rows;
  }

  getTreeItem(row: IRow): vscode.TreeItem {
    const fold = vscode.TreeItemCollapsibleState;
    const item = new vscode.TreeItem(
      row.label,
      !row.rows?.length ? fold.None : row.open ? fold.Expanded : fold.Collapsed
    );
    item.id = row.id;
    item.description = row.description;
    item.tooltip = row.tooltip;
    item.contextValue = row.context;
    item.accessibilityInformation = { label: row.spoken };
    if (row.icon) {
      item.iconPath = new vscode.ThemeIcon(row.icon, row.colour ? new vscode.ThemeColor(row.colour) : undefined);
    }
    if (row.ticked !== undefined) {
      const { Checked, Unchecked } = vscode.TreeItemCheckboxState;
      item.checkboxState = {
        state: row.ticked ? Checked : Unchecked,
        accessibilityInformation: { label: row.spoken, role: 'checkbox' }
      };
    }
    if (row.click) {
      item.command = { command: row.click, title: row.label, arguments: [row] };
    }
    return item;
  }
}
