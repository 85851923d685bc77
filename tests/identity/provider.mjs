// The certified OpenID provider, configured by the environment variable PROVIDER:
// {issuer, port, keys: [JWK], algorithm, audience, lifetime, users: {id: claims}, tls: {key, cert} or null}.
import https from 'node:https';

import Provider from 'oidc-provider';

const setup = JSON.parse(process.env.PROVIDER);
const account = (id) => ({ accountId: id, claims: async () => ({ sub: id, ...setup.users[id] }) });

const provider = new Provider(setup.issuer, {
  clients: [{
    client_id: 'daytona',
    application_type: 'native',
    token_endpoint_auth_method: 'none',
    redirect_uris: ['http://127.0.0.1/callback'],
    grant_types: ['authorization_code'],
    response_types: ['code'],
  }],
  jwks: { keys: setup.keys },
  cookies: { keys: ['only for tests'] },
  enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256'] },
  clientDefaults: { id_token_signed_response_alg: setup.algorithm },
  pkce: { required: () => true },
  ttl: { AccessToken: setup.lifetime, Session: 600, Grant: 600, Interaction: 600 },
  findAccount: async (ctx, id) => (id in setup.users ? account(id) : undefined),
  extraTokenClaims: async (ctx, token) => setup.users[token.accountId],
  features: {
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: async () => true,
      getResourceServerInfo: async (ctx, resource) => ({
        scope: 'openid',
        audience: resource === 'urn:other' ? 'other' : setup.audience,
        accessTokenTTL: setup.lifetime,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: setup.algorithm } },
      }),
    },
  },
});

provider.on('server_error', (ctx, error) => console.error(error));
const server = setup.tls ? https.createServer(setup.tls, provider.callback()) : provider;
server.listen(setup.port, '127.0.0.1', () => console.log('listening'));
