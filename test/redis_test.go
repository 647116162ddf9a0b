package test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/stretchr/testify/require"

	"tenantry/internal/devstack"
	"tenantry/internal/systest"
)

// behindProxy starts a system whose processes reach Redis through a proxy.
func behindProxy(t *testing.T) (*systest.System, *toxiproxy.Proxy) {
	t.Helper()
	s := own(t, systest.Options{Idle: true})
	p := proxied(t, devstack.Loopback(s.Redis.Port))
	redis := "TENANTRY_REDIS_URL=redis://" + p.Listen + "/0"
	ctx := within(t, 2*time.Minute)
	require.NoError(t, s.StartWorker(ctx, redis))
	require.NoError(t, s.StartAPI(ctx, redis))
	var err error
	s.Hook, err = s.CreateHookSource(ctx, "billing")
	require.NoError(t, err)
	return s, p
}

// TestRedisSlowOrGone_NobodyWaitsAndKeyedCallsStillHappenOnce: with Redis two
// seconds away, and then with none, reads and writes go on, the in-process
// limiter and the durable mark stand in, the metrics say so, and when Redis is
// back it is used again.
func TestRedisSlowOrGone_NobodyWaitsAndKeyedCallsStillHappenOnce(t *testing.T) {
	t.Parallel()
	s, p := behindProxy(t)
	o := systest.NewOrder("redisless")
	_, token := tenant(t, s, o)
	key := apiKey(t, s, o.Slug, token, "users.read", "apikeys.manage")
	ctx := within(t, 4*time.Minute)

	round := func(name string, down int) {
		t.Helper()
		for i := range 8 {
			began := time.Now()
			made := keyed(t, s, o.Slug, key, fmt.Sprintf("%s-%d", name, i), "")
			again := keyed(t, s, o.Slug, key, fmt.Sprintf("%s-%d", name, i), "true")
			require.Equal(t, string(made.Body), string(again.Body), "the first answer")
			a, err := s.Get(ctx, o.Slug, "/v1/users", key)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, a.Status, a.String())
			// Three calls, each of which may ask Redis once in vain for the limit
			// and once for the key. Two seconds is what one answer of it takes.
			require.Less(t, time.Since(began), 5*time.Second, name)
		}
		fallback(t, s, ctx, o.Slug, key, down)
	}
	round("near", 0)
	poison(t, p, toxic{"far", "latency", "downstream", 1, map[string]int64{"latency": 2000}})
	round("far", 1)
	require.NoError(t, p.Toxics.RemoveToxic(ctx, "far"))
	fallback(t, s, ctx, o.Slug, key, 0)
	round("near-again", 0)
	p.Stop()
	round("gone", 1)
	require.NoError(t, p.Start())
	fallback(t, s, ctx, o.Slug, key, 0)
	round("back", 0)
	clean(t, s)
}

// keyed makes a service account with the name as its idempotency key.
func keyed(t *testing.T, s *systest.System, slug, bearer, name, replayed string) systest.Answer {
	t.Helper()
	a, err := s.Do(within(t, time.Minute), systest.Request{
		Method: http.MethodPost, URL: s.TenantURL(slug, "/v1/service-accounts"), Body: []byte(`{"name":` + strconv.Quote(name) + `}`),
		Header: http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + bearer}, "Idempotency-Key": {name}},
	})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.Status, "%s: %s", name, a)
	require.Equal(t, replayed, a.Header.Get("Idempotency-Replayed"), name)
	return a
}

// fallback waits until both users of Redis say whether they go on without it.
// They say what their latest call met, so calls are made meanwhile.
func fallback(t *testing.T, s *systest.System, ctx context.Context, slug, bearer string, down int) {
	t.Helper()
	n := 0
	what := fmt.Sprintf("tenantry_redis_fallback is %d", down)
	require.NoError(t, systest.Until(ctx, what, func(context.Context) (bool, error) {
		n++
		keyed(t, s, slug, bearer, fmt.Sprintf("metric-%d-%d", time.Now().UnixNano(), n), "")
		text := metricsOf(t, s, "METRICS_ADDR")
		return strings.Contains(text, fmt.Sprintf(`tenantry_redis_fallback{component="ratelimit"} %d`, down)) &&
			strings.Contains(text, fmt.Sprintf(`tenantry_redis_fallback{component="idempotency"} %d`, down)), nil
	}))
}
