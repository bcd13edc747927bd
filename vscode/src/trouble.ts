// What can be wrong with the command that is asked, each in one line that says what to do.
import { Refused } from '@llm-magics/model';

/** The oldest version of the package that speaks as this extension hears. */
export const NEEDS = '0.1.0';
/** What `list --json --watch` says in its first line, and this extension understands. */
export const SPEAKS = 1;

/** `none`: no interpreter; `missing`: no package in it; `old`: too old a one; `broken`: anything else. */
export type Kind = 'none' | 'missing' | 'old' | 'broken';

/** Why nothing is heard. */
export class Trouble extends Refused {
  constructor(
    readonly kind: Kind,
    message: string,
    why = '',
    then = '',
    /** What a fixed text cannot know: whose interpreter, which version. */
    readonly about = ''
  ) {
    super(message, why, then);
  }
}

/** How a process ended: `error` where it did not start, else its status or signal, and the end of its stderr. */
export interface IEnd {
  error?: NodeJS.ErrnoException;
  status: number | null;
  signal: string | null;
  stderr: string;
}

/** What the end of a process says about the interpreter and the package in it. */
export function troubleOf(python: string, end: IEnd): Trouble {
  const last = lastLine(end.stderr);
  if (end.error) {
    const why = end.error.code === 'ENOENT' ? 'There is no such file.' : end.error.message;
    return new Trouble('none', `The interpreter ${python} cannot be started.`, why, 'choose another', python);
  }
  if (/No module named '?llm_magics\b|ModuleNotFoundError: .*'llm_magics'/.test(end.stderr)) {
    return new Trouble('missing', `llm-magics is not installed in ${python}.`, '', '', python);
  }
  if (/unknown option '--watch'|unrecognized arguments: .*--watch/.test(end.stderr)) {
    return tooOld(python);
  }
  const how = end.signal ? `was ended by ${end.signal}` : `ended with status ${end.status}`;
  return new Trouble('broken', `llm-magics ${how}.`, last);
}

/** The package is there, and too old; `version` where it is known. */
export function tooOld(python: string, version = ''): Trouble {
  const which = `${version ? `${version} ` : ''}in ${python}`;
  return new Trouble('old', `llm-magics ${which} is too old: this view needs ${NEEDS} or newer.`, '', '', which);
}

/** Something was written that is no JSON. */
export function garbled(line: string): Trouble {
  const shown = line.length > 80 ? `${line.slice(0, 80)}…` : line;
  return new Trouble('broken', 'llm-magics wrote what is no JSON:', shown);
}

/** Whether a version is at least another; what follows the numbers (`0.2.0.dev1`) does not count. */
export function atLeast(version: string, needed: string): boolean {
  const numbers = (text: string) => (/^\d+(?:\.\d+)*/.exec(text)?.[0] ?? '').split('.').map(Number);
  const [have, want] = [numbers(version), numbers(needed)];
  for (let i = 0; i < want.length; i++) {
    if ((have[i] ?? 0) !== want[i]) {
      return (have[i] ?? 0) > want[i];
    }
  }
  return true;
}

function lastLine(text: string): string {
  const lines = text.split('\n').filter(line => line.trim());
  return lines.length ? lines[lines.length - 1].trim().slice(0, 300) : '';
}
