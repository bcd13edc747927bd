// @vitest-environment happy-dom
// Whoever cannot be seen asks nothing: folded away, on a page behind another tab, or closed.
import type { ITranslator } from '@jupyterlab/translation';
import { Model } from '@llm-magics/model';
import { Widget } from '@lumino/widgets';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { LabModel } from '../src/api';
import { LogWidget } from '../src/logview';
import { SidebarPanel } from '../src/panel';
import { followRunning } from '../src/running';

// Lab's own class for both, without the icons and forms beside it, which only a bundler can load.
vi.mock('@jupyterlab/ui-components', () => import('@jupyterlab/ui-components/lib/components/vdom.js'));

const TRANS = { __: (text: string) => text } as any;
const MINUTE = 60 * 1000;
let page: DocumentVisibilityState;
let widget: Widget;
let opened: number;
let listening: number;
let model: LabModel;

/** Another tab comes to the front, or this one again. */
const turn = (state: DocumentVisibilityState) => {
  page = state;
  document.dispatchEvent(new Event('visibilitychange'));
};
const later = () => vi.advanceTimersByTimeAsync(MINUTE);

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('requestIdleCallback', (then: () => void) => setTimeout(then)); // which happy-dom has not
  page = 'visible';
  vi.spyOn(document, 'visibilityState', 'get').mockImplementation(() => page);
  opened = listening = 0;
  const watch = () => {
    opened += 1;
    listening += 1;
    return { onopen: null, onmessage: null, onclose: null, close: () => (listening -= 1) };
  };
  model = new Model({ watch, adapters: async () => [], tasks: async () => [] } as any);
});

afterEach(() => {
  widget.dispose();
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

/** What holds of the sidebar and of Lab's Running panel: told of changes while they are seen, and else by nothing. */
async function listensWhileItIsSeen(): Promise<void> {
  await later();
  expect([opened, listening]).toEqual([1, 1]);
  turn('hidden');
  expect(listening).toBe(0);
  await later();
  expect(opened).toBe(1);
  turn('visible');
  expect([opened, listening]).toEqual([2, 1]);
  widget.hide();
  await later();
  expect(listening).toBe(0);
  turn('hidden');
  widget.show(); // on a page that nobody sees
  await later();
  expect([opened, listening]).toEqual([2, 0]);
  turn('visible');
  expect([opened, listening]).toEqual([3, 1]);
  Widget.detach(widget);
  await later();
  expect(listening).toBe(0);
  Widget.attach(widget, document.body);
  await later();
  expect([opened, listening]).toEqual([4, 1]);
  widget.dispose();
  await later();
  turn('hidden');
  turn('visible');
  await later();
  expect([opened, listening]).toEqual([4, 0]);
  expect(widget.node.childElementCount).toBe(0); // nor is it drawn any more
}

test('the sidebar', async () => {
  const translator = { load: () => TRANS } as unknown as ITranslator;
  widget = new SidebarPanel(model, {} as any, translator, {} as any);
  expect(opened).toBe(0);
  Widget.attach(widget, document.body);
  await later();
  expect(widget.node.childElementCount).toBeGreaterThan(0);
  await listensWhileItIsSeen();
});

test('the Running panel', async () => {
  widget = new Widget();
  widget.id = 'jp-running-sessions';
  Widget.attach(widget, document.body);
  const shell = { id: '', children: () => [widget] };
  followRunning({ restored: Promise.resolve(), shell } as any, model);
  await listensWhileItIsSeen();
});

test('a log', async () => {
  const nothing = { file: '1', start: 0, end: 0, size: 0, text: '', earlier: false, seam: '' };
  const logs = vi.fn(async () => nothing);
  const asks = async () => {
    logs.mockClear();
    await later();
    return logs.mock.calls.length > 0;
  };
  widget = new LogWidget('qwen', { logs, report: vi.fn() } as any, vi.fn(), TRANS);
  expect(await asks()).toBe(false);
  Widget.attach(widget, document.body);
  expect(await asks()).toBe(true);
  turn('hidden');
  expect(await asks()).toBe(false);
  turn('visible');
  expect(await asks()).toBe(true);
  widget.hide();
  expect(await asks()).toBe(false);
  widget.show();
  expect(await asks()).toBe(true);
  widget.dispose();
  turn('hidden');
  turn('visible');
  expect(await asks()).toBe(false);
});
