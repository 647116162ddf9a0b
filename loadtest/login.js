// POST /v1/auth/login: a whole argon2id hash, so a core's worth is about 25 a
// second; 8 leave room for everybody else.
import { call, judge, me, password, plan } from "./lib.js";

export const options = plan(8, 500);

export default function () {
  judge(call("POST", "/v1/auth/login", { email: me().email, password }), (body) => body.access_token.split(".").length === 3);
}
