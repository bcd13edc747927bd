// Engines and tasks as a server, or the command, tells of them: for the tests here and of those who use this package.
import { IEngine, ITask } from '../src/types';

export const engine = (name: string, more: Partial<IEngine> = {}): IEngine => ({
  name,
  id: `id of ${name}`,
  engine: 'llamacpp',
  engine_version: '1.2',
  model: '/models/tiny-q8_0.gguf',
  served_model: 'tiny',
  state: 'ready',
  stage: '',
  url: 'http://127.0.0.1:9000',
  created: 900,
  ready_at: 910,
  ended_at: null,
  gpus: [],
  keep: 'kernel',
  idle: null,
  asleep: false,
  stops_at: null,
  stops_why: '',
  expected: null,
  exit: null,
  command: '',
  diagnosis: null,
  owners: [],
  ...more
});

export const task = (id: string, more: Partial<ITask> = {}): ITask => ({
  id,
  title: `Do ${id}`,
  why: 'Because it teaches.',
  notebook: `${id}.ipynb`,
  today: null,
  done: false,
  how: null,
  done_at: null,
  missing: ['a run of it'],
  manual: false,
  lighter: null,
  form: null,
  ...more
});
