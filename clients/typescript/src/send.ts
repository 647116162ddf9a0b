import { getOption, hasOption, type DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { asTenantryError } from "./error.js";
import { Idempotency, RateClass, policy } from "./gen/tenantry/common/v1/policy_pb.js";
import type { Options } from "./index.js";

const keyHeader = "Idempotency-Key";

/** Sets the headers of every attempt. */
export function credential(options: Options): Interceptor {
  return (next) => async (request) => {
    const token = typeof options.token === "function" ? await options.token() : options.token;
    if (token) {
      request.header.set("Authorization", `Bearer ${token}`);
    }
    if (options.language) {
      request.header.set("Accept-Language", options.language);
    }
    return next(request);
  };
}

/**
 * Repeats a call that broke or is asked to come back, where that cannot do
 * harm: reads, and mutations that take an Idempotency-Key, always under the key
 * of the first attempt.
 */
export function retry(options: Options): Interceptor {
  const attempts = options.attempts ?? 4;
  const maxWait = options.maxWaitMs ?? 5000;
  return (next) => async (request) => {
    const keyed = takesKey(request.method);
    if (keyed && !request.header.has(keyHeader)) {
      request.header.set(keyHeader, crypto.randomUUID());
    }
    for (let attempt = 1; ; attempt++) {
      try {
        return await next(request);
      } catch (error) {
        const wait = pause(error, attempt);
        if (!(keyed || reads(request.method)) || attempt >= attempts || wait === undefined || wait > maxWait || request.signal.aborted) {
          throw error;
        }
        await sleep(wait, request.signal);
      }
    }
  };
}

function takesKey(method: DescMethod): boolean {
  return hasOption(method, policy) && getOption(method, policy).idempotency === Idempotency.KEY;
}

function reads(method: DescMethod): boolean {
  return hasOption(method, policy) && getOption(method, policy).rateClass === RateClass.READ;
}

/** How long to wait before another attempt; undefined where none would help. */
function pause(error: unknown, attempt: number): number | undefined {
  const backoff = 100 * 2 ** (attempt - 1) * (0.5 + Math.random());
  const refusal = asTenantryError(error);
  if (refusal?.retryAfterMs !== undefined) {
    return Math.max(refusal.retryAfterMs, backoff);
  }
  const connect = ConnectError.from(error);
  if (connect.code === Code.Unavailable) {
    return backoff;
  }
  // fetch reports a broken connection as a TypeError.
  return connect.cause instanceof TypeError ? backoff : undefined;
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(ConnectError.from(signal.reason, Code.Canceled));
    }, { once: true });
  });
}
