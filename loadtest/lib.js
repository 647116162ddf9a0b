// What the scripts share. cmd/loadtest makes the installation they run against
// and says where it is and who calls, in the environment.
import http from "k6/http";
import { check } from "k6";
import exec from "k6/execution";
import { Rate } from "k6/metrics";

export const tenant = __ENV.TENANT_URL;
export const people = JSON.parse(__ENV.PEOPLE || "[]"); // id, email, token
export const password = __ENV.PASSWORD;
const rate = Number(__ENV.RATE || 0);

// Answers that were neither the result nor an orderly "come back later".
const broken = new Rate("broken");
// Answers that were "come back later". Within the limits there are none.
const refused = new Rate("refused");

// plan answers the options of a script that makes `perSecond` calls a second,
// or RATE, for 20 s or DURATION, and wants 95 of 100 answers within p95 ms.
export function plan(perSecond, p95) {
  return {
    hosts: { "*.localhost": "127.0.0.1" },
    scenarios: {
      steady: {
        executor: "constant-arrival-rate",
        rate: rate || perSecond,
        timeUnit: "1s",
        duration: __ENV.DURATION || "20s",
        preAllocatedVUs: people.length,
        maxVUs: people.length,
      },
    },
    thresholds: {
      broken: ["rate==0"],
      refused: [rate > perSecond ? "rate>=0" : "rate<0.01"],
      dropped_iterations: [`count<${perSecond}`],
      "http_req_duration{status:200}": [`p(95)<${p95}`],
      checks: ["rate==1"],
    },
    summaryTrendStats: ["min", "med", "p(95)", "p(99)", "max"],
  };
}

// me is the person of this iteration: they take turns, so that none of them
// calls more often than one account may.
export function me() {
  return people[exec.scenario.iterationInTest % people.length];
}

export function call(method, path, body, headers) {
  const params = { headers: Object.assign({ "Content-Type": "application/json" }, headers) };
  return http.request(method, tenant + path, body ? JSON.stringify(body) : null, params);
}

export function asMe(method, path, body, headers) {
  return call(method, path, body, Object.assign({ Authorization: `Bearer ${me().token}` }, headers));
}

// judge counts an answer; `result` looks at the body of a 200.
export function judge(answer, result) {
  const limited = answer.status === 429 && Number(answer.headers["Retry-After"]) > 0 && answer.json("code") === "resource_exhausted";
  broken.add(answer.status !== 200 && !limited);
  refused.add(limited);
  if (answer.status === 200) {
    check(answer, { "holds what was asked for": (a) => result(a.json()) });
  } else if (!limited) {
    console.error(`${answer.request.method} ${answer.url}: ${answer.status} ${answer.body}`);
  }
  return answer.status === 200;
}
