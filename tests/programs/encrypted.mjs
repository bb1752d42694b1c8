// The console by its own certificate, in a real browser, and answers from Slack, whose stand-in this is: it checks what Slack checks
// of messages, and calls back as Slack does, signed. What fails ends the program.
import { spawn } from 'node:child_process';
import { createHash, createHmac, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { request } from 'node:https';
import { createRequire } from 'node:module';

import { looking } from './looks.mjs';

const { CONSOLE_NPM, CONSOLE_SHOTS: shots, SLACK_SECRET, CONSOLE_LINK } = process.env;
const origin = new URL(CONSOLE_LINK).origin;
const { hostname, port } = new URL(origin);
const { chromium } = createRequire(`${CONSOLE_NPM}/package.json`)('playwright-core');
const check = (fine, words) => { if (!fine) throw new Error(words); };
const until = async (what, find) => {
  for (let tries = 0; tries < 600; tries += 1) {
    const found = find();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${what}: ${JSON.stringify(calls)}`);
};

// Slack: its methods, and what was said to it.
const calls = [];
let count = 0;
let clicks = 0;
createServer((question, answer) => {
  let body = '';
  question.on('data', (part) => { body += part; });
  question.on('end', () => {
    const method = question.url.replace('/api/', '');
    const said = JSON.parse(body);
    const fine = said.text && said.blocks.every(({ type }) => ['header', 'rich_text', 'actions'].includes(type));
    calls.push({ method, said });
    count += 1;
    answer.writeHead(200).end(JSON.stringify(fine ? { ok: true, channel: said.channel, ts: said.ts ?? `1.${count}` } : { ok: false, error: 'invalid_blocks' }));
  });
}).listen(Number(process.env.SLACK_PORT), '127.0.0.1');

// A click of U1 in the team T1 on the newest message with such a button.
const click = async (action) => {
  const button = await until(`a button ${action}`, () => calls.findLast(({ said }) => said.blocks.some(({ type }) => type === 'actions'))
    ?.said.blocks.find(({ type }) => type === 'actions').elements.find(({ action_id: id }) => id === action));
  const body = `payload=${encodeURIComponent(JSON.stringify({
    // No two clicks are one, however soon they follow.
    type: 'block_actions', trigger_id: String(clicks += 1), team: { id: 'T1' }, user: { id: 'U1', username: 'dora.m' }, channel: { id: 'C0123456789' },
    actions: [{ type: 'button', action_id: action, value: button.value }],
  }))}`;
  const at = Math.floor(Date.now() / 1000);
  const signature = `v0=${createHmac('sha256', SLACK_SECRET).update(`v0:${at}:${body}`).digest('hex')}`;
  return new Promise((resolve, reject) => {
    const sent = request({
      host: '127.0.0.1', port, servername: hostname, ca: readFileSync(process.env.CONSOLE_CA), method: 'POST', path: '/slack/interactive',
      headers: { host: `${hostname}:${port}`, 'content-type': 'application/x-www-form-urlencoded', 'x-slack-signature': signature,
        'x-slack-request-timestamp': at },
    }, (heard) => { heard.resume(); resolve(heard.statusCode); });
    sent.on('error', reject).end(body);
  });
};
const whispered = (words) => until(words, () => calls.find(({ method, said }) => method === 'chat.postEphemeral' && said.text.includes(words)));

const psql = (statement) => {
  const child = spawn('psql', ['-XAtc', statement], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stdout.on('data', (text) => { said += text; });
  child.stderr.on('data', (text) => { said += text; });
  return new Promise((resolve) => child.on('close', () => resolve(said)));
};

// Browsers trust this one key, and the name leads here.
const key = new X509Certificate(readFileSync(process.env.CONSOLE_CERTIFICATE)).publicKey.export({ type: 'spki', format: 'der' });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-background-networking', '--disable-component-update', '--no-first-run',
    `--host-resolver-rules=MAP ${hostname} 127.0.0.1, EXCLUDE 127.0.0.1, MAP * ~NOTFOUND`,
    `--ignore-certificate-errors-spki-list=${createHash('sha256').update(key).digest('base64')}`],
});
const looks = looking(CONSOLE_NPM, shots);

try {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(30000);
  const device = await context.newCDPSession(page);
  await device.send('WebAuthn.enable');
  await device.send('WebAuthn.addVirtualAuthenticator', { options: {
    protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true,
  } });
  const answer = await page.goto(CONSOLE_LINK);
  check(/max-age=\d{7}/.test(answer.headers()['strict-transport-security'] ?? ''), 'a browser may come in clear next time');
  await page.getByRole('button', { name: 'Make a passkey' }).click();
  await page.waitForURL(`${origin}/`);
  const cookies = await context.cookies();
  check(cookies.length === 1 && cookies[0].name === `__Host-durward${new URL(origin).port && `-${new URL(origin).port}`}` && cookies[0].secure && cookies[0].httpOnly, JSON.stringify(cookies));
  check(!(await page.content()).includes('this machine alone'), 'links would work nowhere else');

  const held = psql("UPDATE shop SET note = 'paid' WHERE id = 1");
  check(await click('durward-approve') === 200, 'it is not heard');
  const { said } = await whispered('Nobody knows yet who you are');
  const link = said.blocks[0].elements[0].elements.find(({ type }) => type === 'link').url;
  await page.goto(link);
  await page.getByText('dora.m').first().waitFor();
  await looks(page, 'slack-link');
  await page.getByRole('button', { name: 'This is me' }).click();
  await page.waitForURL(`${origin}/me`);
  await page.getByText('dora.m').first().waitFor();
  await looks(page, 'slack-linked');
  await page.goto(link);
  await page.getByRole('alert').filter({ hasText: 'used already' }).waitFor();
  check(await click('durward-approve') === 200, 'it is not heard');
  check(/UPDATE 1/.test(await held), 'it ran');
  await until('the message says so', () => calls.some(({ method, said: { text } }) => method === 'chat.update' && text.endsWith('Approved by user:dora, done')));

  await page.goto(`${origin}/me`);
  await page.getByRole('button', { name: 'Unlink' }).click();
  await page.getByText('Nobody in Slack is you').waitFor();
  const before = calls.length;
  const second = psql("UPDATE shop SET note = 'x' WHERE id = 1");
  await until('it is asked', () => calls.slice(before).some(({ method }) => method === 'chat.postMessage'));
  check(await click('durward-approve') === 200, 'it is not heard');
  await until('nobody knows them', () => calls.slice(before).some(({ said: { text } }) => text.includes('Nobody knows')));
  await page.goto(origin);
  await page.locator('a', { hasText: 'UPDATE shop' }).first().click();
  await page.getByRole('button', { name: 'Deny' }).click();
  check(/denied/i.test(await second), 'it ran all the same');
} finally {
  await browser.close();
}
process.exit(0);
