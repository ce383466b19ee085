// An issuer for tests: npm's oidc-provider with JWT access tokens. It listens on a free port of this
// machine, says "Listening on: URL" on its standard output, and ends when its standard input does.
// Lines there: `rotate` has a new key sign, and keeps publishing the old one; `withdraw` publishes
// only the key that signs. Each is answered with the line "keys: KID …", the one that signs first.
// Arguments: where clients are told of a logout, and where browsers are sent back to.
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

import Provider from 'oidc-provider';

const [loggedOutUri, callbackUri] = process.argv.slice(2);
const resource = 'https://api.example';

let keys = [];
function rotate() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  // Of several keys the first signs.
  keys.unshift({ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256' });
}

const client = {
  token_endpoint_auth_method: 'none',
  application_type: 'native',
  grant_types: ['authorization_code', 'refresh_token'],
  redirect_uris: [callbackUri],
  post_logout_redirect_uris: [callbackUri],
};

function provider(issuer) {
  return new Provider(issuer, {
    jwks: { keys },
    clients: [
      { ...client, client_id: 'plain' },
      {
        ...client,
        client_id: 'shop',
        backchannel_logout_uri: loggedOutUri,
        backchannel_logout_session_required: true,
      },
    ],
    cookies: { keys: ['of no interest'] },
    // Its own guard keeps logout tokens from addresses such as this machine's, where the tests are.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    issueRefreshToken: () => true,
    features: {
      backchannelLogout: { enabled: true },
      resourceIndicators: {
        defaultResource: () => resource,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: 'api',
          audience: resource,
          accessTokenFormat: 'jwt',
          accessTokenTTL: 600,
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    // What docs/issuers.md advises; the client `plain` shows what there is without.
    extraTokenClaims(ctx, token) {
      if (token.clientId === 'plain') return undefined;
      const { AuthorizationCode, RefreshToken } = ctx.oidc.entities;
      return { sid: token.sid, auth_time: (AuthorizationCode ?? RefreshToken)?.authTime };
    },
  });
}

rotate();
let answer;
const server = createServer((request, response) => answer(request, response));
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;

// The same address with other keys, as after a restart; sessions stay, as in a database.
function publish() {
  const published = provider(issuer);
  answer = published.callback();
  published.on('server_error', (_, error) => console.error(error));
  return published;
}

publish();
console.log(`Listening on: ${issuer}`);

for await (const command of createInterface({ input: process.stdin })) {
  if (command === 'rotate') rotate();
  if (command === 'withdraw') keys = keys.slice(0, 1);
  publish();
  const jwks = await (await fetch(`${issuer}/jwks`)).json();
  console.log(`keys: ${jwks.keys.map(({ kid }) => kid).join(' ')}`);
}
process.exit();
