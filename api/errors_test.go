package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"github.com/stretchr/testify/require"

	authv1 "tenantry/api/gen/tenantry/auth/v1"
	"tenantry/internal/apperr"
	"tenantry/internal/db"
)

func TestErrors_EveryKindHasACodeAndAStatus(t *testing.T) {
	t.Parallel()
	for _, k := range apperr.Kinds {
		code, ok := codes[k]
		require.True(t, ok, k)
		require.NotZero(t, statuses[code], k)
	}
	require.Len(t, codes, len(apperr.Kinds))
}

func TestErrors_ReadTheSameAtBothDoors(t *testing.T) {
	t.Parallel()
	for _, k := range apperr.Kinds {
		t.Run(k.String(), func(t *testing.T) {
			t.Parallel()
			f := setup(t, func(f *fake) {
				f.login = func(context.Context, *authv1.LoginRequest) (*authv1.LoginResponse, error) {
					e := apperr.New(k, "BUSY", "Come back.").WithRetryAfter(1500 * time.Millisecond).WithCause(errors.New("secret cause"))
					e.Fields = []apperr.Field{{Path: "email", Rule: "string.email", Message: "must be one"}}
					return nil, fmt.Errorf("while logging in: %w", e)
				}
			})
			id := map[string]string{"X-Request-Id": "same-id"}
			rpc := f.do(t, call{method: "POST", host: acmeHost, path: loginRPC, body: goodLogin, header: id})
			rest := f.do(t, call{method: "POST", host: acmeHost, path: "/v1/auth/login", body: goodLogin, header: id})
			require.Equal(t, rpc.problem(t), rest.problem(t))
			require.Equal(t, rpc.status, rest.status)
			require.Equal(t, statuses[codes[k]], rest.status)
			require.NotContains(t, rpc.body+rest.body, "secret cause")
			if k == apperr.Internal {
				require.Equal(t, internalMessage, rest.problem(t).Message)
				return
			}
			require.Equal(t, "2", rpc.header.Get("Retry-After"))
			require.Equal(t, "2", rest.header.Get("Retry-After"))
			require.Equal(t, map[string]string{"email": "string.email"}, rest.problem(t).Fields)
		})
	}
}

func TestErrors_InternalIsLoggedWholeAndAnsweredWithAFixedSentence(t *testing.T) {
	t.Parallel()
	for name, login := range map[string]func(context.Context, *authv1.LoginRequest) (*authv1.LoginResponse, error){
		"foreign error": func(context.Context, *authv1.LoginRequest) (*authv1.LoginResponse, error) {
			return nil, errors.New("relation missing")
		},
		"panic": func(context.Context, *authv1.LoginRequest) (*authv1.LoginResponse, error) { panic("relation missing") },
		"error of a peer": func(context.Context, *authv1.LoginRequest) (*authv1.LoginResponse, error) {
			return nil, connect.NewError(connect.CodeNotFound, "relation missing").WithRemote()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t, func(f *fake) { f.login = login })
			for _, path := range []string{loginRPC, "/v1/auth/login"} {
				a := f.do(t, call{method: "POST", host: acmeHost, path: path, body: goodLogin})
				p := a.problem(t)
				require.Equal(t, http.StatusInternalServerError, a.status)
				require.Equal(t, problem{Code: "internal", Message: internalMessage, Reason: "INTERNAL", Request: p.Request, Fields: p.Fields,
					Locale: "en", Said: internalMessage, FieldsSaid: p.FieldsSaid}, p)
				require.NotContains(t, a.body, "relation")
				require.Contains(t, f.logs.String(), "relation missing")
				require.Contains(t, f.logs.String(), p.Request)
			}
		})
	}
}

func TestErrors_ADeadlineIsUnavailableNotInternal(t *testing.T) {
	t.Parallel()
	f := setup(t, func(f *fake) {
		f.login = func(ctx context.Context, _ *authv1.LoginRequest) (*authv1.LoginResponse, error) {
			<-ctx.Done()
			return nil, fmt.Errorf("query: %w", ctx.Err())
		}
	})
	a := f.do(t, call{method: "POST", host: acmeHost, path: loginRPC, body: goodLogin, header: map[string]string{"Connect-Timeout-Ms": "20"}})
	require.Equal(t, http.StatusServiceUnavailable, a.status)
	require.Equal(t, "DEADLINE", a.problem(t).Reason)
	require.NotContains(t, f.logs.String(), "internal error")
}

func TestErrors_ACallersOwnDeadlineIsNotBlamedOnTheDatabase(t *testing.T) {
	t.Parallel()
	own := make(chan struct{})
	f := setup(t, func(f *fake) {
		f.login = func(ctx context.Context, _ *authv1.LoginRequest) (*authv1.LoginResponse, error) {
			cause := context.DeadlineExceeded // the database's own limit, not the caller's
			select {
			case <-own:
			default:
				<-ctx.Done()
				cause = ctx.Err()
			}
			return nil, db.Classify(fmt.Errorf("query: %w", cause), "TENANT_UNREACHABLE")
		}
	})
	c := call{method: "POST", host: acmeHost, path: loginRPC, body: goodLogin, header: map[string]string{"Connect-Timeout-Ms": "20"}}
	require.Equal(t, "DEADLINE", f.do(t, c).problem(t).Reason)
	close(own)
	c.header = nil
	require.Equal(t, "TENANT_UNREACHABLE", f.do(t, c).problem(t).Reason)
}

func TestErrors_AClientThatLeavesIsNoServerError(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	f := setup(t, func(f *fake) {
		f.login = func(ctx context.Context, _ *authv1.LoginRequest) (*authv1.LoginResponse, error) {
			close(begun)
			<-ctx.Done()
			return nil, errors.New("conn busy") // what a driver makes of it
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "POST", f.url+"/v1/auth/login", strings.NewReader(goodLogin))
	require.NoError(t, err)
	req.Host = acmeHost
	req.Header.Set("Content-Type", "application/json")
	go func() { <-begun; cancel() }()
	_, err = noRedirects.Do(req) //nolint:bodyclose // there is no response
	require.Error(t, err)
	require.Eventually(t, func() bool { return strings.Contains(f.logs.String(), `"status":499`) }, 5*time.Second, 5*time.Millisecond)
	require.NotContains(t, f.logs.String(), "internal error")
}
