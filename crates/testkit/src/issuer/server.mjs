// A real OpenID provider (npm oidc-provider) on a loopback port. Its clients, keys and groups come by the environment; a POST
// to /control/… changes its keys while it runs. It is a server for tests: its secrets are no secrets.
import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(`${process.env.ISSUER_NPM}/package.json`);
const { Provider, errors } = await import(pathToFileURL(require.resolve('oidc-provider')));

const port = Number(process.env.ISSUER_PORT);
const url = `http://127.0.0.1:${port}`;
const settings = JSON.parse(process.env.ISSUER_SETTINGS);
const people = settings.people ?? {};

let made = 0;
function key(kind) {
  const [type, options, alg] = {
    RS256: ['rsa', { modulusLength: 2048 }, 'RS256'],
    ES256: ['ec', { namedCurve: 'P-256' }, 'ES256'],
    EdDSA: ['ed25519', {}, 'EdDSA'],
  }[kind];
  const jwk = generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' });
  return { ...jwk, use: 'sig', alg, kid: `key-${++made}` };
}

function clients() {
  return Object.entries(settings.clients).map(([client_id, client]) => ({
    client_id,
    client_secret: client.secret,
    grant_types: client.redirect ? ['authorization_code', 'refresh_token', 'client_credentials'] : ['client_credentials'],
    response_types: client.redirect ? ['code'] : [],
    redirect_uris: client.redirect ? [client.redirect] : [],
    application_type: 'native',
    token_endpoint_auth_method: client.secret ? 'client_secret_post' : 'none',
    id_token_signed_response_alg: settings.algorithm,
    ...(client.metadata ?? {}),
  }));
}

function provider(keys) {
  const made = new Provider(url, {
    clients: clients(),
    jwks: { keys },
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    cookies: { keys: ['no secret'] },
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'groups'] },
    clientDefaults: { id_token_signed_response_alg: settings.algorithm },
    enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256', 'EdDSA'] },
    ttl: { ClientCredentials: settings.life ?? 600, AccessToken: settings.life ?? 600, IdToken: settings.life ?? 600 },
    findAccount: (ctx, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: true, ...(people[id] ?? {}) }),
    }),
    extraTokenClaims: (ctx, token) => {
      const groups = settings.clients[token.clientId]?.groups;
      const person = token.accountId ? people[token.accountId] ?? {} : {};
      return { client_id: token.clientId, ...(groups && !token.accountId ? { groups } : {}), ...person };
    },
    features: {
      devInteractions: { enabled: true },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true },
      rpInitiatedLogout: { enabled: true },
      deviceFlow: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'urn:durward',
        useGrantedResource: () => true,
        getResourceServerInfo: (ctx, resource) => {
          if (!resource.startsWith('urn:')) throw new errors.InvalidTarget();
          return {
            scope: 'openid',
            audience: resource.split(':').at(-1),
            accessTokenFormat: resource.startsWith('urn:opaque:') ? 'opaque' : 'jwt',
            accessTokenTTL: settings.life ?? 600,
            jwt: { sign: { alg: settings.algorithm } },
          };
        },
      },
    },
  });
  // What was brought for tokens, and what was given for it, for whoever looks whether it stands anywhere else.
  made.use(async (ctx, next) => {
    await next();
    if (ctx.method === 'POST' && ctx.path === '/token') heard.push({ asked: ctx.oidc?.body ?? {}, given: ctx.body ?? {} });
    if (heard.length > 100) heard.shift();
  });
  made.on('server_error', (ctx, error) => console.error(error));
  return made.callback();
}

const heard = [];
let keys = [key(settings.algorithm)];
let handle = provider(keys);
const counts = { jwks: 0, discovery: 0, introspection: 0 };
let deaf = false;

createServer((request, response) => {
  if (request.method === 'POST' && request.url.startsWith('/control/')) {
    const what = request.url.slice('/control/'.length);
    // rotate: a new key signs, the old one is still published. retire: only the newest is left.
    if (what === 'rotate') keys = [key(settings.algorithm), ...keys];
    if (what === 'retire') keys = keys.slice(0, 1);
    // deaf: nobody is answered about tokens, until hear.
    if (what === 'deaf' || what === 'hear') deaf = what === 'deaf';
    if (what === 'rotate' || what === 'retire') handle = provider(keys);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(what === 'heard' ? heard : { ...counts, keys: keys.map((k) => k.kid) }));
    return;
  }
  if (request.url.startsWith('/jwks')) counts.jwks += 1;
  if (request.url.startsWith('/.well-known/')) counts.discovery += 1;
  if (request.url.startsWith('/token/introspection')) {
    counts.introspection += 1;
    if (deaf) {
      response.statusCode = 503;
      response.end();
      return;
    }
  }
  handle(request, response);
}).listen(port, '127.0.0.1');
