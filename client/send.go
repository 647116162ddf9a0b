package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	commonv1 "tenantry/api/gen/tenantry/common/v1"
)

const headerKey = "Idempotency-Key"

// sender is the HTTP client below Connect. It sees whole requests, so an
// attempt repeats the same bytes under the same key.
type sender struct {
	opts Options
	http http.Client
	// pause waits between attempts.
	pause func(context.Context, time.Duration) error
}

func newSender(o Options) *sender {
	s := &sender{opts: o, pause: sleep}
	if o.HTTP != nil {
		s.http = *o.HTTP
	}
	// The credential is for this address alone.
	s.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return s
}

// Do sends a request as often as it may and must be.
func (s *sender) Do(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close() // read whole
	}
	repeatable := s.prepare(r)
	for attempt := 1; ; attempt++ {
		try := r.Clone(r.Context())
		try.Body, try.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		resp, err := s.http.Do(try)
		wait, again := s.next(attempt, resp, err)
		if !repeatable || !again || !lasts(r.Context(), wait) {
			return resp, err
		}
		if resp != nil {
			_, _ = io.CopyN(io.Discard, resp.Body, 1<<16) // so that the connection is used again
			_ = resp.Body.Close()
		}
		if err := s.pause(r.Context(), wait); err != nil {
			return nil, err
		}
	}
}

// prepare sets the headers and reports whether the call may be repeated.
func (s *sender) prepare(r *http.Request) bool {
	if s.opts.Token != "" {
		r.Header.Set("Authorization", "Bearer "+s.opts.Token)
	}
	if s.opts.Language != "" {
		r.Header.Set("Accept-Language", s.opts.Language)
	}
	if TakesKey(r.URL.Path) {
		key, _ := r.Context().Value(keyOf{}).(string)
		if key == "" {
			key = r.Header.Get(headerKey)
		}
		if key == "" {
			key = newKey()
		}
		r.Header.Set(headerKey, key)
		return true
	}
	return policyOf(r.URL.Path).GetRateClass() == commonv1.RateClass_RATE_CLASS_READ
}

// TakesKey reports whether the RPC of a procedure ("/package.Service/Method")
// takes an Idempotency-Key; the API refuses one elsewhere.
func TakesKey(procedure string) bool {
	return policyOf(procedure).GetIdempotency() == commonv1.Idempotency_IDEMPOTENCY_KEY
}

// next says whether another attempt is worth it, and when.
func (s *sender) next(attempt int, resp *http.Response, err error) (time.Duration, bool) {
	if attempt >= s.opts.Attempts {
		return 0, false
	}
	backoff := 100 * time.Millisecond << (attempt - 1)
	wait := min(backoff/2+mathrand.N(backoff), s.opts.MaxWait)
	if err != nil {
		return wait, true
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
	case http.StatusConflict:
		// Only a call that is still running asks to come back.
		if resp.Header.Get("Retry-After") == "" {
			return 0, false
		}
	case http.StatusBadGateway, http.StatusGatewayTimeout: // a proxy in between
	default:
		return 0, false
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds >= 0 {
		asked := time.Duration(seconds) * time.Second
		return max(asked, wait), asked <= s.opts.MaxWait
	}
	return wait, true
}

// policyOf answers the policy of the RPC at a path; none for a foreign one.
func policyOf(path string) *commonv1.Policy {
	name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(path, "/"), "/", "."))
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return nil
	}
	p, _ := proto.GetExtension(d.Options(), commonv1.E_Policy).(*commonv1.Policy)
	return p
}

// newKey is 128 random bits.
func newKey() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// lasts reports whether ctx lasts longer than a pause.
func lasts(ctx context.Context, d time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() == nil && (!ok || time.Until(deadline) > d)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
