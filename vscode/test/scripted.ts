// An interpreter that plays a part: a program whose `-m llm_magics.cli WORDS` does what a test says. It stands for
// Python; what is tested is what becomes of its lines, its ends and its silence.
import { appendFileSync, chmodSync, existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const GREETING = '{"llm_magics": "0.1.0", "speaks": 1}';

export interface IScripted {
  /** The program. */
  path: string;
  folder: string;
  /** The words that it was called with so far, one call after the other. */
  calls(): string[];
  /** When those were that begin with some words, in ms. */
  times(words: string): number[];
  /** Another part from now on. */
  plays(part: string): void;
  /** Something a part can wait for with `until(name)`. */
  happen(name: string): void;
  /** Whether a part said so. */
  happened(name: string): boolean;
}

/** A program that runs `part`: JavaScript with `words`, `say(line)`, `complain(line)`, `until(name)`, `happened(name)`, `forever()`. */
export function scripted(part: string): IScripted {
  const folder = mkdtempSync(join(tmpdir(), 'llm-magics-'));
  const [path, file, log] = ['python', 'part.cjs', 'calls'].map(name => join(folder, name));
  appendFileSync(log, '');
  writeFileSync(
    path,
    `#!${process.execPath}
const { appendFileSync, existsSync, readFileSync, writeSync } = require('node:fs');
const words = process.argv.slice(4);
appendFileSync(${JSON.stringify(log)}, [Date.now(), ...process.argv.slice(2)].join(' ') + '\\n');
const say = line => writeSync(1, line + '\\n');
const complain = line => writeSync(2, line + '\\n');
const pause = ms => new Promise(done => setTimeout(done, ms));
const until = async name => { while (!existsSync(${JSON.stringify(folder)} + '/' + name)) await pause(5); };
const happened = name => appendFileSync(${JSON.stringify(folder)} + '/' + name, '');
const forever = () => new Promise(() => setInterval(() => {}, 1e6));
const Part = Object.getPrototypeOf(async function () {}).constructor;
new Part('words', 'say', 'complain', 'until', 'happened', 'forever', readFileSync(${JSON.stringify(file)}, 'utf8'))(
  words, say, complain, until, happened, forever);
`
  );
  chmodSync(path, 0o755);
  writeFileSync(file, part);
  const started = () =>
    readFileSync(log, 'utf8')
      .split('\n')
      .filter(line => line)
      .map(line => ({ time: parseInt(line), words: line.slice(line.indexOf(' ') + 1) }));
  return {
    path,
    folder,
    calls: () => started().map(each => each.words),
    times: words =>
      started()
        .filter(each => each.words.startsWith(words))
        .map(each => each.time),
    plays: next => writeFileSync(file, next),
    happen: name => existsSync(join(folder, name)) || writeFileSync(join(folder, name), ''),
    happened: name => existsSync(join(folder, name))
  };
}
