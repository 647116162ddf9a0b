package ratelimit

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Timeout is how long one request waits for Redis, where nothing else is said.
const Timeout = 50 * time.Millisecond

//go:embed gcra.lua
var source string

var script = redis.NewScript(source)

// Connect makes a client that gives up after timeout, [Timeout] for 0: the
// client of everything else waits longer, retries, and does not look at its
// context while it reads.
func Connect(url string, timeout time.Duration) (*redis.Client, error) {
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, errors.New("redis URL: cannot be read") // the text holds the URL
	}
	timeout = cmp.Or(timeout, Timeout)
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = timeout, timeout, timeout, timeout
	o.ContextTimeoutEnabled, o.MaxRetries, o.DialerRetries = true, -1, 1
	// Nothing on a new connection but what it is for.
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(o), nil
}

// ask lets Redis decide: EVALSHA, and EVAL where the script is not known yet.
func ask(ctx context.Context, c redis.Scripter, timeout time.Duration, keys []Key) (Decision, error) {
	// Detached: a client that leaves says nothing about Redis.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	names, args := make([]string, len(keys)), make([]any, 0, 2*len(keys))
	for i, k := range keys {
		names[i] = k.redis()
		args = append(args, k.Limit.interval(), k.Limit.Burst)
	}
	answer, err := script.Run(ctx, c, names, args...).Int64Slice()
	if err != nil {
		return Decision{}, err
	}
	if len(answer) != len(keys)+1 {
		return Decision{}, fmt.Errorf("ratelimit: the script answered %d numbers for %d keys", len(answer), len(keys))
	}
	return decide(answer[0] == 1, keys, answer[1:]), nil
}
