// The console in a real browser: Debian's Chromium by Playwright, with a virtual authenticator. Each flow is a sentence; what
// fails ends the program. Where CONSOLE_SHOTS names a folder, each page is kept there as a picture.
import { spawn } from 'node:child_process';
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

import { looking, unseen } from './looks.mjs';

const { CONSOLE_NPM, CONSOLE_ORIGIN: origin, CONSOLE_SHOTS: shots } = process.env;
const require = createRequire(`${CONSOLE_NPM}/package.json`);
const { chromium } = require('playwright-core');
const looks = looking(CONSOLE_NPM, shots);

const begun = Date.now();
const check = (fine, words) => { if (!fine) throw new Error(words); };

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-background-networking', '--disable-component-update', '--no-first-run',
    // Issuers' own pages may name others; nothing is asked of anybody else.
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1'],
});

// Somebody with a browser, and an authenticator that knows them.
const somebody = async (options = {}) => {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15000);
  page.on('pageerror', (error) => { throw error; });
  const refused = [];
  page.on('console', (message) => { if (/Content Security Policy|Trusted/.test(message.text())) refused.push(message.text()); });
  const device = await context.newCDPSession(page);
  await device.send('WebAuthn.enable');
  const { authenticatorId } = await device.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
  const verified = (isUserVerified) => device.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified });
  return { context, page, verified, refused };
};

const join = async (who, link) => {
  if (who.joined) return;
  who.joined = true;
  await who.page.goto(link);
  await who.page.getByRole('button', { name: 'Make a passkey' }).click();
  await who.page.waitForURL(`${origin}/`);
};

// A statement that psql sends and waits for.
const psql = (statement, env = process.env) => {
  const child = spawn('psql', ['-XAtc', statement], { stdio: ['ignore', 'pipe', 'pipe'], env });
  let said = '';
  child.stdout.on('data', (text) => { said += text; });
  child.stderr.on('data', (text) => { said += text; });
  const ended = new Promise((resolve) => child.on('close', () => resolve(said)));
  return { ended, said: () => said, end: () => child.kill() };
};

// The same to the server itself, past the gateway.
const server = (statement) => psql(statement, {
  ...process.env, PGPORT: process.env.CONSOLE_TARGET_PORT, PGPASSWORD: process.env.CONSOLE_TARGET_PASSWORD,
}).ended;

// The request that a statement waits for, once it says so.
const asked = async (statement, env = process.env) => {
  const client = psql(statement, env);
  for (let tries = 0; tries < 300; tries += 1) {
    const id = client.said().match(/requests approve (r[0-9a-f]+)/)?.[1];
    if (id) return { ...client, id };
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`it is not held: ${client.said()}`);
};

// What a form of a page would send, sent by somebody's script: with their cookies, and what they like for the rest.
const sent = (page, path, fields, headers = {}) => page.request.post(`${origin}${path}`, {
  form: fields, headers: { origin, ...headers }, maxRedirects: 0, failOnStatusCode: false,
});
const hidden = (page, name) => page.locator(`form.answer [name=${name}]`).inputValue();

// What a real passkey signs where these fields are asked about at this address.
const signed = (page, address, fields) => page.evaluate(async ([at, more]) => {
  const question = await (await fetch(at, { method: 'POST', body: new URLSearchParams(more) })).json();
  const bytes = (t) => Uint8Array.from(atob(t.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
  const text = (b) => btoa(String.fromCharCode(...new Uint8Array(b))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  const given = await navigator.credentials.get({ publicKey: {
    challenge: bytes(question.challenge), rpId: question.rp_id, userVerification: more.uv ?? 'required',
    allowCredentials: question.keys.map((key) => ({ type: 'public-key', id: bytes(key) })),
  } });
  return JSON.stringify({
    id: text(given.rawId), client_data: text(given.response.clientDataJSON),
    data: text(given.response.authenticatorData), signature: text(given.response.signature),
  });
}, [address, fields]);

// Every page that is linked from a page, two of a kind: each is there, and what is on it is seen as it is.
const everyPage = async ({ page, refused }, look) => {
  const [todo, known, kinds] = [[['/', 'nowhere']], new Set(['/']), new Map()];
  let count = 0;
  while (todo.length) {
    const [path, from] = todo.shift();
    const kind = path.replace(/[a-z]?[0-9a-f]{8,}|\d+/g, '*').replace(/=[^&]*/g, '=');
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    if (kinds.get(kind) > 2) continue;
    const answer = await page.goto(`${origin}${path}`);
    check(answer.status() === 200, `${path}, linked from ${from}: ${answer.status()}`);
    await look(path);
    count += 1;
    for (const href of await page.locator('a[href]').evaluateAll((all) => all.map((a) => a.href))) {
      const to = new URL(href);
      const next = `${to.pathname}${to.search}`;
      if (to.origin === origin && !known.has(next)) { known.add(next); todo.push([next, path]); }
    }
  }
  check(!refused.length, refused.join('\n'));
  return count;
};

const [ada, eve, dora, alice] = [await somebody(), await somebody(), await somebody(), await somebody()];

const flows = {
  async 'the first administrator comes by a link that is good once'() {
    await ada.page.goto(process.env.CONSOLE_LINK);
    check(!ada.page.url().includes('#'), 'the secret stays in the address');
    await looks(ada.page, 'welcome');
    await join(ada, process.env.CONSOLE_LINK);
    await ada.page.getByText('Nothing waits for you').waitFor();
    await looks(ada.page, 'empty');
    const second = await somebody();
    await second.page.goto(process.env.CONSOLE_LINK);
    await second.page.getByRole('button', { name: 'Make a passkey' }).click();
    await second.page.getByRole('alert').filter({ hasText: 'used already' }).waitFor();
    await second.page.goto(origin);
    check(new URL(second.page.url()).pathname === '/signin', 'nobody is let in');
    await looks(second.page, 'signin');
    await second.context.close();
  },

  async 'a held statement appears by itself, and approving lets it through'() {
    const held = await asked("UPDATE orders SET status = 'paid' WHERE id = 3");
    const card = ada.page.locator(`#r-${held.id}`);
    await card.waitFor();
    check(/^\(1\)/.test(await ada.page.title()), 'the title counts');
    await looks(ada.page, 'inbox');
    await card.getByRole('link').click();
    await ada.page.getByText('changes rows of public.orders').waitFor();
    await ada.page.getByText('writes to production are looked at').waitFor();
    await ada.page.getByRole('heading', { name: 'Seen beforehand' }).waitFor();
    await ada.page.getByRole('columnheader', { name: 'status afterwards' }).waitFor();
    await looks(ada.page, 'request');
    await ada.page.keyboard.press('a');
    const said = await held.ended;
    check(/UPDATE 1/.test(said), said);
    await ada.page.locator('#standing .chip', { hasText: 'done' }).waitFor();
    await ada.page.getByText('by passkey').waitFor();
    await looks(ada.page, 'done');
    check(!ada.refused.length, ada.refused.join('\n'));
  },

  async 'denying tells the client why'() {
    await join(dora, process.env.CONSOLE_DBA);
    const held = await asked('DELETE FROM orders WHERE id = 4');
    await dora.page.locator(`#r-${held.id} a`).click();
    await dora.page.getByText('Add a comment').click();
    await dora.page.getByLabel(/A comment/).fill('not before noon');
    await dora.page.getByRole('button', { name: 'Deny' }).click();
    const said = await held.ended;
    check(/not before noon/.test(said), said);
    await dora.page.locator('#standing .chip', { hasText: 'denied' }).waitFor();
  },

  async 'what somebody else answers leaves the inbox without anything moving'() {
    await dora.page.goto(origin);
    const [first, second] = [await asked('DELETE FROM orders WHERE id = 5'), await asked('DELETE FROM orders WHERE id = 6 AND total > 0')];
    await dora.page.locator(`#r-${second.id}`).waitFor();
    const place = await dora.page.locator(`#r-${second.id}`).boundingBox();
    first.end();
    await dora.page.locator(`#r-${first.id}.gone`).waitFor();
    const now = await dora.page.locator(`#r-${second.id}`).boundingBox();
    check(place.y === now.y, 'it moved');
    second.end();
  },

  async 'a request that nobody answers expires'() {
    const held = await asked('INSERT INTO orders VALUES (99)');
    await ada.page.goto(`${origin}/requests/${held.id}`);
    await ada.page.locator('#standing .chip', { hasText: 'expired' }).waitFor();
    check(await ada.page.getByRole('button', { name: 'Approve' }).count() === 0, 'it can still be approved');
    held.end();
  },

  async 'a plan is approved as one, statement by statement'() {
    const script = `CREATE TABLE note (id int PRIMARY KEY, words text NOT NULL);
      UPDATE orders SET total = total + 1 WHERE id < 4; DELETE FROM orders WHERE id = 18; SELECT count(*) FROM note;
      ALTER TABLE carts ADD COLUMN seen boolean; UPDATE carts SET seen = true WHERE id <= 2;`;
    const submitted = await fetch(`${process.env.CONSOLE_AGENTS}/plans`, {
      method: 'POST', headers: { authorization: `Bearer ${process.env.PGPASSWORD}` },
      body: new URLSearchParams({ target: 'sample', script, reason: 'notes for <b>orders</b>', by: 'gateway' }),
    });
    const plan = await submitted.json();
    check(submitted.ok && plan.status === 'pending', JSON.stringify(plan));
    await join(dora, process.env.CONSOLE_DBA);
    const { page } = dora;
    await page.goto(`${origin}/requests/${plan.id}`);
    await page.getByText('run in one transaction').waitFor();
    await page.locator('.diff .new', { hasText: 'the table public.note' }).waitFor();
    check(await page.locator('ol.plan > li').count() === 6, 'not each statement is there');
    await page.getByText('All of them were tried in one transaction that was rolled back').waitFor();
    await page.locator('ol.plan > li').nth(5).getByText('updates 2 rows of public.carts').waitFor();
    await looks(page, 'plan');
    await page.getByRole('button', { name: 'Approve' }).click();
    await page.locator('#standing .chip', { hasText: 'done' }).waitFor();
    await page.getByText('Ran: DELETE 1').waitFor();
    await looks(page, 'plan-done');
  },

  async 'access that is asked for is given in part, by a signature for just that, until it is revoked'() {
    await join(dora, process.env.CONSOLE_DBA);
    const body = new URLSearchParams({ target: 'sample', reason: 'tidy <i>up</i>\u202e\u0007', rows: '5', seconds: '7200' });
    for (const one of ['update public.orders', 'delete public.orders']) body.append('access', one);
    const asks = await fetch(`${process.env.CONSOLE_AGENTS}/access`, {
      method: 'POST', headers: { authorization: `Bearer ${process.env.PGPASSWORD}` }, body,
    });
    const request = await asks.json();
    check(asks.ok && request.status === 'pending', JSON.stringify(request));
    const { page } = dora;
    await page.goto(origin);
    await page.locator(`#r-${request.id}`, { hasText: 'access: delete public.orders, update public.orders' }).locator('a').click();
    await page.getByRole('heading', { name: 'What it asks leave for' }).waitFor();
    await page.getByText('tidy <i>up</i>').waitFor();
    await page.locator('.stranger', { hasText: 'U+202E' }).first().waitFor();
    await looks(page, 'access');
    // A cookie gives nothing, nor does a signature for something else.
    const [csrf, digest] = [await hidden(page, 'csrf'), await hidden(page, 'digest')];
    const leave = await page.locator('form.answer [name=leave]').first().inputValue();
    const bare = await sent(page, `/requests/${request.id}/answer`,
      { csrf, digest, answer: 'approve', whole: 'yes', access: 'yes', asked: '5', leave, seconds: '900' });
    check(bare.status() === 422, `a cookie gave access: ${bare.status()}`);
    for (const change of [
      () => page.locator('form.answer [name=digest]').evaluate((field) => { field.value = '0'.repeat(64); }),
      () => page.locator('form.answer [name=access]').evaluate((field) => { field.value = 'no'; }),
      () => page.locator('form.answer [name=asked]').evaluate((field) => { field.value = '500'; }),
    ]) {
      await change();
      await page.getByRole('button', { name: 'Approve' }).click();
      await page.getByRole('link', { name: 'Look again' }).click();
      await page.locator('#standing .chip', { hasText: 'waits' }).waitFor();
    }
    await page.getByLabel('deletes rows of public.orders').uncheck();
    await page.getByLabel('For', { exact: true }).selectOption('1800');
    await page.getByLabel('Rows at most').fill('1');
    await page.getByRole('button', { name: 'Approve' }).click();
    await page.locator('#standing .chip', { hasText: 'done' }).waitFor();
    await looks(page, 'access-answered');
    await page.locator('p.outcome').getByRole('link', { name: /standing grant g/ }).click();
    await page.getByText('A statement may change at most').waitFor();
    check(await page.getByText('deletes rows').count() === 0, 'more was given');
    const update = await psql('UPDATE orders SET total = 0 WHERE id = 14').ended;
    check(/UPDATE 1/.test(update) && !/waiting/.test(update), update);
    const other = await asked('DELETE FROM orders WHERE id = -1');
    other.end();
    await page.reload();
    await page.getByText('used once').waitFor();
    await looks(page, 'access-given');
    await page.getByRole('button', { name: 'Revoke it' }).click();
    await page.locator('.chip', { hasText: 'ended' }).first().waitFor();
    (await asked('UPDATE orders SET total = 0 WHERE id = 15')).end();
  },

  async 'who may not approve something says no to it all the same'() {
    await join(dora, process.env.CONSOLE_DBA);
    const held = await asked('UPDATE ledger SET n = 2 WHERE id = 1');
    const { page } = dora;
    await page.goto(`${origin}/requests/${held.id}`);
    await page.getByText('You can deny it, and not approve it').filter({ hasText: 'the ledger is approved by its keepers' }).waitFor();
    check(await page.getByRole('button', { name: 'Approve' }).count() === 0, 'it can be approved');
    await looks(page, 'deny-alone');
    const approve = { csrf: await hidden(page, 'csrf'), digest: await hidden(page, 'digest'), whole: 'yes', answer: 'approve' };
    check((await sent(page, `/requests/${held.id}/answer`, approve)).status() === 422, 'a forged form approved');
    await page.getByRole('button', { name: 'Deny' }).click();
    check(/was denied/.test(await held.ended), held.said());
    await page.locator('#standing .chip', { hasText: 'denied' }).waitFor();
  },

  async 'what changed since it was asked for is said before it is approved, and its whole history stays'() {
    const { page } = ada;
    const held = await asked('UPDATE carts SET n = 7 WHERE id = 5');
    await page.goto(`${origin}/requests/${held.id}`);
    await page.getByRole('button', { name: 'Approve' }).waitFor();
    const altered = await server('ALTER TABLE carts ADD COLUMN again int');
    check(/ALTER TABLE/.test(altered), altered);
    // What was read is not what there is by now: it does not run, and the same is asked anew of whoever is there.
    await page.getByRole('button', { name: 'Approve' }).click();
    await page.locator('#standing .chip', { hasText: 'superseded' }).waitFor();
    await page.getByText('the table public.carts was altered since it was approved').first().waitFor();
    check(!/UPDATE 1/.test(held.said()), held.said());
    await looks(page, 'superseded', true);
    await page.getByRole('link', { name: 'It is asked anew' }).click();
    const [changed, answer] = [page.locator('#changed'), page.locator('form.answer')];
    await changed.filter({ hasText: 'the table public.carts was altered' }).waitFor();
    check((await changed.boundingBox()).y < (await answer.boundingBox()).y, 'it stands below the answer');
    await page.getByText('exactly this is committed').waitFor();
    await looks(page, 'changed');
    await page.getByText('Add a comment').click();
    await page.getByLabel(/A comment/).fill('fine by <me>');
    await page.getByRole('button', { name: 'Approve' }).click();
    const said = await held.ended;
    check(/UPDATE 1/.test(said), said);
    await page.locator('#standing .chip', { hasText: 'done' }).waitFor();
    // Each step with its time, in their order.
    const steps = page.locator('#history li');
    const told = await steps.allTextContents();
    for (const [at, words] of ['asked', 'user:ada approved', 'enough have approved', 'used', 'done'].entries()) {
      check(told[at]?.includes(words), `its history: ${told.join(' | ')}`);
    }
    check(await steps.locator('time[datetime]').count() === 5, `a step has no time: ${told.join(' | ')}`);
    check(told[1].includes('by passkey') && told[1].includes('fine by <me>'), told[1]);
    await looks(page, 'history-of-one', true);
  },

  async 'who asked takes it back, and nobody approves it any more'() {
    const { page } = ada;
    const held = await asked('UPDATE carts SET n = 8 WHERE id = 5');
    await page.goto(`${origin}/requests/${held.id}`);
    const fields = { csrf: await hidden(page, 'csrf'), digest: await hidden(page, 'digest'), whole: 'yes', answer: 'approve' };
    const proof = await signed(page, `/requests/${held.id}/question`, fields);
    held.end();
    await page.locator('#standing .chip', { hasText: 'withdrawn' }).waitFor();
    await page.locator('#history li', { hasText: 'withdrawn by whoever asked' }).locator('time[datetime]').waitFor();
    check(await page.getByRole('button', { name: 'Approve' }).count() === 0, 'it can still be approved');
    await looks(page, 'withdrawn', true);
    const late = await sent(page, `/requests/${held.id}/answer`, { ...fields, signed: proof });
    check(late.status() === 422 && (await late.text()).includes('withdrawn already'), `it was approved: ${late.status()}`);
    check((await server('SELECT n FROM carts WHERE id = 5')).trim() === '7', 'it ran');
  },

  async 'who signed out comes in again by the passkey'() {
    await ada.page.getByRole('button', { name: 'Sign out' }).click();
    await ada.page.getByRole('button', { name: 'Sign in with a passkey' }).click();
    await ada.page.waitForURL(`${origin}/`);
    await ada.page.goto(`${origin}/me`);
    await ada.page.getByRole('button', { name: 'Make a passkey' }).waitFor();
    await looks(ada.page, 'you');
    await ada.page.goto(`${origin}/requests`);
    await looks(ada.page, 'history');
  },

  async 'who signs in at their issuer approves by a fresh sign-in'() {
    const { page } = alice;
    const signIn = async () => {
      await page.locator('[name=login]').fill('alice');
      await page.locator('[name=password]').fill('any');
      await page.getByRole('button', { name: 'Sign-in' }).click();
    };
    const held = await asked("UPDATE orders SET status = 'sent' WHERE id = 7");
    await page.goto(`${origin}/requests/${held.id}`);
    await looks(page, 'signin-issuer');
    await page.getByRole('button', { name: 'Continue with company' }).click();
    await page.waitForURL(/interaction/, { waitUntil: 'commit' });
    await signIn();
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.waitForURL(`${origin}/requests/${held.id}`);
    await page.getByRole('button', { name: 'Approve' }).click();
    await page.waitForURL(/interaction/, { waitUntil: 'commit' });
    await signIn();
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.waitForURL(/confirm=approve/);
    check(!/UPDATE 1/.test(held.said()), 'a GET approved');
    await page.getByText('You have signed in again').waitFor();
    await page.getByRole('button', { name: 'Approve' }).click();
    const said = await held.ended;
    check(/UPDATE 1/.test(said), said);
    await page.getByText('by sign-in at company').waitFor();
  },

  async 'a fresh sign-in adds the passkey that it was shown for, and no other'() {
    const { page } = alice;
    const signIn = async () => {
      await page.waitForURL(/interaction/, { waitUntil: 'commit' });
      await page.locator('[name=login]').fill('alice');
      await page.locator('[name=password]').fill('any');
      await page.getByRole('button', { name: 'Sign-in' }).click();
      await page.getByRole('button', { name: 'Continue' }).click();
      await page.waitForURL(/confirm=passkey/);
    };
    await page.goto(`${origin}/me`);
    const csrf = await page.locator('main [name=csrf]').first().inputValue();
    await page.getByRole('button', { name: 'Make a passkey' }).click();
    await page.waitForURL(/passkeys\/new/);
    await page.getByText('My passkey').waitFor();
    await looks(page, 'passkey-new');
    await page.getByRole('button', { name: 'Sign in again to add it' }).click();
    await signIn();
    // An agent of the same user has every cookie and every page, and a key of its own.
    const question = await (await sent(page, '/me/passkeys/question', { csrf })).json();
    const { x, y } = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' });
    const part = (label, value) => Buffer.concat([Buffer.from([label, 0x58, 32]), Buffer.from(value, 'base64url')]);
    const cose = Buffer.concat([Buffer.from([0xa5, 1, 2, 3, 0x26, 0x20, 1]), part(0x21, x), part(0x22, y)]);
    const id = randomBytes(16);
    const data = Buffer.concat([createHash('sha256').update(question.rp_id).digest(), Buffer.from([0x45, 0, 0, 0, 0]), Buffer.alloc(16), Buffer.from([0, id.length]), id, cose]);
    const text = (words) => Buffer.concat([Buffer.from([0x60 + words.length]), Buffer.from(words)]);
    const attestation = Buffer.concat([Buffer.from([0xa3]), text('fmt'), text('none'), text('attStmt'), Buffer.from([0xa0]), text('authData'), Buffer.from([0x58, data.length]), data]);
    const client = JSON.stringify({ type: 'webauthn.create', challenge: question.challenge, origin });
    const made = JSON.stringify({ id: id.toString('base64url'), client_data: Buffer.from(client).toString('base64url'), attestation: attestation.toString('base64url') });
    const laidBy = await sent(page, '/me/passkeys/made', { csrf, made, label: 'My passkey' });
    const theirs = new URL(laidBy.headers().location ?? '', origin).searchParams.get('key');
    check(laidBy.status() === 303 && theirs, `a key is laid by: ${laidBy.status()} ${await laidBy.text()}`);
    for (const fields of [{ key: theirs, confirm: 'yes' }, { made, confirm: 'yes' }]) {
      const answer = await sent(page, '/me/passkeys', { csrf, ...fields });
      check(answer.status() === 422, `somebody else's key: ${answer.status()}`);
    }
    // Its honest neighbour.
    await page.goto(page.url().replace('&confirm=passkey', ''));
    await page.getByRole('button', { name: 'Sign in again to add it' }).click();
    await signIn();
    await page.getByRole('button', { name: 'Add this passkey' }).click();
    await page.waitForURL(`${origin}/me`);
    check(await page.getByRole('button', { name: 'Remove My passkey' }).count() === 1, 'it is not the one that was added');
    await page.getByRole('button', { name: 'Remove My passkey' }).click();
    await page.getByText('You have none').waitFor();
  },

  async 'a sign-in at an issuer is of the browser that began it, once, and leads nowhere else'() {
    const [evil, victim] = [await somebody(), await somebody()];
    const away = async ({ page }, login) => {
      await page.getByRole('button', { name: 'Continue with company' }).click();
      await page.waitForURL(/interaction/, { waitUntil: 'commit' });
      await page.locator('[name=login]').fill(login);
      await page.locator('[name=password]').fill('any');
      await page.getByRole('button', { name: 'Sign-in' }).click();
      await page.getByRole('button', { name: 'Continue' }).waitFor();
    };
    const cookie = async ({ context }, word) => (await context.cookies()).find(({ name }) => name === `durward${word}-${new URL(origin).port}`);
    const isOut = async ({ page }) => {
      await page.goto(`${origin}/me`);
      return new URL(page.url()).pathname === '/signin';
    };
    // Somebody keeps the issuer's answer to their own sign-in from the console.
    await evil.page.goto(`${origin}/signin?next=//evil.example.com/`);
    check(await evil.page.locator('[name=next]').first().inputValue() === '/', 'it would lead elsewhere');
    await away(evil, 'mallory');
    const kept = await cookie(evil, '-away');
    check(kept.httpOnly && kept.sameSite === 'Lax', JSON.stringify(kept));
    await evil.context.clearCookies({ name: kept.name });
    await evil.page.getByRole('button', { name: 'Continue' }).click();
    await evil.page.getByText('No sign-in is under way').waitFor();
    const answer = evil.page.url();
    // In the browser of somebody else, who has begun a sign-in or has not, it is nothing.
    check((await victim.page.goto(answer)).status() === 400 && await isOut(victim), 'somebody was signed in who did not ask');
    await victim.page.goto(`${origin}/signin`);
    await away(victim, 'alice');
    check((await victim.page.goto(answer)).status() === 422, 'an answer to another question is taken');
    await victim.page.getByText('began in another browser').waitFor();
    check(await isOut(victim), 'somebody else is there');
    // With another state, of another issuer, by nobody.
    await evil.context.addCookies([kept]);
    for (const [what, change] of [
      ['no state', (said) => said.delete('state')],
      ['another state', (said) => said.set('state', 'A'.repeat(43))],
      ['another issuer', (said) => said.set('iss', 'https://evil.example.com')],
      ['no issuer', (said) => said.delete('iss')],
      ['another code', (said) => said.set('code', 'x')],
      ['an error', (said) => { said.delete('code'); said.set('error', 'access_denied'); said.set('error_description', '\u202e<b>fine</b>'); }],
    ]) {
      const to = new URL(answer);
      change(to.searchParams);
      const told = await evil.page.goto(to.href);
      check(told.status() >= 400, `${what}: ${told.status()}`);
      const found = await unseen(evil.page);
      check(!found.length && await evil.page.locator('main b').count() === 0, `${what}: ${found.join('\n')}`);
      check(await isOut(evil), `${what}: somebody is in`);
      await evil.context.addCookies([kept]);
    }
    // As it was asked for it is good, and once.
    check((await evil.page.goto(answer)).status() === 200 && !await isOut(evil), 'the honest answer');
    const visit = await cookie(evil, '');
    await evil.context.addCookies([kept]);
    check((await evil.page.goto(answer)).status() >= 400, 'it is good twice');
    // Whoever is given somebody else's visit before they sign in gets one of their own, and that one ends.
    await victim.context.addCookies([visit]);
    await victim.page.goto(`${origin}/me`);
    await victim.page.getByRole('button', { name: 'Sign out' }).waitFor();
    await victim.context.clearCookies({ name: visit.name });
    await victim.page.goto(`${origin}/signin?next=${encodeURIComponent('/me')}`);
    // The issuer knows her from before.
    await victim.page.getByRole('button', { name: 'Continue with company' }).click();
    await victim.page.waitForURL(/interaction/, { waitUntil: 'commit' });
    await victim.context.addCookies([visit]);
    await victim.page.getByRole('button', { name: 'Continue' }).click();
    await victim.page.waitForURL(`${origin}/me`);
    check((await cookie(victim, '')).value !== visit.value, 'the visit is what somebody else chose');
    check((await victim.page.locator('main').textContent()).includes('alice'), 'it is not alice');
    check(await isOut(evil), 'the other visit goes on');
    await evil.context.close();
    await victim.context.close();
  },

  async 'cookies alone approve nothing, and neither does a proof for something else'() {
    const held = await asked('DELETE FROM orders WHERE id = 8');
    const other = await asked('DELETE FROM orders WHERE id = 9');
    const { page } = ada;
    await page.goto(`${origin}/requests/${held.id}`);
    const [csrf, digest] = [await hidden(page, 'csrf'), await hidden(page, 'digest')];
    const path = `/requests/${held.id}/answer`;
    const approve = { csrf, digest, whole: 'yes', answer: 'approve' };
    // An agent of the same user has every cookie and every page.
    check((await sent(page, path, approve)).status() === 422, 'a cookie approved');
    check((await sent(page, path, { ...approve, confirm: 'yes' })).status() === 422, 'a confirmation of nothing approved');
    // A real proof, for another request, for another digest, twice, without verification.
    const proof = (of, fields) => signed(page, `/requests/${of}/question`, { csrf, digest, ...fields });
    const refused = async (what, fields, words) => {
      const answer = await sent(page, path, { ...approve, ...fields });
      const body = await answer.text();
      check(answer.status() === 422 && body.includes(words), `${what}: ${answer.status()} ${body}`);
    };
    await refused('for another request', { signed: await proof(other.id, {}) }, 'signed for something else');
    await refused('for another digest', { signed: await proof(held.id, { digest: 'f'.repeat(64) }) }, 'signed for something else');
    const elsewhere = { digest: 'f'.repeat(64) };
    await refused('for a digest that it is not', { ...elsewhere, signed: await proof(held.id, elsewhere) }, 'exactly this request');
    const good = await proof(held.id, {});
    const forged = JSON.parse(good);
    forged.signature = `${forged.signature.slice(0, -4)}AAAA`;
    await refused('forged', { signed: JSON.stringify(forged) }, 'signature is wrong');
    await refused('a question that was answered', { signed: good }, 'answered already');
    await ada.verified(false);
    await refused('nobody verified', { signed: await proof(held.id, { uv: 'discouraged' }) }, 'did not ask who it is');
    await ada.verified(true);
    // The same proof by somebody else's cookies.
    const stolen = await proof(held.id, {});
    await dora.page.goto(`${origin}/requests/${held.id}`);
    const theirs = { ...approve, csrf: await hidden(dora.page, 'csrf'), signed: stolen };
    check((await sent(dora.page, path, theirs)).status() === 422, "another's proof");
    check(!/DELETE 1/.test(held.said()), held.said());
    // Its honest neighbour.
    check((await sent(page, path, { ...approve, signed: await proof(held.id, {}) })).status() === 303, 'a real proof');
    const said = await held.ended;
    check(/DELETE 1/.test(said), said);
    await refused('used again', { signed: await proof(held.id, {}) }, 'already');
    other.end();
  },

  async 'other sites, forged forms, frames and other names do nothing'() {
    const held = await asked('DELETE FROM orders WHERE id = 10');
    const { page } = ada;
    await page.goto(`${origin}/requests/${held.id}`);
    const [csrf, digest] = [await hidden(page, 'csrf'), await hidden(page, 'digest')];
    const path = `/requests/${held.id}/answer`;
    const deny = { csrf, digest, answer: 'deny' };
    for (const [what, fields, headers, status] of [
      ['another origin', deny, { origin: 'http://evil.example.com' }, 403],
      ['no origin', deny, { origin: '' }, 403],
      ['a sandboxed page', deny, { origin: 'null' }, 403],
      ['another port', deny, { origin: 'http://localhost:1' }, 403],
      ['another site', deny, { 'sec-fetch-site': 'cross-site' }, 403],
      ['another host', deny, { host: 'evil.example.com' }, 421],
      ['no token', { digest, answer: 'deny' }, {}, 403],
      ['a wrong token', { ...deny, csrf: 'x' }, {}, 403],
      ['the token of another visit', { ...deny, csrf: csrf.replace(/^./, (c) => (c === '0' ? '1' : '0')) }, {}, 403],
    ]) {
      const answer = await sent(page, path, fields, headers);
      check(answer.status() === status, `${what}: ${answer.status()}`);
    }
    check((await page.request.get(`${origin}${path}`, { failOnStatusCode: false })).status() === 405, 'a GET decides');
    // A real page elsewhere: it sends a form, and frames ours.
    const evil = createServer((_, response) => {
      response.setHeader('content-type', 'text/html');
      response.end(`<iframe src="${origin}/requests/${held.id}"></iframe>
        <form method="post" action="${origin}${path}"><input name="csrf" value="${csrf}"><input name="digest" value="${digest}">
        <input name="answer" value="deny"><button>Win a prize</button></form>`);
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => evil.on('listening', resolve));
    const tab = await ada.context.newPage();
    await tab.goto(`http://127.0.0.1:${evil.address().port}/`);
    const framed = tab.frames().find((frame) => frame !== tab.mainFrame());
    check(!(await framed.content()).includes('orders'), 'it is framed');
    await tab.getByRole('button', { name: 'Win a prize' }).click();
    await tab.getByText('This did not come from here').waitFor();
    await looks(tab, 'problem');
    await tab.close();
    evil.close();
    await page.reload();
    await page.locator('#standing .chip', { hasText: 'waits' }).waitFor();
    check((await sent(page, path, deny)).status() === 303, 'the honest form');
    check(/denied/.test(await held.ended), 'it was denied');
  },

  async 'a statement cannot dress up'() {
    const name = '"\u202e<b>Status: approved</b>\u200b pаid"';
    const text = `UPDATE orders AS ${name} SET status = '<script>window.evil = 1</script>' WHERE ${name}.id = 11`;
    const held = await asked(text);
    const { page } = ada;
    await page.goto(`${origin}/requests/${held.id}`);
    for (const words of ['U+202E', 'U+200B', 'а (U+0430)', '<script>window.evil = 1</script>', '<b>Status: approved</b>']) {
      check((await page.locator('main').textContent()).includes(words), `${words} is not seen`);
    }
    check(await page.evaluate(() => window.evil) === undefined, 'it ran');
    await page.getByText('characters that cannot be seen').waitFor();
    await looks(page, 'disguised');
    check(!ada.refused.length, ada.refused.join('\n'));
    held.end();
  },

  async 'an auditor sees and answers nothing, and who is not asked does not see'() {
    const held = await asked('DELETE FROM orders WHERE id = 12');
    await join(eve, process.env.CONSOLE_AUDITOR);
    await eve.page.goto(`${origin}/requests/${held.id}`);
    await eve.page.getByText('not yours to answer').waitFor();
    const csrf = await eve.page.locator('[name=csrf]').first().inputValue();
    const deny = { csrf, digest: 'x', answer: 'deny' };
    check((await sent(eve.page, `/requests/${held.id}/answer`, deny)).status() === 422, 'an auditor denied');
    const mallory = await somebody();
    await mallory.page.goto(`${origin}/requests/${held.id}`);
    await mallory.page.getByRole('button', { name: 'Continue with company' }).click();
    await mallory.page.waitForURL(/interaction/, { waitUntil: 'commit' });
    await mallory.page.locator('[name=login]').fill('mallory');
    await mallory.page.locator('[name=password]').fill('any');
    await mallory.page.getByRole('button', { name: 'Sign-in' }).click();
    await mallory.page.getByRole('button', { name: 'Continue' }).click();
    await mallory.page.getByText('There is no such thing').waitFor();
    await mallory.context.close();
    held.end();
  },

  async 'a burst is one card, and a grant lets what is alike through until it is revoked'() {
    const { page } = ada;
    await page.goto(origin);
    const update = (id) => `UPDATE orders SET total = ${id * 100} WHERE id = ${id}`;
    const burst = await Promise.all([15, 16, 17].map((id) => asked(update(id))));
    const card = page.locator('.card', { hasText: '3 alike' });
    await card.waitFor();
    await looks(page, 'burst');
    await card.getByRole('link').click();
    await page.getByRole('heading', { name: 'asks 3 times' }).waitFor();
    await looks(page, 'alike');
    const set = { csrf: await hidden(page, 'csrf'), set: await hidden(page, 'set'), answer: 'approve' };
    const all = await page.locator('form.answer').getAttribute('action');
    check((await sent(page, all, set)).status() === 422, 'a cookie approved several');
    // One of them alone: the others go on waiting.
    await page.goto(`${origin}/requests/${burst[1].id}`);
    await page.getByRole('link', { name: 'See the 3 that wait and are alike' }).waitFor();
    await page.getByRole('button', { name: 'Approve' }).click();
    check(/UPDATE 1/.test(await burst[1].ended), burst[1].said());
    await page.locator('#standing .chip', { hasText: 'done' }).waitFor();
    for (const one of [burst[0], burst[2]]) check(!/UPDATE 1/.test(one.said()), 'another was approved with it');
    // One proof for all that are shown, and for exactly those: with one of them left out, or its digest another, it is of nothing.
    await page.goto(`${origin}/requests/${burst[0].id}/alike`);
    await page.getByRole('heading', { name: 'asks 2 times' }).waitFor();
    const shown = await hidden(page, 'set');
    const csrf = await hidden(page, 'csrf');
    const proof = () => signed(page, `/requests/${burst[0].id}/alike/question`, { csrf, set: shown });
    for (const other of [shown.split(',')[0], shown.replace(/:./, (c) => (c === ':0' ? ':1' : ':0')), `${shown},${shown.split(',')[0]}`]) {
      const answer = await sent(page, `/requests/${burst[0].id}/alike/answer`, { csrf, set: other, answer: 'approve', signed: await proof() });
      check(answer.status() === 422, `a proof for others: ${answer.status()} ${other}`);
    }
    for (const one of [burst[0], burst[2]]) check(!/UPDATE 1/.test(one.said()), 'a proof for others approved it');
    await page.getByRole('button', { name: 'Approve all 2' }).click();
    await page.getByRole('heading', { name: '2 answered' }).waitFor();
    for (const one of burst) check(/UPDATE 1/.test(await one.ended), one.said());

    const held = await asked(update(20));
    await page.goto(`${origin}/requests/${held.id}`);
    await page.getByText('Ask less').click();
    await page.getByLabel('Times at most').fill('5');
    await looks(page, 'grant');
    const bare = { csrf: await hidden(page, 'csrf'), digest: await hidden(page, 'digest'), seconds: '7200', most: '1', uses: '5' };
    const grant = await sent(page, `/requests/${held.id}/grant`, bare);
    check(grant.status() === 422, `a cookie gave a grant: ${grant.status()}`);
    check(!/UPDATE 1/.test(held.said()), held.said());
    await page.getByRole('button', { name: 'Give the grant' }).click();
    await page.getByRole('heading', { name: 'Standing grant', exact: true }).waitFor();
    check(/UPDATE 1/.test(await held.ended), held.said());
    const next = await psql(update(19)).ended;
    check(/UPDATE 1/.test(next), next);
    await page.reload();
    await page.getByText('used 2 of 5 times').waitFor();
    await looks(page, 'granted');
    await page.getByRole('button', { name: 'Revoke it' }).click();
    await page.getByText('revoked by user:ada').waitFor();
    const asks = await asked(update(20));
    asks.end();
    await page.goto(`${origin}/grants`);
    await page.getByText('none is in force').waitFor();
    await looks(page, 'grants');
    check(!ada.refused.length, ada.refused.join('\n'));
  },

  async 'a freeze stops every change at once, and a passkey thaws it'() {
    const { page } = ada;
    await page.goto(`${origin}/freezes`);
    await page.getByRole('heading', { name: 'Nothing is frozen' }).waitFor();
    await looks(page, 'freezes');
    await page.getByLabel('What').selectOption({ label: 'target sample' });
    await page.getByLabel(/Why\?/).fill('we look at <it>');
    await page.getByRole('button', { name: 'Freeze', exact: true }).click();
    await page.getByText('“we look at <it>”').waitFor();
    await looks(page, 'frozen');
    const refused = await psql("UPDATE orders SET status = 'x' WHERE id = 14").ended;
    check(/frozen: we look at <it>/.test(refused), refused);
    check((await psql('SELECT count(*) FROM orders').ended).trim() !== '', 'reads go on');
    // Whoever merely has the cookie thaws nothing.
    const [action, csrf] = [await page.locator('form.inline').getAttribute('action'), await page.locator('[name=csrf]').first().inputValue()];
    const bare = await sent(page, action, { csrf });
    check(bare.status() === 422 && (await bare.text()).includes('passkey'), `a cookie thawed: ${bare.status()}`);
    check((await sent(page, action, { csrf: 'x' })).status() === 403, 'a forged form');
    await page.getByRole('button', { name: 'Thaw with your passkey' }).click();
    await page.getByRole('heading', { name: 'Nothing is frozen' }).waitFor();
  },

  async 'a live session is watched, and ended at once'() {
    const { page } = ada;
    await page.goto(`${origin}/sessions`);
    const child = spawn('psql', ['-XAt'], { stdio: ['pipe', 'pipe', 'pipe'] });
    let said = '';
    child.stdout.on('data', (text) => { said += text; });
    child.stderr.on('data', (text) => { said += text; });
    child.stdin.write("SELECT id, status AS \"<b>state</b>\" FROM orders ORDER BY id LIMIT 3;\n");
    const card = page.locator('#live .card').first();
    await card.waitFor();
    await page.getByText('one is live').waitFor();
    await looks(page, 'sessions');
    await card.getByRole('link').click();
    await page.getByText('ORDER BY').first().waitFor();
    await page.getByRole('columnheader', { name: '<b>state</b>' }).waitFor();
    child.stdin.write("SELECT 'seen while it runs';\n");
    await page.getByRole('cell', { name: 'seen while it runs' }).waitFor();
    await looks(page, 'tail');
    await page.getByText('End it …').click();
    const ended = new Promise((resolve) => child.on('close', resolve));
    const clicked = Date.now();
    await page.getByRole('button', { name: 'End this session now' }).click();
    await page.waitForURL(`${origin}/sessions`);
    child.stdin.write('SELECT 1;\n\\q\n');
    await ended;
    check(/ended by user:ada|terminat/.test(said), said);
    check(Date.now() - clicked < 10000, 'it took long');
    await page.getByText('nobody is connected', { exact: true }).waitFor();
    const csrf = await page.locator('[name=csrf]').first().inputValue();
    await join(eve, process.env.CONSOLE_AUDITOR);
    await eve.page.goto(`${origin}/sessions`);
    const theirs = await eve.page.locator('[name=csrf]').first().inputValue();
    check((await sent(eve.page, '/sessions/s1/end', { csrf: theirs })).status() === 403, 'an auditor ends sessions');
    check((await sent(page, '/sessions/s1/end', { csrf })).status() === 404, 'there is none');
  },

  async 'a session is played again as it was'() {
    const { page } = ada;
    const statements = Array.from({ length: 60 }, (_, n) => (n === 40 ? 'DROP TABLE orders' : `SELECT ${n} AS n, 'row ${n}' AS words`));
    const child = spawn('psql', ['-XAt'], { stdio: ['pipe', 'ignore', 'ignore'] });
    child.stdin.end(`${statements.join(';\n')};\n`);
    await new Promise((resolve) => child.on('close', resolve));
    // psql is gone a little before its session is.
    const newest = page.locator('section[aria-labelledby=past] .card').first();
    await page.goto(`${origin}/sessions`);
    for (let looked = 0; looked < 40 && !/(59|60) statements/.test(await newest.textContent()); looked += 1) {
      await page.waitForTimeout(250);
      await page.reload();
    }
    await newest.getByRole('link').click();
    await page.getByText('Step 1 of').waitFor();
    await page.getByRole('cell', { name: 'row 0' }).waitFor();
    await looks(page, 'replay');
    await page.getByLabel('Next refusal or hold').click();
    await page.getByText('DROP').first().waitFor();
    await page.getByText(/Step 41 of/).waitFor();
    check((await page.locator('[data-stage] .problem').textContent()).length > 10, 'it says why');
    await page.getByLabel('Step on').click();
    await page.getByRole('cell', { name: 'row 41' }).waitFor();
    await page.keyboard.press('ArrowLeft');
    await page.getByText(/Step 41 of/).waitFor();
    await looks(page, 'replay-refusal');
    await page.getByLabel('Speed').selectOption('32');
    await page.getByRole('button', { name: 'Play' }).click();
    await page.getByText(/Step 60 of/).waitFor();
    await page.getByRole('button', { name: 'Play' }).waitFor();
    await page.goto(`${page.url().split('?')[0]}?step=7`);
    await page.getByRole('cell', { name: 'row 7' }).waitFor();
    await page.getByLabel('In statements and results').fill('row 33');
    await page.getByRole('button', { name: 'Search' }).click();
    await page.getByText('One step was found').waitFor();
    await looks(page, 'replay-search');
    await page.getByRole('link', { name: /SELECT/ }).click();
    await page.getByText(/Step 34 of/).waitFor();
    check(!ada.refused.length, ada.refused.join('\n'));
  },

  async 'a policy with an error changes nothing, and one without is in force'() {
    const { page } = ada;
    await page.goto(`${origin}/policies`);
    await looks(page, 'policies');
    await page.getByRole('link', { name: 'policies/test.cedar' }).click();
    const text = page.getByLabel('Policies, in Cedar');
    const before = await text.inputValue();
    await text.fill(`${before}\n@id("no-drops") forbid (principal, action == Action::"dorp", resource);\n`);
    await page.getByRole('button', { name: 'Save' }).click();
    await page.locator('form.editor [role=alert]').filter({ hasText: 'dorp' }).waitFor();
    await page.getByRole('button', { name: 'Check' }).click();
    await page.getByText('Not valid; nothing was changed').waitFor();
    check((await page.locator('#result').textContent()).includes('test'), 'it says where');
    check((await text.inputValue()).includes('dorp'), 'what was typed is lost');
    await looks(page, 'policy-wrong');
    await text.fill(`${before}\n@id("no-totals") @reason("totals are final") forbid (principal, action == Action::"insert", resource);\n`);
    await page.getByRole('button', { name: 'Check' }).click();
    await page.getByText('Valid.').waitFor();
    await page.getByText('Its tests', { exact: true }).click();
    const tests = page.getByLabel('Tests, in TOML');
    const test = (name, expect) => `[[case]]\nname = "${name}"\nprincipal = "agent:x"\ntarget = "sample"\neffects = ["insert=public.orders"]\nexpect = "${expect}"\n`;
    await tests.fill(`${test('totals are final', 'deny')}[[case]]\nname = "orders are read"\nprincipal = "agent:x"\ntarget = "sample"\nstatement = "SELECT * FROM orders"\nexpect = "hold"\n`);
    // What fails is said before it is saved, and again to whoever presses anyway.
    await page.getByRole('button', { name: 'Save' }).click();
    await page.locator('form.editor [role=alert]').filter({ hasText: '1 of 2 tests would fail' }).waitFor();
    await page.getByRole('button', { name: 'Check' }).click();
    await page.getByText('1 of 2 tests fail').waitFor();
    await page.getByText('expected hold, and it is allow').waitFor();
    await looks(page, 'policy-tests-fail');
    await page.getByLabel('I have seen which tests fail').check();
    await page.getByRole('button', { name: 'Save' }).click();
    await page.waitForURL(`${origin}/policies/history`);
    await page.goto(`${origin}/policies`);
    await page.getByRole('button', { name: 'Run the tests' }).click();
    await page.getByText('1 of 2 tests fail').waitFor();
    await looks(page, 'policies-tests');
    await page.getByRole('link', { name: 'policies/test.cedar' }).click();
    await tests.fill(test('totals are final', 'deny'));
    await page.getByRole('button', { name: 'Check' }).click();
    await page.getByText('The one test passes').waitFor();
    await looks(page, 'policy-checked');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.waitForURL(`${origin}/policies/history`);
    await looks(page, 'policy-history');
    await page.locator('.card a').nth(1).click();
    await page.locator('.diff .new', { hasText: 'no-totals' }).first().waitFor();
    await page.locator('.diff .new', { hasText: 'totals are final' }).first().waitFor();
    await looks(page, 'policy-diff');
    const refused = await psql('INSERT INTO orders VALUES (77)').ended;
    check(/totals are final/.test(refused), refused);
    // Whoever merely has the cookie changes nothing.
    await page.goto(`${origin}/policies/files/policies/test.cedar`);
    const [csrf, seen] = [await page.locator('form.editor [name=csrf]').inputValue(), await page.locator('form.editor [name=seen]').inputValue()];
    const bare = await sent(page, '/policies/save', { csrf, seen, name: 'policies/test.cedar', text: 'permit (principal, action, resource);' });
    check(bare.status() === 422 && (await bare.text()).includes('passkey'), `a cookie changed policies: ${bare.status()}`);
    await join(eve, process.env.CONSOLE_AUDITOR);
    await eve.page.goto(`${origin}/policies/files/policies/test.cedar`);
    check(await eve.page.getByRole('button', { name: 'Save' }).count() === 0, 'an auditor could save');
    const theirs = await eve.page.locator('[name=csrf]').first().inputValue();
    check((await sent(eve.page, '/policies/check', { csrf: theirs, name: 'x', text: '' })).status() === 403, 'an auditor may');
    check((await psql('INSERT INTO orders VALUES (77)').ended).includes('totals are final'), 'it was changed');
  },

  async 'why something was refused is told, from the journal on'() {
    const { page } = ada;
    await page.goto(`${origin}/journal?verdict=refused%2Cunreadable`);
    await looks(page, 'journal');
    await page.getByRole('link', { name: 'Why was this refused?' }).first().click();
    await page.getByRole('button', { name: 'Ask' }).click();
    await page.locator('#result').getByText('no-totals').first().waitFor();
    await looks(page, 'why');
    await page.goto(`${origin}/journal`);
    await page.getByLabel('Text').fill('POLICIES/test.cedar');
    await page.getByRole('button', { name: 'Look', exact: true }).click();
    await page.getByText('apply: ').first().waitFor();
    await page.getByRole('button', { name: 'Verify it' }).click();
    await page.getByText('as it was written').waitFor();
    await looks(page, 'verified');
  },

  async 'a target is added once it was tested, and its columns are masked from the first moment'() {
    const { page } = ada;
    await page.goto(`${origin}/targets/new`);
    await looks(page, 'target-new');
    const fill = async (port) => {
      for (const [label, value] of [[/Its name/, 'second'], [/^Host/, '127.0.0.1'], ['Port', port], ['Database', 'sample'],
        [/^Role/, process.env.PGUSER], ['Its password', process.env.CONSOLE_TARGET_PASSWORD], [/^Tags/, 'production, crm']]) {
        await page.getByLabel(label, { exact: typeof label === 'string' }).fill(value);
      }
      await page.getByLabel(/TLS/).selectOption('prefer');
    };
    await fill('1');
    await page.getByRole('button', { name: 'Add it' }).click();
    await page.getByText('It was not added').waitFor();
    check(await page.getByLabel('Its password').inputValue() === '', 'the password came back');
    await looks(page, 'target-unreachable');
    await fill(process.env.CONSOLE_TARGET_PORT);
    await page.getByRole('button', { name: 'Test' }).click();
    await page.getByText('the gateway can log in to it', { exact: false }).waitFor();
    await looks(page, 'target-tested');
    await fill(process.env.CONSOLE_TARGET_PORT);
    await page.getByRole('button', { name: 'Add it' }).click();
    await page.waitForURL(`${origin}/targets/second`);
    await page.getByText('Claude Code').click();
    await looks(page, 'target');
    await page.getByRole('button', { name: 'Look at it now' }).click();
    await page.getByText('What was found').waitFor();
    await page.goto(`${origin}/targets`);
    await page.getByRole('link', { name: /second/ }).waitFor();
    await looks(page, 'targets');
    const csrf = await page.locator('[name=csrf]').first().inputValue();
    const bare = await sent(page, '/targets/new', { csrf, name: 'third', host: 'localhost', user: 'u', database: 'd', sslmode: 'prefer' });
    check(bare.status() === 422 && (await bare.text()).includes('passkey'), `a cookie added a target: ${bare.status()}`);
  },

  async 'somebody is invited, and somebody is shut out and let in again'() {
    const { page } = ada;
    await page.goto(`${origin}/people`);
    await page.getByRole('heading', { name: 'Who came lately' }).waitFor();
    await looks(page, 'people');
    await page.getByLabel(/Invite somebody/).fill('grace');
    await page.getByLabel(/Groups that they/).fill('dba');
    await page.getByRole('button', { name: 'Make an invitation' }).click();
    const link = await page.locator('#link').textContent();
    check(link.startsWith(`${origin}/join#`), link);
    await page.goto(`${origin}/people`);
    await page.getByLabel('Name', { exact: true }).fill('agent:tester');
    await page.locator('#why').fill('it went astray');
    await page.getByRole('button', { name: 'Shut out' }).click();
    await page.getByText('“it went astray”').waitFor();
    const refused = await psql('SELECT 1').ended;
    check(/it went astray/.test(refused), refused);
    await looks(page, 'shut-out');
    await page.getByRole('button', { name: /in again/ }).click();
    await page.getByText('“it went astray”').waitFor({ state: 'detached' });
    check((await psql('SELECT 1').ended).trim() === '1', 'it is in again');
    await page.goto(`${origin}/health`);
    await page.getByText('Journal can be written').waitFor();
    await page.getByText('Store can be written').waitFor();
    await looks(page, 'health');
    await page.setViewportSize({ width: 390, height: 844 });
    await page.goto(origin);
    await page.getByRole('link', { name: 'More' }).click();
    await page.getByRole('heading', { name: 'Everything here' }).waitFor();
    await looks(page, 'more');
    await page.setViewportSize({ width: 1440, height: 900 });
  },

  async 'what others name and write is seen as it is, wherever it stands'() {
    await join(ada, process.env.CONSOLE_LINK);
    const { page } = ada;
    const evil = "\u202e<img src=x onerror='window.evil=1'>\u200b";
    const other = { ...process.env, PGPASSWORD: process.env.CONSOLE_OTHER, PGAPPNAME: `app${evil}` };
    const made = await server(`CREATE TABLE "t${evil}" (id int PRIMARY KEY, "c${evil}" text, "Größe" text);
      INSERT INTO "t${evil}" VALUES (1, 'v${evil.replaceAll("'", "''")}', 'naïve 中文 ё')`);
    check(/INSERT/.test(made), made);
    const read = await psql(`SELECT * FROM "t${evil}"`, other).ended;
    check(/中文/.test(read), read);
    // A name, a value, a comment, a reason, why somebody is shut out.
    const held = await asked(`UPDATE "t${evil}" SET "c${evil}" = 'w${evil.replaceAll("'", "''")}' WHERE "Größe" = 'naïve 中文 ё'`, other);
    await page.goto(`${origin}/requests/${held.id}`);
    await page.getByText('Add a comment').click();
    await page.getByLabel(/A comment/).fill(`no ${evil}`);
    await page.getByRole('button', { name: 'Deny' }).click();
    check((await held.ended).includes('no '), held.said());
    await page.locator('#standing .chip', { hasText: 'denied' }).waitFor();
    await page.goto(`${origin}/freezes`);
    await page.getByLabel('What').selectOption({ label: 'target sample' });
    await page.getByLabel(/Why\?/).fill(`cold ${evil}`);
    await page.getByRole('button', { name: 'Freeze', exact: true }).click();
    await page.getByText('“cold').waitFor();
    await page.goto(`${origin}/people`);
    await page.getByLabel('Name', { exact: true }).fill(`agent:gone${evil.replaceAll(' ', '_')}`);
    await page.locator('#why').fill(`away ${evil}`);
    await page.getByRole('button', { name: 'Shut out' }).click();
    await page.getByText('“away').waitFor();
    const hidden = new Map();
    const pages = await everyPage(ada, async (path) => {
      const found = await unseen(page);
      check(!found.length, `${path}: ${found.join('\n')}`);
      check(await page.evaluate(() => window.evil) === undefined, `${path}: it ran`);
      // A page that is narrowed to something else does not stand for the whole.
      const [whole] = path.split('?');
      hidden.set(whole, `${hidden.get(whole) ?? ''}${await page.locator('main').textContent()}`);
    });
    check(pages > 25, `there are ${pages} pages`);
    for (const path of [`/requests/${held.id}`, '/freezes', '/people', '/sessions', '/journal']) {
      check(hidden.get(path)?.includes('U+202E'), `${path} does not tell of it: ${hidden.get(path)}`);
      // Who approves is told of every letter that is not ASCII.
      const honest = path.startsWith('/requests/') || !/U\+0(0F6|0F1|451)|U\+4E2D/.test(hidden.get(path));
      check(honest, `${path} takes letters for what they are not`);
    }
    check(hidden.get(`/requests/${held.id}`).includes('naïve 中文 ё'), 'an honest value is not as it was');
    await page.goto(`${origin}/freezes`);
    await page.getByRole('button', { name: 'Thaw with your passkey' }).click();
    await page.getByRole('heading', { name: 'Nothing is frozen' }).waitFor();
  },

  async 'what fairness moves to another page stays where somebody looks at it'() {
    await join(ada, process.env.CONSOLE_LINK);
    const { page } = ada;
    const access = async (rows, token = process.env.PGPASSWORD) => {
      const answer = await fetch(`${process.env.CONSOLE_AGENTS}/access`, {
        method: 'POST', headers: { authorization: `Bearer ${token}` },
        body: new URLSearchParams({ target: 'sample', reason: 'to tidy up', rows: String(rows), seconds: '600', access: 'update public.orders' }),
      });
      const said = await answer.json();
      check(answer.ok && said.status === 'pending', JSON.stringify(said));
      return said.id;
    };
    const ids = [];
    for (let rows = 1; rows <= 50; rows += 1) ids.push(await access(rows));
    await page.goto(origin);
    const cards = page.locator('#waiting > .card');
    check(await cards.count() === 50, `there are ${await cards.count()} cards`);
    const last = page.locator(`#r-${ids.at(-1)}`);
    const place = await last.boundingBox();
    const theirs = await access(1, process.env.CONSOLE_OTHER);
    await page.locator(`#r-${theirs}`).waitFor();
    await page.getByText('Page 1 of 2').waitFor();
    check(await page.locator('.card.gone').count() === 0, 'something looks gone that waits');
    check((await last.boundingBox()).y === place.y, 'it moved');
    // What is answered is gone, and the next one of the page behind is not taken for it.
    const csrf = await page.locator('[name=csrf]').first().inputValue();
    const deny = async (id) => {
      const body = await (await page.request.get(`${origin}/requests/${id}`)).text();
      const digest = body.match(/name="digest" value="([0-9a-f]+)"/)[1];
      check((await sent(page, `/requests/${id}/answer`, { csrf, digest, answer: 'deny' })).status() === 303, `${id} is not denied`);
    };
    await deny(ids[0]);
    await page.locator(`#r-${ids[0]}.gone`).waitFor();
    check(await page.locator('.card.gone').count() === 1, 'more than that looks gone');
    await page.reload();
    check(await cards.count() === 50 && await page.locator(`#r-${theirs}`).count() === 1, 'the page is as it should be');
    for (const id of [...ids.slice(1), theirs]) await deny(id);
    await page.locator('#empty').getByText('Nothing waits for you').waitFor();
  },

  async 'two people change what is configured, and neither alone'() {
    const [ruth, olga] = [await somebody(), await somebody()];
    await join(ruth, process.env.CONSOLE_LINK);
    const { page } = ruth;
    await page.goto(`${origin}/policies/files/policies/test.cedar`);
    await page.getByText('It takes two').first().waitFor();
    const text = await page.locator('#text').inputValue();
    await page.locator('#text').fill(`${text}@id("none-gone") @reason("nothing is deleted here")\nforbid (principal, action == Action::"delete", resource);\n`);
    await page.getByRole('button', { name: 'Save' }).click();
    await page.waitForURL(/\/policies\/changes\/c[0-9a-f]+$/);
    const change = new URL(page.url()).pathname;
    await page.getByText('somebody else confirms it').waitFor();
    check(await page.getByRole('button', { name: 'Confirm' }).count() === 0, 'its author could confirm');
    await looks(page, 'change-own');
    // Nobody invites who would confirm: neither somebody new, nor as somebody who is there.
    await page.goto(`${origin}/people`);
    check(await page.getByLabel('administrator').count() === 0 && await page.getByLabel('auditor').count() === 1, 'what can be invited here');
    await looks(page, 'people-two');
    for (const name of ['rufus', 'olga']) {
      const fields = { csrf: await page.locator('[name=csrf]').first().inputValue(), name, groups: '', role: 'administrator' };
      const proof = await signed(page, '/people/invite/question', fields);
      const answer = await sent(page, '/people/invite', { ...fields, signed: proof });
      check(answer.status() === 422 && (await answer.text()).includes(`durward people invite ${name}`), `${name} is invited: ${answer.status()}`);
    }
    await page.getByLabel(/Invite somebody/).fill('rufus');
    await page.getByLabel('auditor').check();
    await page.getByRole('button', { name: 'Make an invitation' }).click();
    await page.locator('#link').waitFor();
    await join(olga, process.env.CONSOLE_DBA);
    await olga.page.goto(origin);
    await looks(olga.page, 'change-notice');
    await olga.page.getByRole('link', { name: /One change of what is configured waits/ }).click();
    await looks(olga.page, 'changes');
    await olga.page.locator('.card a').first().click();
    await olga.page.locator('.diff .new', { hasText: 'none-gone' }).first().waitFor();
    await looks(olga.page, 'change');
    const field = (name) => olga.page.locator(`form.answer [name=${name}]`).inputValue();
    const [csrf, digest, seen] = [await field('csrf'), await field('digest'), await field('seen')];
    const mine = await page.locator('[name=csrf]').first().inputValue();
    for (const [what, who, fields, headers, status] of [
      ['a cookie alone', olga, { csrf, digest, seen }, {}, 422],
      ['its author', ruth, { csrf: mine, digest, seen }, {}, 422],
      ['a form of nobody', olga, { digest, seen }, {}, 403],
      ['a form of somebody else', olga, { csrf: mine, digest, seen }, {}, 403],
      ['another site', olga, { csrf, digest, seen }, { origin: 'https://evil.example' }, 403],
    ]) {
      const answer = await sent(who.page, `${change}/confirm`, fields, headers);
      check(answer.status() === status, `${what}: ${answer.status()} ${await answer.text()}`);
    }
    // What is not in force refuses nothing: it is held, as before.
    (await asked('DELETE FROM orders WHERE id = -1')).end();
    await olga.page.getByRole('button', { name: 'Confirm' }).click();
    await olga.page.locator('.chip', { hasText: 'confirmed' }).first().waitFor();
    await looks(olga.page, 'change-confirmed');
    check((await psql('DELETE FROM orders WHERE id = -1').ended).includes('nothing is deleted here'), 'it is not in force');
  },

  async 'a phone is enough'() {
    const held = await asked("UPDATE orders SET status = 'paid' WHERE id = 13");
    const { page } = dora;
    await page.setViewportSize({ width: 390, height: 844 });
    await page.goto(origin);
    await page.locator(`#r-${held.id} a`).click();
    const button = page.getByRole('button', { name: 'Approve' });
    const box = await button.boundingBox();
    check(box.y + box.height <= 844 && box.height >= 44, 'it is not within reach of a thumb');
    await button.click();
    check(/UPDATE 1/.test(await held.ended), 'it ran');
  },
};

try {
  const only = new RegExp(process.env.CONSOLE_FLOWS ?? '');
  for (const [name, flow] of Object.entries(flows)) {
    // These are of a gateway where changes take two.
    if (!only.test(name) || Boolean(process.env.CONSOLE_TWO) !== /^two people/.test(name)) continue;
    const start = Date.now();
    await flow().catch(async (error) => {
      const seen = await Promise.all([ada, eve, dora, alice].map(async ({ page }) =>
        `${page.url()}: ${await page.locator('main').first().innerText({ timeout: 2000 }).catch(() => '')}`));
      throw new Error(`${name}: ${error.stack}\n${seen.join('\n')}`);
    });
    console.log(`ok ${name} (${Date.now() - start} ms)`);
  }
  console.log(`${Object.keys(flows).length} flows in ${Math.round((Date.now() - begun) / 1000)} s`);
} finally {
  await browser.close();
}
