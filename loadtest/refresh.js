// POST /v1/auth/refresh: one transaction that changes a token. Each person's
// session belongs to one virtual user at a time: a token is used once.
import exec from "k6/execution";
import { call, judge, people, plan } from "./lib.js";

export const options = plan(100, 100);

// What this virtual user holds; the first token is the installation's.
let token = null;

export default function () {
  token = token || people[(exec.vu.idInTest - 1) % people.length].refresh_token;
  const answer = call("POST", "/v1/auth/refresh", { refresh_token: token });
  if (judge(answer, (body) => body.refresh_token.length === 43 && body.refresh_token !== token)) {
    token = answer.json("refresh_token");
  }
}
