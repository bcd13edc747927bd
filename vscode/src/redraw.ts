// Which rows have to be drawn anew, and how those that stay are kept.
import { IRow } from './rows';

/**
 * What has to be drawn anew: null for nothing, `all` where rows came, went or moved, else the ids of those that look
 * otherwise, each as deep as it can be. What is drawn anew has new buttons: a click on one that begins before and ends
 * after is lost.
 */
export function changes(before: IRow[], after: IRow[]): string[] | 'all' | null {
  if (before.map(row => row.id).join('\0') !== after.map(row => row.id).join('\0')) {
    return 'all';
  }
  const found = after.flatMap((row, number) => {
    const within = own(row) === own(before[number]) ? changes(before[number].rows ?? [], row.rows ?? []) : 'all';
    return within === 'all' ? [row.id] : (within ?? []);
  });
  return found.length ? found : null;
}

/** A row without those in it. */
function own(row: IRow): string {
  return JSON.stringify({ ...row, rows: undefined });
}

/** Rows as they are now. VS Code knows an element by the object: one that stays is the same object with other words. */
export function renewed(before: IRow[], after: IRow[]): IRow[] {
  const known = new Map(before.map(row => [row.id, row]));
  return after.map(now => {
    const row: any = known.get(now.id);
    if (!row) {
      return now;
    }
    const rows = now.rows && renewed(row.rows ?? [], now.rows);
    for (const key of Object.keys(row)) {
      delete row[key];
    }
    return Object.assign(row, now, { rows });
  });
}

/** Rows and those in them. */
export function flat(rows: IRow[]): IRow[] {
  return rows.flatMap(row => [row, ...flat(row.rows ?? [])]);
}
