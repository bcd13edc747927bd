// What is said of a server that does not answer, or answers no JSON, is in the reader's language.
import { ServerConnection } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { expect, test } from 'vitest';

import { Api } from '../src/api';

const GERMAN: Record<string, string> = {
  'The server does not answer.': 'Der Server antwortet nicht.',
  'The server does not answer; trying again.': 'Der Server antwortet nicht; neuer Versuch.',
  'The server answers %1.': 'Der Server antwortet %1.'
};
const trans = { __: (text: string, ...values: unknown[]) => GERMAN[text].replace('%1', String(values[0])) };

function api(answer: () => Promise<Response>): Api {
  const settings = ServerConnection.makeSettings({ baseUrl: 'http://127.0.0.1/', fetch: answer });
  return new Api(settings, trans as TranslationBundle);
}

test('a server that does not answer', async () => {
  const away = api(() => Promise.reject(new TypeError('fetch failed')));
  await expect(away.runs()).rejects.toMatchObject({ message: 'Der Server antwortet nicht.', status: 0 });
  expect(away.silent).toBe('Der Server antwortet nicht; neuer Versuch.');
});

test('an answer that is not ours is told by its status', async () => {
  const proxy = api(async () => new Response('<html>Bad gateway</html>', { status: 502 }));
  await expect(proxy.runs()).rejects.toMatchObject({ message: 'Der Server antwortet 502.', status: 502 });
});

test("the server's own words are passed on", async () => {
  const refused = { message: 'It refuses.', why: 'Because.', then: 'ask later' };
  const busy = api(async () => new Response(JSON.stringify(refused), { status: 409 }));
  await expect(busy.stop('a')).rejects.toMatchObject({ told: 'It refuses. Because. → ask later' });
});
