// Calls a real API. What it needs is in the environment, see test/clients_test.go.
import assert from "node:assert/strict";
import dns from "node:dns";
import test from "node:test";
import { Code, asTenantryError, createTenantry } from "../dist/index.js";

// Browsers know that *.localhost is this machine; not every resolver does.
const { lookup } = dns;
dns.lookup = (host, ...rest) => lookup(host.endsWith(".localhost") ? "127.0.0.1" : host, ...rest);

const { TENANT_URL, EMAIL, PASSWORD } = process.env;

async function login(options) {
  const { accessToken, tokenType } = await createTenantry({ baseUrl: TENANT_URL }).auth.login({ email: EMAIL, password: PASSWORD });
  assert.equal(tokenType, "Bearer");
  return createTenantry({ baseUrl: TENANT_URL, token: () => accessToken, language: "de", ...options });
}

async function refusal(promise) {
  const error = await promise.then(() => assert.fail("was answered"), (e) => e);
  const refused = asTenantryError(error);
  assert.ok(refused, String(error));
  assert.ok(refused.message.length > 0);
  assert.match(refused.requestId, /^[0-9a-zA-Z._-]+$/);
  return refused;
}

test("a login leads to me and to the list", async () => {
  const acme = await login();
  const { user, permissions } = await acme.users.getMe({});
  assert.equal(user?.email, EMAIL);
  assert.ok(user.loginCount >= 1n);
  assert.ok(permissions.includes("users.read"));
  const { users } = await acme.users.listUsers({ limit: 5 });
  assert.ok(users.some((u) => u.email === EMAIL));
});

test("a refusal has its reason, code and fields", async () => {
  const wrong = await refusal(createTenantry({ baseUrl: TENANT_URL }).auth.login({ email: EMAIL, password: "not the password at all" }));
  assert.equal(wrong.reason, "LOGIN_FAILED");
  assert.equal(wrong.code, Code.Unauthenticated);
  const acme = await login();
  const bad = await refusal(acme.users.listUsers({ limit: 1000 }));
  assert.equal(bad.reason, "INVALID_ARGUMENT");
  assert.equal(bad.fields[0].path, "limit");
  const nobody = await refusal(createTenantry({ baseUrl: TENANT_URL }).users.getMe({}));
  assert.equal(nobody.reason, "CREDENTIAL_MISSING");
});

test("a mutation whose answer is lost is repeated under its key, a login is not", async () => {
  const seen = [];
  const losing = async (url, init) => {
    const answer = await fetch(url, init);
    seen.push(new Headers(init.headers).get("Idempotency-Key"));
    if (seen.length === 1) {
      await answer.body?.cancel();
      throw new TypeError("the connection broke");
    }
    return answer;
  };
  const acme = await login({ fetch: losing });
  const account = await acme.serviceAccounts.createServiceAccount({ name: "nightly-import" });
  assert.equal(account.name, "nightly-import", "the first effect's answer, not SERVICE_ACCOUNT_EXISTS");
  assert.equal(seen.length, 2);
  assert.ok(seen[0]);
  assert.equal(seen[0], seen[1]);

  const { serviceAccounts } = await acme.serviceAccounts.listServiceAccounts({});
  assert.equal(serviceAccounts.length, 1);

  seen.length = 0;
  await assert.rejects(createTenantry({ baseUrl: TENANT_URL, fetch: losing }).auth.login({ email: EMAIL, password: PASSWORD }));
  assert.deepEqual(seen, [null]);
});
