package test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/systest"
)

// password is long enough for an account without a second factor.
const password = "a quiet harbour at four in the morning"

var (
	sharedOnce   sync.Once
	sharedSystem *systest.System
	errShared    error
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := endShared(); err != nil {
		fmt.Fprintln(os.Stderr, "the shared system:", err)
		code = 1
	}
	systest.RemoveBuilds()
	os.Exit(code)
}

// shared answers the system that quiet tests use together.
func shared(t *testing.T) *systest.System {
	t.Helper()
	sharedOnce.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()
		sharedSystem, errShared = systest.Start(ctx, systest.Options{})
	})
	require.NoError(t, errShared)
	t.Cleanup(func() { explain(t, sharedSystem) })
	return sharedSystem
}

// endShared wants the shared system to be clean after all tests.
func endShared() error {
	if sharedSystem == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	report, err := sharedSystem.Verify(ctx)
	if err == nil && !report.Clean() {
		err = fmt.Errorf("is not clean: %s", report.Stdout)
	}
	return errors.Join(err, sharedSystem.Close())
}

// own starts a system for this test alone.
func own(t *testing.T, opts systest.Options) *systest.System {
	t.Helper()
	s, err := systest.Start(within(t, 3*time.Minute), opts)
	require.NoError(t, err)
	t.Cleanup(func() {
		explain(t, s)
		if err := s.Close(); err != nil {
			t.Errorf("close the system: %v", err)
		}
	})
	return s
}

func explain(t *testing.T, s *systest.System) {
	if t.Failed() {
		t.Logf("logs of the system:\n%s", s.Logs(40))
	}
}

// within bounds a part of a test.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// clean wants `tenantry verify` to find nothing at all.
func clean(t *testing.T, s *systest.System) {
	t.Helper()
	report, err := s.Verify(within(t, time.Minute))
	require.NoError(t, err)
	require.True(t, report.Clean(), report.Stdout)
	require.Empty(t, report.Findings, report.Stdout)
}

// whole wants a provisioned tenant, gone nothing of it.
func whole(t *testing.T, s *systest.System, op systest.Operation, slug string) {
	t.Helper()
	require.True(t, op.Is("succeeded"), "%+v", op)
	missing, err := s.Missing(within(t, 30*time.Second), op.TenantID, slug)
	require.NoError(t, err)
	require.Empty(t, missing)
}

func gone(t *testing.T, s *systest.System, op systest.Operation, slug string) {
	t.Helper()
	require.True(t, op.Is("failed"), "%+v", op)
	left, err := s.Residue(within(t, 30*time.Second), op.TenantID, slug)
	require.NoError(t, err)
	require.Empty(t, left)
}

// tenant provisions a tenant whose owner has logged in, and answers the token.
func tenant(t *testing.T, s *systest.System, o systest.Order) (systest.Operation, string) {
	t.Helper()
	ctx := within(t, time.Minute)
	op, err := s.Provision(ctx, o)
	require.NoError(t, err)
	token, err := s.Owner(ctx, o, password)
	require.NoError(t, err)
	return op, token
}

// register asks for an account; the answer must not tell anything.
func register(t *testing.T, s *systest.System, slug, email string) {
	t.Helper()
	a, err := s.Post(within(t, 30*time.Second), slug, "/v1/auth/register", "",
		map[string]string{"name": "Person " + email, "email": email, "password": password})
	require.NoError(t, err)
	require.Equal(t, 200, a.Status, a.String())
	require.JSONEq(t, `{}`, string(a.Body))
}

// settled waits until the tenant's outbox holds nothing that waits.
func settled(t *testing.T, s *systest.System, tenantID string) {
	t.Helper()
	ctx := within(t, 30*time.Second)
	database, err := systest.Value[string](ctx, s, "", `SELECT database_name FROM tenants WHERE id = $1`, tenantID)
	require.NoError(t, err)
	require.NoError(t, systest.Until(ctx, "the outbox of "+tenantID+" is empty", func(ctx context.Context) (bool, error) {
		waiting, err := systest.Value[int64](ctx, s, database, `SELECT count(*) FROM outbox WHERE done_at IS NULL`)
		return waiting == 0, err
	}))
}
