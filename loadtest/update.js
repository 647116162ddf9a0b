// PATCH /v1/users/{id}: each person changes their own account, based on the
// version that they have just read, every time under a new key.
import exec from "k6/execution";
import { asMe, judge, me, plan } from "./lib.js";

export const options = plan(15, 150);

export default function () {
  const mine = asMe("GET", "/v1/me");
  if (!judge(mine, (body) => Number(body.user.version) > 0)) {
    return;
  }
  const version = Number(mine.json("user.version"));
  const turn = exec.scenario.iterationInTest;
  const headers = { "If-Match": `"${version}"`, "Idempotency-Key": `load-${turn}-${Date.now()}` };
  judge(asMe("PATCH", `/v1/users/${me().id}`, { name: `Person of ${turn}` }, headers), (body) => body.name === `Person of ${turn}` && Number(body.version) === version + 1);
}
