// POST /v1/auth/login, then /v1/auth/mfa:verify: a login with two factors. A
// code works once, so each iteration is another person's; the 1,980 with a
// factor last for 8 minutes at 4 a second.
import crypto from "k6/crypto";
import exec from "k6/execution";
import { call, judge, password, plan } from "./lib.js";

const secret = base32(__ENV.TOTP_SECRET);
// The first of the seeded accounts that has a factor, and how many there are.
const [first, secured] = __ENV.SECURED.split(",").map(Number);

export const options = plan(4, 500);

export default function () {
  const n = first + (exec.scenario.iterationInTest % secured);
  const login = call("POST", "/v1/auth/login", { email: `person${n}@load.example`, password });
  if (!judge(login, (body) => body.challenge.token.length === 43 && !body.access_token)) {
    return;
  }
  const challenge_token = login.json("challenge.token");
  judge(call("POST", "/v1/auth/mfa:verify", { challenge_token, totp_code: totp() }), (body) => body.access_token.split(".").length === 3);
}

// totp is RFC 6238 with HMAC-SHA-1, six digits and steps of 30 seconds.
function totp() {
  const counter = new DataView(new ArrayBuffer(8));
  counter.setUint32(4, Math.floor(Date.now() / 30000));
  const mac = new Uint8Array(crypto.hmac("sha1", secret, counter.buffer, "binary"));
  const code = new DataView(mac.buffer).getUint32(mac[19] & 15) & 0x7fffffff;
  return String(code % 1000000).padStart(6, "0");
}

function base32(text) {
  const out = [];
  let bits = 0;
  let value = 0;
  for (const c of text || "") {
    value = (value << 5) | "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c);
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      out.push((value >> bits) & 255);
    }
  }
  return new Uint8Array(out).buffer;
}
