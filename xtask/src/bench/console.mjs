// The console with very much in it: makes it, asks for each page many times, and plays a long recording in a real browser.
// What was measured is printed as JSON, a line each.
import { createRequire } from 'node:module';
import http from 'node:http';

const { CONSOLE_NPM, CONSOLE_ORIGIN: origin, CONSOLE_LINK: link, CONSOLE_TOKENS } = process.env;
const [pending, live, steps, times] = ['PENDING', 'LIVE', 'STEPS', 'TIMES'].map((name) => Number(process.env[`CONSOLE_${name}`]));
const tokens = CONSOLE_TOKENS.split(' ');
const require = createRequire(`${CONSOLE_NPM}/package.json`);
const { chromium } = require('playwright-core');
const { Client } = require('pg');

const say = (row) => console.log(JSON.stringify(row));
const doing = (words) => console.error(words);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const connect = async (n, name) => {
  const client = new Client({ user: `agent-${n}`, password: tokens[n % tokens.length], application_name: name });
  client.on('error', () => {});
  await client.connect();
  return client;
};

// ---------------------------------------------------------------------- somebody who may see all of it

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-background-networking', '--disable-component-update', '--no-first-run'],
});
const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
const page = await context.newPage();
page.setDefaultTimeout(60000);
const device = await context.newCDPSession(page);
await device.send('WebAuthn.enable');
await device.send('WebAuthn.addVirtualAuthenticator', { options: {
  protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true,
} });
await page.goto(link);
await page.getByRole('button', { name: 'Make a passkey' }).click();
await page.waitForURL(`${origin}/`);
const cookie = (await context.cookies()).map(({ name, value }) => `${name}=${value}`).join('; ');

// ---------------------------------------------------------------------- what is in it

doing(`A recording of ${steps} operations …`);
const long = await connect(0, 'long');
for (let n = 0; n < steps; n += 1) {
  // Some are refused, so that there is something to jump to.
  const statement = n % 500 === 499 ? 'DELETE FROM orders' : `SELECT * FROM orders WHERE id > ${n % 900} ORDER BY id LIMIT ${1 + (n % 20)}`;
  await long.query(statement).catch(() => {});
}
const { rows: [{ id: recorded }] } = await long.query("SELECT current_setting('durward.session') AS id");
await long.end();

doing(`${pending} requests …`);
let next = 0;
await Promise.all(Array.from({ length: 100 }, async (_, n) => {
  const client = await connect(n, 'asks');
  // Nobody answers in time: the request goes on waiting without its session. Half of them are alike, and are one card for each agent.
  for (let id = next++; id < pending; id = next++) {
    const orders = id % 2 ? 'orders' : `orders AS o${id}`;
    await client.query(`UPDATE ${orders} SET status = 'paid' WHERE id = ${id}`).catch(() => {});
  }
  await client.end();
}));

doing(`${live} sessions …`);
const open = [];
for (let n = 0; n < live; n += 1) {
  const client = await connect(n, `open-${n}`);
  await client.query('SELECT count(*) FROM orders');
  open.push(client);
}

// ---------------------------------------------------------------------- each page, many times

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const { hostname, port } = new URL(origin);
const get = (path) => new Promise((resolve, reject) => {
  const begun = performance.now();
  http.get({ hostname, port, path, agent, headers: { cookie, accept: 'text/html' } }, (answer) => {
    const parts = [];
    answer.on('data', (part) => parts.push(part));
    answer.on('end', () => {
      const body = Buffer.concat(parts);
      resolve({ ms: performance.now() - begun, bytes: body.length, status: answer.statusCode, text: body.toString() });
    });
  }).on('error', reject);
});
const found = (text, pattern) => text.match(pattern)?.[1] ?? (() => { throw new Error(`there is no ${pattern} in the page`); })();

const inbox = (await get('/')).text;
const request = found(inbox, /href="\/requests\/(r[0-9a-f]+)"/);
const burst = found(inbox, /href="\/requests\/(r[0-9a-f]+)\/alike"/);
const watched = found((await get('/sessions')).text, /href="\/sessions\/([^"/]+)\/tail"/);
const version = found((await get('/policies/history')).text, /href="\/policies\/history\/(\d+)"/);
const file = found((await get('/policies')).text, /href="(\/policies\/files\/[^"]+)"/);
const middle = Math.floor(steps / 2);
const pages = [
  '/', '/requests', `/requests/${request}`, `/requests/${burst}/alike`, '/grants', '/sessions', '/sessions?principal=agent-1', `/sessions/${watched}/tail`,
  `/sessions/${recorded}`, `/sessions/${recorded}?step=${middle}`, `/sessions/${recorded}?step=${steps - 1}`,
  `/sessions/${recorded}?find=refused`, `/sessions/${recorded}/steps?from=${middle}`, `/sessions/${recorded}/steps/${middle}`,
  '/freezes', '/targets', '/targets/bench', '/targets/new', '/policies', file, '/policies/new', '/policies/explain',
  '/policies/history', `/policies/history/${version}`, '/people', '/journal', '/journal?text=orders', '/journal?principal=agent%3Abench-3', '/health',
  '/me', '/more',
];
for (const path of pages) {
  const first = await get(path);
  if (first.status !== 200) throw new Error(`${path} answers ${first.status}: ${first.text.slice(0, 2000)}`);
  await get(path);
  const took = [];
  for (let n = 0; n < times; n += 1) took.push((await get(path)).ms);
  took.sort((a, b) => a - b);
  const at = (share) => took[Math.min(took.length - 1, Math.ceil(took.length * share) - 1)];
  const shown = path.replace(recorded, 'LONG').replace(watched, 'LIVE').replace(request, 'ID').replace(burst, 'BURST').replace(/history\/\d+/, 'history/N');
  say({ page: shown, median_ms: at(0.5), p99_ms: at(0.99), bytes: first.bytes });
}

// ---------------------------------------------------------------------- replay

doing('Playing it …');
await page.goto(`${origin}/sessions/${recorded}`);
const played = await page.evaluate(async () => {
  const stage = document.querySelector('[data-stage]');
  const shown = [performance.now()];
  new MutationObserver(() => shown.push(performance.now())).observe(stage, { childList: true });
  const frames = [];
  let last = performance.now();
  let on = true;
  const frame = (now) => { frames.push(now - last); last = now; if (on) requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
  document.querySelector('[data-do=speed]').value = '32';
  document.querySelector('[data-do=play]').click();
  await new Promise((resolve) => setTimeout(resolve, 10000));
  document.querySelector('[data-do=play]').click();
  on = false;
  const gaps = shown.slice(1).map((at, n) => at - shown[n]);
  return { steps: gaps.length, longest_gap_ms: Math.max(...gaps), longest_frame_ms: Math.max(...frames) };
});
// From one end to the other, and to the next refusal, as somebody would who looks for it.
const jumps = [];
for (const step of [steps - 1, 0, middle]) {
  const begun = Date.now();
  await page.locator('input[type=range]').evaluate((range, to) => { range.value = to; range.dispatchEvent(new Event('change')); }, step);
  await page.getByText(new RegExp(`^Step ${step + 1} of`)).waitFor();
  jumps.push(Date.now() - begun);
}
const begun = Date.now();
await page.keyboard.press('n');
await page.locator('[data-stage] .chip.bad').waitFor();
jumps.push(Date.now() - begun);
say({ replay: { ...played, longest_jump_ms: Math.max(...jumps) } });

await browser.close();
await Promise.all(open.map((client) => client.end()));
