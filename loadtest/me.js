// GET /v1/me: token, session, account and rights, in one query.
import { asMe, judge, me, plan } from "./lib.js";

export const options = plan(300, 50);

export default function () {
  judge(asMe("GET", "/v1/me"), (body) => body.user.email === me().email);
}
