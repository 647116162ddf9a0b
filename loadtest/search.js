// GET /v1/users?q=: a prefix, two words and a typo.
import { asMe, judge, plan } from "./lib.js";

export const options = plan(60, 150);

const queries = ["kath", "grace hopper", "lovelase"];

export default function () {
  const q = encodeURIComponent(queries[__ITER % queries.length]);
  judge(asMe("GET", `/v1/users?q=${q}&limit=20`), (body) => body.users.length > 0);
}
