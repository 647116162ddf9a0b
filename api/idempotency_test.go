package api

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	apikeysv1 "tenantry/api/gen/tenantry/apikeys/v1"
	"tenantry/api/gen/tenantry/apikeys/v1/apikeysv1connect"
	"tenantry/internal/replay"
)

const createAccount = apikeysv1connect.ServiceAccountServiceCreateServiceAccountProcedure

// withRedis puts the fast path in front of the marks.
func (o *organization) withRedis(t *testing.T) *redis.Client {
	t.Helper()
	opts, err := redis.ParseURL(os.Getenv("TENANTRY_TEST_REDIS_URL"))
	require.NoError(t, err, "TENANTRY_TEST_REDIS_URL (make test sets it)")
	client := redis.NewClient(opts)
	t.Cleanup(func() { _ = client.Close() })
	o.server.replays = replay.New(client, nil)
	return client
}

func (o *organization) keyed(t *testing.T, key, path, body string) answer {
	t.Helper()
	return o.do(t, call{method: "POST", host: o.host, path: path, bearer: o.owner, body: body, header: map[string]string{"Idempotency-Key": key}})
}

func (o *organization) count(t *testing.T, table string) (n int) {
	t.Helper()
	require.NoError(t, o.sql(t).QueryRow(t.Context(), `SELECT count(*) FROM `+table).Scan(&n))
	return n
}

func TestIdempotency_ARepetitionGetsTheFirstAnswerAtEveryDoorWithAndWithoutRedis(t *testing.T) {
	t.Parallel()
	o := newOrganization(t)
	redisClient := o.withRedis(t)
	body := `{"name":"robot","description":"first"}`
	first := o.keyed(t, "k-1", "/v1/service-accounts", body)
	id := first.get(t, http.StatusOK, "id")
	require.Empty(t, first.header.Get("Idempotency-Replayed"))

	h2 := &http.Transport{Protocols: new(http.Protocols)}
	h2.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(h2.CloseIdleConnections)
	grpc := apikeysv1connect.NewServiceAccountServiceClient(connect.NewClient(connecthttp.NewTransport(
		&http.Client{Transport: hostTransport{h2, o.host}}, o.url, connecthttp.WithGRPC())))
	again := func(when string) {
		for _, path := range []string{"/v1/service-accounts", createAccount} {
			a := o.keyed(t, "k-1", path, `{"description":"first", "name":"robot","role_ids":[]}`)
			require.Equal(t, id, a.get(t, http.StatusOK, "id"), when)
			require.Equal(t, "true", a.header.Get("Idempotency-Replayed"))
			require.Equal(t, `"1"`, a.header.Get("ETag"), "headers come with the repetition")
		}
		ctx, info := connect.NewClientContext(t.Context())
		info.RequestHeader().Set("Authorization", "Bearer "+o.owner)
		info.RequestHeader().Set("Idempotency-Key", "k-1")
		got, err := grpc.CreateServiceAccount(ctx, &apikeysv1.CreateServiceAccountRequest{Name: "robot", Description: "first"})
		require.NoError(t, err, when)
		require.Equal(t, id, got.GetId())
		require.Equal(t, "true", info.ResponseHeader().Get("Idempotency-Replayed"))
	}
	again("from Redis")
	for iter := redisClient.Scan(t.Context(), 0, "tenantry:once:*", 100).Iterator(); iter.Next(t.Context()); {
		require.NoError(t, redisClient.Del(t.Context(), iter.Val()).Err())
	}
	again("from the mark, after Redis was lost")
	o.server.replays = nil
	again("without Redis")
	require.Equal(t, 1, o.count(t, "service_accounts"))
	// What has changed since does not change the first answer.
	require.Equal(t, http.StatusOK, o.as(t, o.owner, "PATCH", "/v1/service-accounts/"+id, `{"version":"1","description":"second"}`).status)
	require.Contains(t, o.keyed(t, "k-1", "/v1/service-accounts", body).body, "first")
}

func TestIdempotency_AKeyIsNobodyElses(t *testing.T) {
	t.Parallel()
	for name, redis := range map[string]bool{"marks alone": false, "redis in front": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrganization(t)
			if redis {
				o.withRedis(t)
			}
			body := `{"name":"robot"}`
			first := o.keyed(t, "k", "/v1/service-accounts", body).get(t, http.StatusOK, "id")
			reused := o.keyed(t, "k", "/v1/service-accounts", `{"name":"other"}`)
			require.Equal(t, http.StatusUnprocessableEntity, reused.status)
			require.Equal(t, "IDEMPOTENCY_KEY_REUSED", reused.problem(t).Reason)

			// Another procedure, another principal, another tenant: another call.
			keyID, secret := o.key(t, `{"name":"k",`+scopes("apikeys.manage")+`}`)
			require.Empty(t, o.keyed(t, "k", "/v1/api-keys/"+keyID+":revoke", "{}").header.Get("Idempotency-Replayed"))
			_, secret2 := o.key(t, `{"name":"k2",`+scopes("apikeys.manage")+`}`)
			a := o.do(t, call{method: "POST", host: o.host, path: "/v1/service-accounts", bearer: secret2, body: body, header: map[string]string{"Idempotency-Key": "k"}})
			require.Equal(t, "SERVICE_ACCOUNT_EXISTS", a.problem(t).Reason, "not the first one's answer")
			require.NotContains(t, a.body, first)
			_, other := o.settle(t, "globex")
			stranger := o.logIn(t, other, "owner@globex.example")
			a = o.do(t, call{method: "POST", host: other, path: "/v1/service-accounts", bearer: stranger, body: body, header: map[string]string{"Idempotency-Key": "k"}})
			require.NotEqual(t, first, a.get(t, http.StatusOK, "id"))
			require.Empty(t, a.header.Get("Idempotency-Replayed"))
			// Nor does a stored answer open anything for a credential that has ended.
			a = o.do(t, call{method: "POST", host: o.host, path: "/v1/service-accounts", bearer: secret, body: body, header: map[string]string{"Idempotency-Key": "k"}})
			require.Equal(t, "CREDENTIAL_INVALID", a.problem(t).Reason)
		})
	}
}

func TestIdempotency_FiftyParallelCallsHaveOneEffect(t *testing.T) {
	t.Parallel()
	for name, redis := range map[string]bool{"marks alone": false, "redis in front": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrganization(t)
			if redis {
				o.withRedis(t)
			}
			var wg sync.WaitGroup
			answers := make(chan answer, 50)
			for i := range 50 {
				path := []string{"/v1/service-accounts", createAccount}[i%2]
				wg.Go(func() { answers <- o.keyed(t, "k", path, `{"name":"robot"}`) })
			}
			wg.Wait()
			close(answers)
			id := o.keyed(t, "k", "/v1/service-accounts", `{"name":"robot"}`).get(t, http.StatusOK, "id")
			fresh := 0
			for a := range answers {
				if a.status == http.StatusConflict {
					require.Equal(t, "IDEMPOTENCY_IN_FLIGHT", a.problem(t).Reason)
					require.NotEmpty(t, a.header.Get("Retry-After"))
					continue
				}
				require.Equal(t, id, a.get(t, http.StatusOK, "id"))
				if a.header.Get("Idempotency-Replayed") == "" {
					fresh++
				}
			}
			require.Equal(t, 1, fresh)
			require.Equal(t, 1, o.count(t, "service_accounts"))
			require.Equal(t, 1, o.count(t, "idempotency_marks"))
		})
	}
}

func TestIdempotency_OnlyCommittedOutcomesAreKept(t *testing.T) {
	t.Parallel()
	o := newOrganization(t)
	o.withRedis(t)
	id := o.keyed(t, "a", "/v1/service-accounts", `{"name":"robot"}`).get(t, http.StatusOK, "id")
	require.Equal(t, "SERVICE_ACCOUNT_EXISTS", o.keyed(t, "b", "/v1/service-accounts", `{"name":"robot"}`).problem(t).Reason)
	require.Equal(t, http.StatusOK, o.as(t, o.owner, "DELETE", "/v1/service-accounts/"+id+"?version=1", "").status)
	a := o.keyed(t, "b", "/v1/service-accounts", `{"name":"robot"}`)
	require.NotEqual(t, id, a.get(t, http.StatusOK, "id"), "the refusal was not an outcome")
	require.Equal(t, id, o.keyed(t, "a", "/v1/service-accounts", `{"name":"robot"}`).get(t, http.StatusOK, "id"))
}

func TestIdempotency_KeysThatNobodyCouldHonourAreRefused(t *testing.T) {
	t.Parallel()
	o := newOrganization(t)
	for _, bad := range []string{"", " ", "a b", "ü", strings.Repeat("k", 256)} {
		a := o.keyed(t, bad, "/v1/service-accounts", `{"name":"robot"}`)
		require.Equal(t, "IDEMPOTENCY_KEY_INVALID", a.problem(t).Reason, "%q", bad)
	}
	for _, c := range []struct{ path, body string }{
		{"/v1/api-keys", `{"name":"x",` + scopes("users.read") + `}`},
		{"/v1/auth/login", `{"email":"a@b.example","password":"x"}`},
	} {
		require.Equal(t, "IDEMPOTENCY_UNSUPPORTED", o.keyed(t, "k", c.path, c.body).problem(t).Reason, c.path)
	}
	// A read has no effect to repeat: the header of a general client is no harm.
	a := o.do(t, call{method: "GET", host: o.host, path: "/v1/me", bearer: o.owner, header: map[string]string{"Idempotency-Key": "k"}})
	require.Equal(t, http.StatusOK, a.status)
	require.Zero(t, o.count(t, "service_accounts"))
}

func TestVersions_AStaleOrAbsentVersionIsAnsweredAtEachDoor(t *testing.T) {
	t.Parallel()
	o := newOrganization(t)
	id := o.as(t, o.owner, "POST", "/v1/service-accounts", `{"name":"robot"}`).get(t, http.StatusOK, "id")
	patch := func(body string, header map[string]string) answer {
		return o.do(t, call{method: "PATCH", host: o.host, path: "/v1/service-accounts/" + id, bearer: o.owner, body: body, header: header})
	}
	require.Equal(t, "VERSION_REQUIRED", patch(`{"description":"x"}`, nil).problem(t).Reason)
	require.Equal(t, 428, patch(`{"description":"x"}`, nil).status)
	a := patch(`{"description":"x"}`, map[string]string{"If-Match": `"1"`})
	require.Equal(t, `"2"`, a.header.Get("ETag"), a.body)
	a = patch(`{"description":"y"}`, map[string]string{"If-Match": `"1"`})
	require.Equal(t, http.StatusPreconditionFailed, a.status)
	require.Equal(t, "VERSION_CONFLICT", a.problem(t).Reason)
	require.Contains(t, a.body, `"currentVersion":"2"`)
	require.Equal(t, http.StatusConflict, patch(`{"description":"y","version":"1"}`, nil).status)
	for _, bad := range []string{`*`, `7`, `W/"1"`, `"1", "2"`, `"0"`, `"01"`, `"99999999999999999999"`} {
		require.Equal(t, "version.etag", patch(`{"description":"y"}`, map[string]string{"If-Match": bad}).problem(t).Fields["If-Match"], bad)
	}
	require.Equal(t, "version.contradiction", patch(`{"description":"y","version":"2"}`, map[string]string{"If-Match": `"3"`}).problem(t).Fields["version"])
	a = o.do(t, call{method: "POST", host: o.host, path: "/v1/service-accounts", bearer: o.owner, body: `{"name":"z"}`, header: map[string]string{"If-Match": `"1"`}})
	require.Equal(t, "version.unsupported", a.problem(t).Fields["If-Match"])
	require.Equal(t, `"2"`, o.as(t, o.owner, "GET", "/v1/service-accounts/"+id, "").header.Get("ETag"))
}

func TestVersions_ThirtyTwoWritersAreEachCountedOnce(t *testing.T) {
	t.Parallel()
	o := newOrganization(t)
	id := o.as(t, o.owner, "POST", "/v1/service-accounts", `{"name":"robot"}`).get(t, http.StatusOK, "id")
	var wg sync.WaitGroup
	acknowledged := make(chan int, 32*8)
	for w := range 32 {
		wg.Go(func() {
			for i := range 8 {
				etag := o.as(t, o.owner, "GET", "/v1/service-accounts/"+id, "").header.Get("ETag")
				a := o.do(t, call{
					method: "PATCH", host: o.host, path: "/v1/service-accounts/" + id, bearer: o.owner,
					body: fmt.Sprintf(`{"description":"%d/%d"}`, w, i), header: map[string]string{"If-Match": etag},
				})
				acknowledged <- a.status
			}
		})
	}
	wg.Wait()
	close(acknowledged)
	done := 0
	for status := range acknowledged {
		require.Contains(t, []int{http.StatusOK, http.StatusPreconditionFailed, http.StatusServiceUnavailable}, status)
		if status == http.StatusOK {
			done++
		}
	}
	require.Positive(t, done)
	require.Equal(t, fmt.Sprintf(`"%d"`, done+1), o.as(t, o.owner, "GET", "/v1/service-accounts/"+id, "").header.Get("ETag"))
}

// A process that dies between its commit and Redis leaves its lock behind; so
// does a repetition that is under way. The mark answers all the same.
func TestIdempotency_AStrandedLockDoesNotHideTheAnswer(t *testing.T) {
	t.Parallel()
	o := newOrganization(t)
	client := o.withRedis(t)
	for _, c := range []struct{ host, bearer, path, body, id string }{
		{o.host, o.owner, "/v1/service-accounts", `{"name":"robot"}`, "id"},
		{centralHost, o.operator, "/v1/tenants", order("stranded"), "id"},
	} {
		ask := func() answer {
			return o.do(t, call{method: "POST", host: c.host, path: c.path, bearer: c.bearer, body: c.body, header: map[string]string{"Idempotency-Key": "stranded"}})
		}
		first := ask()
		keys := map[string]string{}
		for iter := client.Scan(t.Context(), 0, "tenantry:once:*", 100).Iterator(); iter.Next(t.Context()); {
			// "D", the fingerprint, the reply: made a lock of the same fingerprint.
			if v := client.Get(t.Context(), iter.Val()).Val(); len(v) > 33 && v[0] == 'D' {
				keys[iter.Val()] = "L" + v[1:33] + "a dead process's"
			}
		}
		for k, v := range keys {
			require.NoError(t, client.Set(t.Context(), k, v, time.Minute).Err())
		}
		again := ask()
		require.Equal(t, first.status, again.status, again.body)
		require.Equal(t, first.get(t, first.status, c.id), again.get(t, first.status, c.id))
		require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
		for k := range keys {
			require.NoError(t, client.Del(t.Context(), k).Err())
		}
	}
}
