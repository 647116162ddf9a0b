// GET /v1/users: filtered, sorted, with roles, and the next page by cursor.
import { asMe, judge, plan } from "./lib.js";

export const options = plan(60, 150);

const first = "/v1/users?filter=name==*a*;email==person*&sort=-created_at,name&include=roles&limit=50";

export default function () {
  const answer = asMe("GET", first);
  if (!judge(answer, (body) => body.users.length === 50 && body.next_cursor !== "")) {
    return;
  }
  const cursor = encodeURIComponent(answer.json("next_cursor"));
  judge(asMe("GET", `${first}&cursor=${cursor}`), (body) => body.users.length === 50 && body.users[0].id !== answer.json("users.0.id"));
}
