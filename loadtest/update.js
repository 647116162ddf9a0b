// PATCH /v1/users/{id}: each virtual user changes its own account, each change
// based on the version of the one before, each under a key of its own.
import { asMe, judge, me, plan } from "./lib.js";

export const options = plan(15, 150);

let version = 0;

export default function () {
  if (version === 0) {
    const mine = asMe("GET", "/v1/me");
    if (!judge(mine, (body) => Number(body.user.version) > 0)) {
      return;
    }
    version = Number(mine.json("user.version"));
  }
  const name = `Person ${__VU} of ${__ITER}`;
  const key = `load-${__VU}-${__ITER}-${Date.now()}`;
  const answer = asMe("PATCH", `/v1/users/${me().id}`, { name }, { "If-Match": `"${version}"`, "Idempotency-Key": key });
  if (judge(answer, (body) => body.name === name && Number(body.version) === version + 1)) {
    version += 1;
  }
}
