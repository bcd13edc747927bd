// What the server's routes answer; the shapes are made in src/llm_magics/lab/.

export type State = 'starting' | 'loading' | 'ready' | 'stopping' | 'stopped' | 'failed' | 'lost' | 'elsewhere';

/** A running instance of an engine; times are seconds since the epoch. */
export interface IEngine {
  name: string;
  id: string;
  engine: string;
  engine_version: string;
  model: string;
  served_model: string;
  state: State;
  stage: string;
  url: string;
  created: number;
  ready_at: number | null;
  ended_at: number | null;
  gpus: number[];
  /** Ready, but it gave its GPU memory back and answers nothing until it is woken. */
  asleep: boolean;
  keep: string;
  idle: number | null;
  stops_at: number | null;
  stops_why: string;
  expected: number | null;
  exit: number | null;
  command: string;
  /** The machine that one which is `elsewhere` runs on. */
  host?: string;
  diagnosis: { cause?: string; line?: string; remedy?: string } | null;
  owners: { notebook?: string; kernel_id?: string; cwd?: string }[];
}

/** One look at an engine: `at` in seconds of a monotonic clock, counters since its start, memory in bytes. */
export interface ILoad {
  at: number;
  memory?: number | null;
  running?: number;
  waiting?: number;
  prompt_tokens?: number;
  output_tokens?: number;
  kv_usage?: number;
}

export interface IGpu {
  index: number;
  uuid: string;
  name: string;
  memory_total: number;
  memory_used: number;
  utilisation: number | null;
  power: number | null;
  power_limit: number | null;
  temperature: number | null;
  /** Cut into MIG instances; then its memory may be hidden (0). */
  mig: boolean;
  processes: { pid: number; memory: number | null; name: string; server: string }[];
}

export interface IRun {
  id: string;
  name: string;
  label: string;
  engine: string;
  model: string;
  started: string;
  status: string;
  points: number;
  requests: number;
  headline: { output_throughput?: number | null; median_ttft_ms?: number | null; round?: string };
}

export interface ITask {
  id: string;
  title: string;
  why: string;
  notebook: string | null;
  today: string | null;
  done: boolean;
  how: 'measured' | 'manual' | null;
  done_at: string | null;
  missing: string[];
  manual: boolean;
  lighter: string | null;
  form: 'full' | 'lighter' | null;
}

export interface IWeek {
  week: string;
  title: string;
  tasks: ITask[];
}

export interface IAdapter {
  key: string;
  title: string;
  install: string;
}

/** A page of a log; `file` names the file and the server that wrote it. */
export interface IPage {
  file: string;
  start: number;
  end: number;
  size: number;
  text: string;
  earlier: boolean;
  /** Whether it does not follow what it was asked to: another server's log, or lines that are gone in between. */
  seam: 'another' | 'gone' | '';
}

/** What the socket `watch` says: each message has one of these. */
export interface IMessage {
  engines?: IEngine[];
  left_off?: number;
  load?: Record<string, ILoad>;
  gpus?: IGpu[];
  work?: number;
  trouble?: string;
}
