// The command as it behaves and misbehaves: one quiet line each time, and another try that comes later and later.
import { afterEach, expect, test, vi } from 'vitest';

import { Model } from '@llm-magics/model';

import { engine, task } from '../../packages/model/test/made';
import { CommandRoutes } from '../src/routes';
import { Kind, Trouble } from '../src/trouble';
import { GREETING, IScripted, scripted } from './scripted';

const WATCH = '-m llm_magics.cli list --json --watch';
const list = (...names: string[]) =>
  `say(${JSON.stringify(JSON.stringify({ engines: names.map(name => engine(name)) }))});`;
const greet = `say('${GREETING}');`;
const tasks = `if (words[0] === 'learn') { say('[]'); return; }`;

let made: Model[] = [];
afterEach(() => {
  made.forEach(model => model.look('test', false));
  made = [];
});

function watching(
  python: IScripted | string,
  steady = 10000
): { model: Model; states: (Kind | 'ok')[]; said: string[] } {
  const states: (Kind | 'ok')[] = [];
  const said: string[] = [];
  const path = typeof python === 'string' ? python : python.path;
  const model = new Model(
    new CommandRoutes(
      async () => path,
      '/',
      trouble => states.push(trouble?.kind ?? 'ok')
    ),
    steady
  );
  model.changed.connect(() => model.trouble !== said[said.length - 1] && said.push(model.trouble));
  made.push(model);
  model.look('test', true);
  return { model, states, said };
}

const soon = (check: () => void) => vi.waitFor(check, { timeout: 50000, interval: 10 });
const calls = (python: IScripted) => python.calls().filter(call => call === WATCH).length;

test('what it says is shown, and its words go on while it runs', async () => {
  const python = scripted(`${tasks}${greet}${list('a')} await until('more'); ${list('a', 'b')} await forever();`);
  const { model, states } = watching(python);
  await soon(() => expect(model.engines.map(each => each.name)).toEqual(['a']));
  expect(states).toEqual(['ok']);
  python.happen('more');
  await soon(() => expect(model.find('b')?.state).toBe('ready'));
  expect(model.trouble).toBe('');
  expect(calls(python)).toBe(1);
});

test('no interpreter: said with its path', async () => {
  const { model, states } = watching('/nowhere/python');
  await soon(() => expect(model.trouble).toContain('/nowhere/python cannot be started'));
  expect(states[0]).toBe('none');
  expect(model.engines).toEqual([]);
});

test('a choice of an interpreter that fails is said in its words', async () => {
  const states: string[] = [];
  const none = new Trouble('none', 'There is no Python here:', 'none is chosen.');
  const model = new Model(
    new CommandRoutes(
      () => Promise.reject(none),
      '/',
      trouble => states.push(trouble?.kind ?? 'ok')
    )
  );
  made.push(model);
  model.look('test', true);
  await soon(() => expect(model.trouble).toBe('There is no Python here: none is chosen.'));
  expect(states).toEqual(['none']);
});

test.each([
  `${'/usr/bin/python'}: Error while finding module specification for 'llm_magics.cli' (ModuleNotFoundError: No module named 'llm_magics')`,
  `/usr/bin/python: No module named llm_magics`
])('the package is not installed: said, and found once it is', async words => {
  const python = scripted(`complain(${JSON.stringify(words)}); process.exit(1);`);
  const { model, states } = watching(python);
  await soon(() => expect(model.trouble).toBe(`llm-magics is not installed in ${python.path}.`));
  expect(states[0]).toBe('missing');
  python.plays(`${tasks}${greet}${list('a')} await forever();`);
  await soon(() => expect(model.engines).toHaveLength(1));
  expect(model.trouble).toBe('');
  expect(states[states.length - 1]).toBe('ok');
});

test('another missing module is no missing package', async () => {
  const { model, states } = watching(scripted(`complain("No module named 'numpy'"); process.exit(1);`));
  await soon(() => expect(model.trouble).toContain("No module named 'numpy'"));
  expect(states[0]).toBe('broken');
});

test('a version that cannot watch says which it is and which is needed', async () => {
  const python = scripted(
    `if (words[0] === '--version') { say('0.0.7'); return; }
     complain("llm-magics list: unknown option '--watch'."); process.exit(2);`
  );
  const { model, states } = watching(python);
  await soon(() =>
    expect(model.trouble).toBe(`llm-magics 0.0.7 in ${python.path} is too old: this view needs 0.1.0 or newer.`)
  );
  expect(states[0]).toBe('old');
});

test('a version that watches and is too old is not listened to', async () => {
  const python = scripted(`say('{"llm_magics": "0.0.9", "speaks": 1}'); ${list('a')} await forever();`);
  const { model } = watching(python);
  await soon(() => expect(model.trouble).toContain('0.0.9'));
  expect(model.trouble).toContain('needs 0.1.0');
  expect(model.engines).toEqual([]);
});

test('one that speaks otherwise is not guessed at', async () => {
  const { model } = watching(scripted(`say('{"llm_magics": "9.0", "speaks": 2}'); await forever();`));
  await soon(() => expect(model.trouble).toContain('too new'));
});

test.each([
  ['before the greeting', `say('Welcome to your cluster!'); await forever();`],
  ['after it', `${greet} say('{"engines": [') ; await forever();`],
  ['instead of one', `say('{"engines": []}'); await forever();`]
])('what is no JSON, %s: said with the line, and the command ended', async (_, part) => {
  const python = scripted(part);
  const { model, states } = watching(python);
  await soon(() => expect(model.trouble).toContain('is no JSON'));
  expect([...new Set(states)]).toEqual(['broken']); // a greeting alone is no good news
  python.plays(`${tasks}${greet}${list('a')} await forever();`);
  await soon(() => expect(model.engines).toHaveLength(1));
  expect(model.trouble).toBe('');
});

test('it dies in the middle of a line: what was known stays, why is said, and it is asked again', async () => {
  const python = scripted(
    `${tasks}${greet}${list('a')} await until('die'); process.stdout.write('{"engines": ['); complain('Traceback\\nMemoryError'); process.kill(process.pid, 'SIGKILL');`
  );
  const { model } = watching(python);
  await soon(() => expect(model.engines).toHaveLength(1));
  python.happen('die');
  await soon(() => expect(model.trouble).not.toBe(''));
  expect(model.engines).toHaveLength(1);
  python.plays(`${tasks}${greet}${list('a', 'b')} await forever();`);
  await soon(() => expect(model.engines).toHaveLength(2));
  expect(model.trouble).toBe('');
});

test('one that opens and dies at once, again and again, is asked less and less often', async () => {
  const python = scripted(`${tasks}${greet}${list()} complain('no'); process.exit(1);`);
  const { model } = watching(python);
  await soon(() => expect(python.times(WATCH).length).toBeGreaterThanOrEqual(5));
  const times = python.times(WATCH);
  // At least the pause, whatever else the machine does: each start is noted by the process itself.
  for (const [number, pause] of [500, 1000, 2000, 4000].entries()) {
    expect(times[number + 1] - times[number]).toBeGreaterThan(pause - 10);
  }
  expect(model.trouble === '' || model.trouble.includes('ended with status 1')).toBe(true);
}, 60000);

test('who looks away ends the command', async () => {
  const python = scripted(
    `${tasks}${greet}${list('a')} process.on('SIGTERM', () => { happened('ended'); process.exit(0); });
     say('{"work": 1}'); await forever();`
  );
  const { model } = watching(python);
  await soon(() => expect(model.engines).toHaveLength(1));
  await soon(() => expect(python.calls().length).toBeGreaterThan(1)); // it heard of work, so the process is set up
  model.look('test', false);
  await soon(() => expect(python.happened('ended')).toBe(true));
  await new Promise(done => setTimeout(done, 1000));
  expect(calls(python)).toBe(1);
  expect(model.trouble).toBe('');
});

test('verbs are run as typed, without a shell, and answer with JSON', async () => {
  const python = scripted(
    `if (words[0] === 'learn' && words[1]) { say('{"copied_to": "/w/it.ipynb"}'); } else { say('[]'); }`
  );
  const routes = new CommandRoutes(async () => python.path, '/');
  expect(await routes.notebook('quantization', '/a folder; rm -rf $HOME')).toBe('/w/it.ipynb');
  await routes.keep('a', 3600);
  await routes.tick('read', true);
  expect(python.calls()).toEqual([
    '-m llm_magics.cli learn quantization --to /a folder; rm -rf $HOME --json',
    '-m llm_magics.cli keep a 3600s --json',
    '-m llm_magics.cli learn read --tick --json',
    '-m llm_magics.cli learn --json'
  ]);
});

test('a verb that refuses says why in the row, one that babbles too', async () => {
  const python = scripted(
    `if (words[0] === 'list') { ${greet}${list('a')} await forever(); } if (words[0] === 'learn') { say('[]'); return; }
     complain('a could not be stopped.'); process.exit(1);`
  );
  const { model } = watching(python);
  await soon(() => expect(model.engines).toHaveLength(1));
  await model.stop('a');
  expect(model.refusals['a']).toContain('a could not be stopped.');
  const babbling = new CommandRoutes(async () => scripted(`say('Done!');`).path, '/');
  await expect(babbling.stop('a')).rejects.toThrow('no JSON');
});

test('the path is asked once for many changes while it is being asked', async () => {
  const python = scripted(
    `await until('now'); say(${JSON.stringify(JSON.stringify([{ week: '1', title: 'x', tasks: [task('a')] }]))});`
  );
  const routes = new CommandRoutes(async () => python.path, '/');
  const asked = [routes.tasks(), routes.tasks(), routes.tasks(), routes.tasks()];
  await soon(() => expect(python.calls()).toHaveLength(1));
  python.happen('now');
  const answers = await Promise.all(asked);
  expect(answers.every(weeks => weeks[0].tasks[0].id === 'a')).toBe(true);
  expect(python.calls()).toHaveLength(2);
});
