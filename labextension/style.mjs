// Puts the style sheets into one file without comments and blanks: they travel as text inside a script.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';

const here = new URL('.', import.meta.url);
const read = name => readFileSync(new URL(`style/${name}`, here), 'utf8');
const whole = read('index.css').replace(/@import url\('([^']+)'\);/g, (_, name) => read(name));
const short = whole
  .replace(/\/\*[^]*?\*\//g, '')
  .replace(/\s+/g, ' ')
  .replace(/ ?([{};,>]) ?/g, '$1')
  .replace(/: /g, ':')
  .replace(/='(\w+)']/g, '=$1]')
  .replace(/([ :,(])0\./g, '$1.')
  .replace(/;}/g, '}')
  .trim();
mkdirSync(new URL('lib/style', here), { recursive: true });
writeFileSync(new URL('lib/style/index.css', here), `${short}\n`);
