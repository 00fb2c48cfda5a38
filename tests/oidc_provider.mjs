// The real OpenID provider of tests/identity_servers.py: npm's oidc-provider with its own login and consent pages.
//   node oidc_provider.mjs LIBRARY PORT SETTINGS
// LIBRARY is the path of the package's entry; SETTINGS is JSON: users, clients, jwks (none: its own), audience of JWTs.
import { pathToFileURL } from 'node:url';

const [library, port, text] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(library).href);
const { users, clients, jwks, audience } = JSON.parse(text);
const issuer = `http://127.0.0.1:${port}`;

const provider = new Provider(issuer, {
  clients,
  jwks,
  scopes: ['openid', 'offline_access', 'profile', 'email', 'groups'],
  claims: {
    openid: ['sub'],
    profile: ['name', 'preferred_username'],
    email: ['email', 'email_verified'],
    groups: ['groups'],
  },
  async findAccount(_, id) {
    // asked for each time, so that a person may be gone
    return users[id] && { accountId: id, claims: async () => ({ sub: id, ...users[id] }) };
  },
  features: {
    devInteractions: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    rpInitiatedLogout: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      useGrantedResource: () => true, // the code's resource is the token's
      getResourceServerInfo: () => ({
        scope: 'api',
        audience,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 600,
        jwt: { sign: { alg: jwks?.keys[0].alg } },
      }),
    },
  },
  issueRefreshToken: async (_, client, code) => client.grantTypeAllowed('refresh_token') && code.scopes.has('offline_access'),
  pkce: { required: () => true },
  cookies: { keys: ['a key of the tests'] },
  ttl: { AccessToken: 600, AuthorizationCode: 60, IdToken: 600, Grant: 3600, Interaction: 600, RefreshToken: 3600, Session: 3600 },
});

provider.listen(Number(port), '127.0.0.1', () => console.log('ready'));
