// A client that speaks MCP (npm @modelcontextprotocol/client) signs somebody in at the console in a real browser, and everything by
// which somebody else might get its tokens. Each flow is a sentence; what fails ends the program. What is left for the test to look at
// is printed as JSON in the last line.
import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

import { looking } from './looks.mjs';

const { OAUTH_NPM, OAUTH_CONSOLE: origin, OAUTH_GATE: gate, OAUTH_SHOTS: shots } = process.env;
const [callbackPort, documentPort] = [Number(process.env.OAUTH_CALLBACK), Number(process.env.OAUTH_DOCUMENTS)];
const require = createRequire(`${OAUTH_NPM}/package.json`);
const { chromium } = require('playwright-core');
const module = `${OAUTH_NPM}/node_modules/@modelcontextprotocol/client/dist/index.mjs`;
const { Client, StreamableHTTPClientTransport, UnauthorizedError } = process.env.OAUTH_RUNNER
  || process.env.OAUTH_PROGRAMS ? {} : await import(pathToFileURL(module));

const check = (fine, words) => { if (!fine) throw new Error(words); };
const callback = `http://127.0.0.1:${callbackPort}/callback`;
const resource = `${gate}/mcp`;

// Documents of clients, at a name and an address of this machine.
const document = (id, name, more = {}) => ({
  client_id: id, client_name: name, redirect_uris: ['http://127.0.0.1/callback'], token_endpoint_auth_method: 'none',
  grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], ...more,
});
const at = (host, path) => `https://${host}:${documentPort}/${path}`;
const [app, other] = [at('127.0.0.1', 'app.json'), at('127.0.0.1', 'other.json')];
const documents = createTlsServer({
  cert: readFileSync(process.env.OAUTH_CERTIFICATE), key: readFileSync(process.env.OAUTH_KEY),
}, (request, response) => {
  const id = `https://${request.headers.host}${request.url}`;
  if (request.url === '/moved.json') return response.writeHead(302, { location: app }).end();
  if (request.url === '/large.json') return response.end(JSON.stringify(document(id, 'x'.repeat(9000))));
  if (request.url === '/wrong.json') return response.end(JSON.stringify(document(app, 'Not itself')));
  const name = request.url === '/other.json' ? 'Other Client' : 'Sample Client';
  return response.end(JSON.stringify(document(id, name)));
});
await new Promise((done) => { documents.listen(documentPort, done); });

// Where answers come.
let answers = [];
const answered = createServer((request, response) => {
  const url = new URL(request.url, callback);
  if (url.pathname !== '/favicon.ico') answers.push(url);
  keep('authorization code', url.searchParams.get('code'));
  response.end('You can close this page.');
});
await new Promise((done) => { answered.listen(callbackPort, '127.0.0.1', done); });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-background-networking', '--disable-component-update', '--no-first-run',
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1'],
});
const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
const page = await context.newPage();
page.setDefaultTimeout(30000);
page.on('pageerror', (error) => { throw error; });
const device = await context.newCDPSession(page);
await device.send('WebAuthn.enable');
await device.send('WebAuthn.addVirtualAuthenticator', {
  options: {
    protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true,
    automaticPresenceSimulation: true,
  },
});

// Every secret that is made on the way, by its kind, for whoever looks for them afterwards.
const secrets = {};
const keep = (kind, secret) => { if (secret) (secrets[kind] ??= new Set()).add(secret); };
keep('invitation', process.env.OAUTH_LINK.split('#')[1]);
page.on('request', (request) => {
  const fields = new URLSearchParams(request.postData() ?? '');
  keep("form's token against forgery", fields.get('csrf'));
  const brought = fields.get('signed') || fields.get('made');
  if (brought) keep('challenge of a passkey', JSON.parse(Buffer.from(JSON.parse(brought).client_data, 'base64url')).challenge);
});
page.on('response', async (response) => {
  for (const { name, value } of await response.headersArray().catch(() => [])) {
    if (name.toLowerCase() === 'set-cookie') keep('session cookie', value.split(';')[0].split('=')[1]);
  }
});

const looks = looking(OAUTH_NPM, shots);

// A question for a code, and what meets it.
const question = (changes = {}) => {
  const verifier = randomBytes(32).toString('base64url');
  keep('code verifier', verifier);
  const challenge = createHash('sha256').update(verifier).digest('base64url');
  const parameters = {
    response_type: 'code', client_id: app, redirect_uri: callback, state: randomBytes(8).toString('hex'), resource,
    code_challenge: challenge, code_challenge_method: 'S256', ...changes,
  };
  const named = Object.entries(parameters).filter(([, value]) => value !== undefined);
  return { verifier, parameters, url: `${origin}/authorize?${new URLSearchParams(named)}` };
};

const theAnswer = async () => {
  for (let tries = 0; tries < 600 && !answers.length; tries += 1) await new Promise((r) => { setTimeout(r, 50); });
  check(answers.length === 1, `${answers.length} answers: ${await page.textContent('body')}`);
  return answers.shift();
};

// What somebody who is signed in does with it.
const said = async (url, button = 'Let it in', choose = async () => {}) => {
  answers = [];
  await page.goto(url);
  await choose();
  await page.getByRole('button', { name: button }).click();
  return theAnswer();
};

const post = async (path, form) => {
  const response = await fetch(`${gate}${path}`, { method: 'POST', body: new URLSearchParams(form) });
  const said = await response.json().catch(() => ({}));
  keep('access token', said.access_token);
  keep('refresh token', said.refresh_token);
  return { status: response.status, ...said };
};
const trade = (asked, answer, changes = {}) => post('/token', {
  grant_type: 'authorization_code', code: answer.searchParams.get('code'), redirect_uri: asked.parameters.redirect_uri,
  client_id: asked.parameters.client_id, code_verifier: asked.verifier, resource, ...changes,
});
const refresh = (token, changes = {}) =>
  post('/token', { grant_type: 'refresh_token', refresh_token: token, client_id: app, resource, ...changes });
const mcp = (token, target = 'sample') => fetch(resource, {
  method: 'POST',
  headers: {
    authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream',
    'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'query',
  },
  body: JSON.stringify({
    jsonrpc: '2.0', id: 1, method: 'tools/call',
    params: {
      name: 'query', arguments: { target, sql: 'select 1' },
      _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {} },
    },
  }),
});
const works = async (token, words) => check((await mcp(token)).status === 200, words);
const isOver = async (token, words) => check((await mcp(token)).status === 401, words);
const got = async (changes = {}) => {
  const asked = question(changes);
  const tokens = await trade(asked, await said(asked.url));
  check(tokens.status === 200, JSON.stringify(tokens));
  return tokens;
};

// The client's own memory.
let saved;
let sentTo;
let state;
let verifier;
let discovered;
let information;
const provider = {
  redirectUrl: callback,
  clientMetadataUrl: app,
  clientMetadata: document(app, 'Sample Client', { redirect_uris: [callback] }),
  state: () => { state = randomBytes(8).toString('hex'); return state; },
  clientInformation: () => information,
  saveClientInformation: (known) => { information = known; },
  tokens: () => saved,
  saveTokens: (tokens) => {
    saved = tokens;
    keep('access token', tokens.access_token);
    keep('refresh token', tokens.refresh_token);
  },
  redirectToAuthorization: (url) => { sentTo = url; },
  saveCodeVerifier: (text) => { verifier = text; keep('code verifier', text); },
  codeVerifier: () => verifier,
  discoveryState: () => discovered,
  saveDiscoveryState: (found) => { discovered = found; },
};
const connected = async () => {
  const client = new Client({ name: 'sample', version: '1' }, { versionNegotiation: { mode: 'auto' } });
  const transport = new StreamableHTTPClientTransport(new URL(resource), { authProvider: provider });
  try {
    await client.connect(transport);
    return { client };
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
    return { transport };
  }
};
const rows = async (client) => {
  const result = await client.callTool({ name: 'query', arguments: { target: 'sample', sql: 'select 41 + 1 as x' } });
  return JSON.stringify(result.structuredContent?.rows ?? result);
};

const left = {};
const flows = {
  async 'a client signs somebody in, and works as their agent'() {
    await page.goto(process.env.OAUTH_LINK);
    await page.getByRole('button', { name: 'Make a passkey' }).click();
    await page.waitForURL(`${origin}/`);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.waitForURL(/signin/);
    const { transport } = await connected();
    check(transport && sentTo, 'it is let in without a token');
    check(sentTo.origin === origin && sentTo.searchParams.get('code_challenge_method') === 'S256', `${sentTo}`);
    check(sentTo.searchParams.get('resource') === resource, `${sentTo}`);
    answers = [];
    await page.goto(sentTo.href);
    check(new URL(page.url()).pathname === '/signin', 'somebody answers who is not signed in');
    await page.getByRole('button', { name: 'Sign in with a passkey' }).click();
    await page.waitForURL(/\/authorize\?/);
    for (const text of ['Let Sample Client act for you?', `127.0.0.1:${documentPort}`, 'agent:local/127.0.0.1', 'user:ada', 'this computer', 'may select']) {
      check((await page.textContent('main')).includes(text), `it does not say ${text}: ${await page.textContent('main')}`);
    }
    await looks(page, 'authorize');
    await page.getByRole('button', { name: 'Let it in' }).click();
    const answer = await theAnswer();
    check(answer.searchParams.get('state') === state && answer.searchParams.get('iss') === gate, `${answer}`);
    await transport.finishAuth(answer.searchParams);
    check(saved.access_token.startsWith('dwt_') && saved.expires_in <= 3600, JSON.stringify(Object.keys(saved)));
    const { client } = await connected();
    check(await rows(client) === '[[42]]', await rows(client));
    const before = saved.refresh_token;
    await post('/revoke', { token: saved.access_token });
    check(await rows(client) === '[[42]]', 'it renews its token by itself');
    check(saved.refresh_token !== before, 'the refresh token rotates');
    await client.close();
  },

  async 'a client is turned away, and is told so'() {
    const asked = question();
    const answer = await said(asked.url, 'Turn it away');
    check(answer.searchParams.get('error') === 'access_denied' && !answer.searchParams.has('code'), `${answer}`);
    check(answer.searchParams.get('state') === asked.parameters.state && answer.searchParams.get('iss') === gate, `${answer}`);
  },

  async 'nothing is decided by looking, by another site, or without the page'() {
    answers = [];
    const asked = question();
    await page.goto(`${asked.url}&answer=yes&which=all`);
    check(new URL(page.url()).pathname === '/authorize' && !answers.length, 'a GET decides');
    const shown = await page.locator('[name=shown]').inputValue();
    const csrf = await page.locator('form.answer [name=csrf]').inputValue();
    const frames = (await page.request.get(asked.url)).headers()['content-security-policy'];
    check(frames.includes("frame-ancestors 'none'"), frames);
    const send = async (changes, headers) => (await page.request.post(`${origin}/authorize`, {
      form: { ...asked.parameters, shown, csrf, answer: 'yes', which: 'all', ...changes }, headers: { origin, ...headers },
      maxRedirects: 0, failOnStatusCode: false,
    })).status();
    check(await send({ csrf: '' }) === 403, 'without the page');
    check(await send({}, { origin: 'http://evil.test' }) === 403, 'from another site');
    check(await send({ shown: 'x' }) === 409, 'what was not shown');
    check(await send({ client_id: other }) === 409, 'another client than was shown');
    check(await send({}) === 200, 'the honest one');
  },

  async 'each client is asked about each time, whatever the host of the answer'() {
    await said(question().url);
    for (const [id, name] of [[other, 'Other Client'], [app, 'Sample Client']]) {
      answers = [];
      await page.goto(question({ client_id: id }).url);
      await page.getByRole('heading', { name: `Let ${name} act for you?` }).waitFor();
      check(!answers.length, `${name} is let in by an earlier yes`);
    }
  },

  async 'whoever may not be answered is not'() {
    for (const [changes, says] of [
      [{ client_id: undefined }, 'client_id is missing'],
      [{ client_id: 'nobody' }, 'No client of this id'],
      [{ redirect_uri: undefined }, 'redirect_uri is missing'],
      [{ redirect_uri: `${callback}/` }, 'has not named before'],
      [{ redirect_uri: `http://127.0.0.1:${callbackPort}/other` }, 'has not named before'],
      [{ redirect_uri: `http://localhost:${callbackPort}/callback` }, 'has not named before'],
      [{ redirect_uri: 'https://evil.test/callback' }, 'has not named before'],
      [{ client_id: at('localhost', 'app.json') }, 'private address'],
      [{ client_id: at('[::1]', 'app.json') }, 'private address'],
      [{ client_id: at('[::ffff:127.0.0.1]', 'app.json') }, 'private address'],
      [{ client_id: at('127.0.0.1', 'moved.json') }, 'cannot be fetched'],
      [{ client_id: at('127.0.0.1', 'large.json') }, 'cannot be fetched'],
      [{ client_id: at('127.0.0.1', 'wrong.json') }, 'not the address'],
      [{ client_id: app.replace('https', 'http') }, 'https'],
    ]) {
      answers = [];
      await page.goto(question(changes).url);
      await page.getByRole('alert').filter({ hasText: says }).waitFor();
      check(!answers.length, `${JSON.stringify(changes)} is answered`);
    }
    check((await said(question().url)).searchParams.has('code'), 'the honest one');
  },

  async 'who asks wrongly is told where it may be answered'() {
    for (const [changes, error] of [
      [{ response_type: 'token' }, 'unsupported_response_type'],
      [{ code_challenge: undefined }, 'invalid_request'],
      [{ code_challenge_method: undefined }, 'invalid_request'],
      [{ code_challenge_method: 'plain' }, 'invalid_request'],
      [{ resource: undefined }, 'invalid_request'],
      [{ resource: `${gate}/` }, 'invalid_target'],
      [{ resource: 'https://other.test/mcp' }, 'invalid_target'],
      [{ scope: 'admin' }, 'invalid_scope'],
    ]) {
      answers = [];
      const asked = question(changes);
      await page.goto(asked.url);
      const answer = await theAnswer();
      check(answer.searchParams.get('error') === error, `${JSON.stringify(changes)}: ${answer}`);
      check(answer.searchParams.get('state') === asked.parameters.state && answer.searchParams.get('iss') === gate, `${answer}`);
    }
  },

  async 'a code is good once, for who asked, as they asked'() {
    for (const [what, changes, error] of [
      ['another verifier', { code_verifier: randomBytes(32).toString('base64url') }, 'invalid_grant'],
      ['the challenge itself', 'challenge', 'invalid_grant'],
      ['another client', { client_id: other }, 'invalid_grant'],
      ['another address', { redirect_uri: `http://127.0.0.1:${callbackPort}/other` }, 'invalid_grant'],
    ]) {
      const asked = question();
      const answer = await said(asked.url);
      const wrong = changes === 'challenge' ? { code_verifier: asked.parameters.code_challenge } : changes;
      const refused = await trade(asked, answer, wrong);
      check(refused.status === 400 && refused.error === error, `${what}: ${JSON.stringify(refused)}`);
      check((await trade(asked, answer)).error === 'invalid_grant', `${what}: it is good afterwards`);
    }
    const asked = question();
    const answer = await said(asked.url);
    for (const [changes, error] of [
      [{ resource: 'https://other.test/mcp' }, 'invalid_target'], [{ resource: '' }, 'invalid_request'],
      [{ code_verifier: '' }, 'invalid_request'], [{ client_secret: 'x' }, 'invalid_client'],
    ]) {
      const refused = await trade(asked, answer, changes);
      check(refused.error === error, `${JSON.stringify(changes)}: ${JSON.stringify(refused)}`);
    }
    const tokens = await trade(asked, answer);
    check(tokens.status === 200, `the honest one: ${JSON.stringify(tokens)}`);
    await works(tokens.access_token, 'its token is good');
    check((await trade(asked, answer)).error === 'invalid_grant', 'a code is good twice');
    await isOver(tokens.access_token, 'what a code gave that came twice is good');
    check((await refresh(tokens.refresh_token)).error === 'invalid_grant', 'or can be renewed');
  },

  async 'a refresh token is good once, and what it gave ends when it comes again'() {
    const first = await got();
    const neighbour = await got();
    for (const [changes, error] of [
      [{ resource: 'https://other.test/mcp' }, 'invalid_target'], [{ resource: '' }, 'invalid_request'], [{ client_id: '' }, 'invalid_request'],
    ]) check((await refresh(first.refresh_token, changes)).error === error, JSON.stringify(changes));
    const second = await refresh(first.refresh_token);
    check(second.status === 200 && second.refresh_token !== first.refresh_token, JSON.stringify(second));
    await works(second.access_token, 'the renewed one is good');
    check((await refresh(first.refresh_token)).error === 'invalid_grant', 'it is good twice');
    for (const token of [first.access_token, second.access_token]) await isOver(token, 'what was stolen goes on');
    check((await refresh(second.refresh_token)).error === 'invalid_grant', 'or is renewed');
    await works(neighbour.access_token, 'another yes goes on');
    check((await refresh(neighbour.refresh_token, { client_id: other })).error === 'invalid_grant', 'another client renews');
    await isOver(neighbour.access_token, 'it was stolen');
    const returned = await got();
    check((await post('/revoke', { token: returned.refresh_token })).status === 200, 'it is given back');
    await isOver(returned.access_token, 'what was given back is good');
  },

  async 'a token is for the targets that were chosen, and for this endpoint alone'() {
    const asked = question({ scope: 'target:sample' });
    const answer = await said(asked.url, 'Let it in', async () => {
      check(await page.getByRole('checkbox', { name: 'sample' }).isChecked(), 'what is asked for is not chosen');
      check(!await page.getByRole('checkbox', { name: 'second' }).isChecked(), 'what is not asked for is');
    });
    const tokens = await trade(asked, answer);
    check(tokens.scope === 'target:sample', JSON.stringify(tokens.scope));
    await works(tokens.access_token, 'it is good for what was chosen');
    const beyond = await mcp(tokens.access_token, 'second');
    const challenge = beyond.headers.get('www-authenticate') ?? '';
    check(beyond.status === 403 && challenge.includes('error="insufficient_scope"'), `${beyond.status} ${challenge}`);
    check(challenge.includes('scope="target:sample target:second"') && challenge.includes('resource_metadata='), challenge);
    check((await mcp(tokens.access_token, 'nowhere')).status === 200, 'it hears what there is');
    const all = await got();
    check((await mcp(all.access_token, 'second')).status === 200, 'one for all is good there');
    left.access = all.access_token;
    left.refresh = all.refresh_token;
  },

  async 'nobody registers where that is not wanted'() {
    const metadata = await (await fetch(`${gate}/.well-known/oauth-authorization-server`)).json();
    check(metadata.issuer === gate && metadata.client_id_metadata_document_supported === true, JSON.stringify(metadata));
    check(!metadata.registration_endpoint && metadata.authorization_response_iss_parameter_supported, JSON.stringify(metadata));
    check(JSON.stringify(metadata.code_challenge_methods_supported) === '["S256"]', JSON.stringify(metadata));
    for (const path of ['', '/mcp']) {
      const about = await (await fetch(`${gate}/.well-known/oauth-protected-resource${path}`)).json();
      check(about.resource === resource && about.authorization_servers[0] === gate, JSON.stringify(about));
    }
    const body = JSON.stringify(document('x', 'Itself'));
    const registered = await fetch(`${gate}/register`, { method: 'POST', body, headers: { 'content-type': 'application/json' } });
    check(registered.status === 403, `${registered.status}`);
  },
};

const come = async () => {
  await page.goto(process.env.OAUTH_LINK);
  await page.getByRole('button', { name: 'Make a passkey' }).click();
  await page.waitForURL(`${origin}/`);
};

// Programs with agents in them sign somebody in, each by its own command.
const byPrograms = {
  async 'programs with agents in them sign somebody in'() {
    await come();
    for (const [name, command, ...rest] of JSON.parse(process.env.OAUTH_PROGRAMS)) {
      // In a terminal's place, wide enough for an address in one line; they look for no browser.
      const line = [command, ...rest].map((word) => `'${word}'`).join(' ');
      const child = spawn('script', ['-qefc', `stty cols 1000; ${line}`, '/dev/null'], { env: { ...process.env, BROWSER: 'true' } });
      let printed = '';
      const address = new Promise((done) => {
        const hear = (text) => {
          printed += text;
          const url = printed.match(/http:\/\/localhost:\d+\/authorize\?[\w.%&=~+-]+(?=\s|\x1b)/)?.[0];
          if (url) done(url);
        };
        child.stdout.on('data', hear);
        child.stderr.on('data', hear);
      });
      const ended = new Promise((done) => { child.on('close', done); });
      const url = await Promise.race([address, ended, new Promise((late) => { setTimeout(late, 60000).unref(); })]);
      check(typeof url === 'string', `${name} asks nobody: ${printed}`);
      await page.goto(url);
      await page.getByRole('button', { name: 'Let it in' }).click();
      const code = await Promise.race([ended, new Promise((late) => { setTimeout(late, 60000).unref(); })]);
      child.kill();
      check(code === 0, `${name} ends with ${code}: ${printed}`);
    }
  },
};

// The protocol's own runner asks, and somebody says yes.
const byRunner = {
  async 'the official runner gets a code and a token'() {
    await come();
    answered.close();
    const [node, runner] = JSON.parse(process.env.OAUTH_RUNNER);
    const child = spawn(node, [runner, 'authorization', '--url', gate, '--client-id', 'runner', '--resource', resource, '-p', String(callbackPort)]);
    let printed = '';
    let opened = false;
    const ended = new Promise((done) => { child.on('close', done); });
    const hear = async (text) => {
      printed += text;
      const url = printed.match(/^http:\/\/localhost\S*\/authorize\?\S*$/m)?.[0];
      if (!url || opened || !printed.includes('Waiting up to')) return;
      opened = true;
      await page.goto(url);
      await page.getByRole('button', { name: 'Let it in' }).click();
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    await ended;
    left.printed = printed;
  },
};

try {
  const chosen = (process.env.OAUTH_RUNNER && byRunner) || (process.env.OAUTH_PROGRAMS && byPrograms) || flows;
  for (const [name, flow] of Object.entries(chosen)) {
    const begun = Date.now();
    try {
      await flow();
    } catch (error) {
      console.log(`FAILED: ${name}: ${error.stack}`);
      if (shots) await page.screenshot({ path: `${shots}/failed.png` });
      process.exitCode = 1;
      break;
    }
    console.log(`ok: ${name} (${Date.now() - begun} ms)`);
  }
  left.secrets = Object.entries(secrets).map(([kind, all]) => ({ kind, all: [...all] }));
  console.log(JSON.stringify(left));
} finally {
  await browser.close();
  documents.close();
  answered.close();
  documents.closeAllConnections();
  answered.closeAllConnections();
}
