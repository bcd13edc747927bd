// The cells that the sidebar puts into notebooks: visible, runnable, changeable. Nothing runs by itself.

/** Loads the magics. */
export const LOAD = '%load_ext llm_magics';

/** Serves the model that ships, or one to be filled in, with an engine. */
export function serveCell(engine?: string): string {
  if (!engine) {
    return `${LOAD}\n%serve tiny`;
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

/** The cells that a notebook needs for a snippet: one that loads the magics comes first, where no cell does so yet. */
export function withLoad(source: string, present: Iterable<string>): string[] {
  const needed = source.startsWith('%') && !source.includes(LOAD);
  for (const cell of needed ? present : []) {
    if (/^\s*%(?:re)?load_ext\s+llm_magics\b/m.test(cell)) {
      return [source];
    }
  }
  return needed ? [LOAD, source] : [source];
}

/** A code cell as notebooks store it. */
export function asCell(source: string): object {
  return { cell_type: 'code', execution_count: null, metadata: { trusted: true }, outputs: [], source };
}
