// The interpreter that is asked: the setting, else the Python extension's choice, else the first python3 on PATH.
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';

import { Trouble } from './trouble';

/** What of the Python extension's API is used; it is public and documented as `PythonExtension`. */
export interface IEnvironments {
  getActiveEnvironmentPath(resource?: unknown): { path: string };
  resolveEnvironment(environment: { path: string }): Promise<{ executable: { uri?: { fsPath: string } } } | undefined>;
  onDidChangeActiveEnvironmentPath(listener: () => void): { dispose(): void };
}

/**
 * The interpreter.
 *
 * @param setting - `llmMagics.python`: a path, or a name on PATH; '' for no wish. `~/` and `${workspaceFolder}` are
 *   understood.
 * @param chosen - Asks the Python extension; undefined where it is not there or chose none.
 * @throws Trouble - When there is none.
 */
export async function interpreter(
  setting: string,
  chosen: () => Promise<string | undefined>,
  places: { home: string; workspace?: string; path: string }
): Promise<string> {
  const wish = setting
    .trim()
    .replace(/^~(?=\/|$)/, places.home)
    .replace(/\$\{workspaceFolder\}/g, places.workspace ?? '${workspaceFolder}');
  if (wish) {
    const found = isAbsolute(wish) ? ((await runs(wish)) ? wish : undefined) : await onPath(wish, places.path);
    if (!found) {
      const then = 'correct it, or leave it empty';
      throw new Trouble('none', `The setting llmMagics.python names ${wish},`, 'which is no program here.', then, wish);
    }
    return found;
  }
  const found = (await chosen().catch(() => undefined)) || (await onPath('python3', places.path));
  if (!found) {
    throw new Trouble('none', 'There is no Python here:', 'none is chosen, and no python3 is on PATH.');
  }
  return found;
}

/** The Python extension's choice for a resource, as a path to run. */
export async function chosenIn(environments: IEnvironments, resource?: unknown): Promise<string | undefined> {
  const path = environments.getActiveEnvironmentPath(resource);
  const environment = await environments.resolveEnvironment(path);
  return environment?.executable.uri?.fsPath;
}

async function onPath(name: string, path: string): Promise<string | undefined> {
  for (const folder of name.includes('/') ? [] : path.split(delimiter).filter(isAbsolute)) {
    if (await runs(join(folder, name))) {
      return join(folder, name);
    }
  }
  return undefined;
}

async function runs(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
