// `python -m llm_magics.cli …` as a process: without a shell, in a folder where no file of a workspace can stand in for
// a module, its output line by line.
import { ChildProcess, spawn } from 'node:child_process';

import { garbled, IEnd, troubleOf } from './trouble';

const MOST = 64 * 1024; // letters of stderr that are kept

/** One that runs. */
export interface IRunning {
  /** End it; nothing more is said of it, its end excepted. */
  kill(): void;
}

/** Starts it; `line` gets every line of stdout, `ended` how it ended, once. */
export function run(
  python: string,
  words: string[],
  folder: string,
  line: (text: string) => void,
  ended: (end: IEnd) => void
): IRunning {
  const stderr: string[] = [];
  let rest = '';
  let over = false;
  let killed = false;
  const finish = (end: Omit<IEnd, 'stderr'>) => {
    if (!over) {
      over = true;
      if (rest && !killed) {
        line(rest);
      }
      ended({ ...end, stderr: stderr.join('') });
    }
  };
  let child: ChildProcess;
  try {
    child = spawn(python, ['-m', 'llm_magics.cli', ...words], {
      cwd: folder,
      env: { ...process.env, PYTHONUNBUFFERED: '1', PYTHONIOENCODING: 'utf-8' },
      shell: false,
      stdio: ['ignore', 'pipe', 'pipe'],
      windowsHide: true
    });
  } catch (error: any) {
    // a name that no program can have, such as one with a null character
    queueMicrotask(() => finish({ error, status: null, signal: null }));
    return { kill: () => undefined };
  }
  child.on('error', error => finish({ error, status: null, signal: null }));
  child.on('close', (status, signal) => finish({ status, signal }));
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    if (killed) {
      return;
    }
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    for (const each of lines) {
      if (!killed) {
        line(each);
      }
    }
  });
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr.push(text.slice(-MOST));
    while (stderr.length > 1 && stderr.reduce((sum, part) => sum + part.length, 0) > MOST) {
      stderr.shift();
    }
  });
  return {
    kill: () => {
      killed = true;
      child.kill('SIGTERM');
    }
  };
}

/** The one JSON document that a verb prints; rejects with a `Trouble`. */
export function ask(python: string, words: string[], folder: string): Promise<any> {
  return new Promise((resolve, reject) => {
    const lines: string[] = [];
    run(
      python,
      words,
      folder,
      line => lines.push(line),
      end => {
        if (end.error || end.status !== 0) {
          reject(troubleOf(python, end));
          return;
        }
        try {
          resolve(JSON.parse(lines.join('\n')));
        } catch {
          reject(garbled(lines.find(line => line.trim()) ?? 'nothing at all'));
        }
      }
    );
  });
}
