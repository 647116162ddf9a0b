/**
 * Calls the API of Tenantry: a client for every service, with the credential,
 * retries that are safe, and errors to act on.
 *
 *     const acme = createTenantry({ baseUrl: "https://acme.tenantry.example", token });
 *     const { user } = await acme.users.getMe({});
 */
import { createClient, type Client } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { credential, retry } from "./send.js";
import { services } from "./services.js";

export { Code, ConnectError } from "@connectrpc/connect";
export { TenantryError, asTenantryError, type RefusedField } from "./error.js";
export { services } from "./services.js";

export interface Options {
  /** An organization's address, or the central one for operators. */
  baseUrl: string;
  /**
   * An access token, an API key or, at the central address, an operator key; a
   * function is asked before every attempt. Left out: calls that take none.
   */
  token?: string | (() => string | Promise<string>);
  /** What Accept-Language says, such as "de". */
  language?: string;
  /** How often a call is sent at most, 4 when left out. */
  attempts?: number;
  /** The longest pause between two attempts in milliseconds, 5000 when left out. */
  maxWaitMs?: number;
  /** The fetch to call with; the global one when left out. */
  fetch?: typeof globalThis.fetch;
}

/** The clients of all services. */
export type Tenantry = { [K in keyof typeof services]: Client<(typeof services)[K]> };

export function createTenantry(options: Options): Tenantry {
  const url = new URL(options.baseUrl);
  const send = options.fetch ?? globalThis.fetch;
  const transport = createConnectTransport({
    baseUrl: url.origin,
    // A redirect would carry the credential to whom it names.
    fetch: (input, init) => send(input, { ...init, redirect: "error" }),
    interceptors: [retry(options), credential(options)],
  });
  const clients = Object.entries(services).map(([name, service]) => [name, createClient(service, transport)]);
  return Object.fromEntries(clients) as Tenantry;
}
