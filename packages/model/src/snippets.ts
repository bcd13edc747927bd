// The cells that the sidebar puts into notebooks: visible, runnable, changeable. Nothing runs by itself.

/** Loads the magics. */
export const LOAD = '%load_ext llm_magics';

/** Serves the model that ships, or one to be filled in, with an engine. */
export function serveCell(engine?: string): string {
  if (!engine) {
    return '%serve tiny';
  }
  return `%%serve ${/^[A-Za-z_]\w*$/.test(engine) ? engine : 'server'} --engine ${engine}\nmodel: tiny`;
}

/** Benches a running engine. */
export function benchCell(name: string): string {
  return `%%bench ${name}\nconcurrency: [1, 4]\nrequests: 40\nslo: {ttft: 500ms}`;
}

/** Talks to a running engine through its `openai` client. */
export function clientCell(name: string): string {
  return [
    `import llm_magics`,
    ``,
    `${name} = next(server for server in llm_magics.servers() if server.name == "${name}")`,
    `reply = ${name}.client.chat.completions.create(`,
    `    model=${name}.model,`,
    `    messages=[{"role": "user", "content": "Explain PagedAttention in one sentence."}],`,
    `)`,
    `print(reply.choices[0].message.content)`
  ].join('\n');
}

/** Compares two stored runs. */
export function compareCell(one: string, other: string): string {
  return `%compare ${one} ${other}`;
}

/** Whether a cell loads the magics. What follows a magic like `%%bash` is not Python's; null is no code cell. */
const loads = (cell: string | null): boolean =>
  cell !== null && !/^\s*%%/.test(cell) && /^\s*%?(?:re)?load_ext\s+llm_magics\b/m.test(cell);

/**
 * The cells that make a snippet work where it is put: a magic is loaded before it, unless a cell above does so.
 *
 * @param above - The sources of the cells above that place; null for those that are no code.
 */
export function withLoad(source: string, above: (string | null)[]): string[] {
  if (!source.startsWith('%') || above.some(loads)) {
    return [source];
  }
  return source.startsWith('%%') ? [LOAD, source] : [`${LOAD}\n${source}`];
}

/** A change of a notebook: from the cell `start` on, so many cells give way to new ones. */
export interface IPlaced {
  start: number;
  remove: number;
  cells: string[];
}

/**
 * Where a snippet goes: below the chosen cell, in place of it where it is empty, but below the one that loads the magics
 * that it needs. Run from top to bottom, the notebook works.
 *
 * @param present - The sources of all cells; null for those that are no code.
 * @param chosen - The place of the chosen cell; -1 for none, and the end.
 */
export function placed(source: string, present: (string | null)[], chosen: number): IPlaced {
  const loader = source.startsWith('%') ? present.findIndex(loads) : -1;
  const below = Math.max(loader, chosen < 0 ? present.length - 1 : chosen);
  const remove = present[below]?.trim() === '' ? 1 : 0;
  const start = below + 1 - remove;
  return { start, remove, cells: withLoad(source, present.slice(0, start)) };
}

/** A code cell as notebooks store it. */
export function asCell(source: string) {
  return { cell_type: 'code', execution_count: null, metadata: { trusted: true }, outputs: [], source };
}
