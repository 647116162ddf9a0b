import { Code, ConnectError } from "@connectrpc/connect";

/** One field that was refused. */
export interface RefusedField {
  /** "settings.time_zone" */
  path: string;
  /** A stable id such as "string.email". */
  rule: string;
  /** What is allowed. */
  message: string;
}

/** A refusal of the API, in the words of its catalogue. */
export class TenantryError extends Error {
  override readonly name = "TenantryError";

  constructor(
    message: string,
    /** Stable and made for programs: "VERSION_CONFLICT". */
    readonly reason: string,
    readonly code: Code,
    readonly fields: RefusedField[],
    /** When to come back, in milliseconds, where the API said so. */
    readonly retryAfterMs: number | undefined,
    /** The row's version, on VERSION_CONFLICT. */
    readonly currentVersion: bigint | undefined,
    /** Names the request in the API's logs. */
    readonly requestId: string,
    cause: unknown,
  ) {
    super(message, { cause });
  }
}

type Debug = {
  reason?: string;
  metadata?: { currentVersion?: string };
  fieldViolations?: { field?: string; reason?: string; description?: string }[];
  retryDelay?: string;
  message?: string;
  requestId?: string;
};

/**
 * What the API said, if it was the API: a broken connection or a proxy's page
 * is none.
 */
export function asTenantryError(error: unknown): TenantryError | undefined {
  if (!(error instanceof ConnectError)) {
    return undefined;
  }
  const debugs = new Map<string, Debug>();
  for (const detail of error.details) {
    if ("debug" in detail && typeof detail.debug === "object" && detail.debug !== null) {
      debugs.set(detail.type.slice(detail.type.lastIndexOf(".") + 1), detail.debug as Debug);
    }
  }
  const info = debugs.get("ErrorInfo");
  if (!info?.reason) {
    return undefined;
  }
  const delay = debugs.get("RetryInfo")?.retryDelay;
  const version = info.metadata?.currentVersion;
  return new TenantryError(
    debugs.get("LocalizedMessage")?.message ?? error.rawMessage,
    info.reason,
    error.code,
    (debugs.get("BadRequest")?.fieldViolations ?? []).map((v) => ({ path: v.field ?? "", rule: v.reason ?? "", message: v.description ?? "" })),
    delay === undefined ? undefined : Number.parseFloat(delay) * 1000,
    version === undefined ? undefined : BigInt(version),
    debugs.get("RequestInfo")?.requestId ?? "",
    error,
  );
}
