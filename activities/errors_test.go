package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"tenantry/internal/apperr"
)

// again says for every kind whether another attempt may go better.
var again = map[apperr.Kind]bool{
	apperr.Internal: true, apperr.RateLimited: true, apperr.Unavailable: true,
	apperr.Invalid: false, apperr.Unauthenticated: false, apperr.Forbidden: false, apperr.NotFound: false,
	apperr.AlreadyExists: false, apperr.Conflict: false, apperr.Precondition: false,
}

// lines is a log of the SDK.
type lines struct{ strings.Builder }

func (l *lines) Debug(m string, kv ...any) { fmt.Fprintln(l, m, kv) }
func (l *lines) Info(m string, kv ...any)  { fmt.Fprintln(l, m, kv) }
func (l *lines) Warn(m string, kv ...any)  { fmt.Fprintln(l, m, kv) }
func (l *lines) Error(m string, kv ...any) { fmt.Fprintln(l, m, kv) }

// answered runs a mapper as an activity does.
func answered(t *testing.T, mapper func(context.Context, error) error, err error) (*temporal.ApplicationError, string) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	out := &lines{}
	suite.SetLogger(log.Logger(out))
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivityWithOptions(func(ctx context.Context) error { return mapper(ctx, err) }, activity.RegisterOptions{Name: "A"})
	_, failure := env.ExecuteActivity("A")
	var app *temporal.ApplicationError
	require.ErrorAs(t, failure, &app)
	return app, out.String()
}

func TestErrors_EveryKindIsRetryableOrNot(t *testing.T) {
	t.Parallel()
	require.Len(t, again, len(apperr.Kinds), "a new kind must be decided here")
	for _, k := range apperr.Kinds {
		err := fmt.Errorf("wrapped: %w", apperr.New(k, "SLUG_TAKEN", "public").WithCause(errors.New("text of the database")))
		app, logged := answered(t, forward, err)
		require.Equal(t, !again[k], app.NonRetryable(), k)
		require.Equal(t, "SLUG_TAKEN", app.Type(), k)
		require.Equal(t, k.String()+"/SLUG_TAKEN", app.Message(), k)
		require.NotContains(t, app.Error(), "text of the database")
		require.Contains(t, logged, "text of the database", "the log has it whole")
	}
}

func TestErrors_AForeignErrorIsTriedAgainWithoutItsText(t *testing.T) {
	t.Parallel()
	app, logged := answered(t, forward, errors.New("dial 10.0.0.1: ada@example.org"))
	require.False(t, app.NonRetryable())
	require.Equal(t, "INTERNAL", app.Type())
	require.NotContains(t, app.Error(), "ada")
	require.Contains(t, logged, "10.0.0.1")
}

func TestErrors_ACompensationIsAlwaysTriedAgain(t *testing.T) {
	t.Parallel()
	for _, k := range apperr.Kinds {
		app, _ := answered(t, backward, apperr.New(k, "TENANT_STATE", "public"))
		require.False(t, app.NonRetryable(), k)
	}
}

func TestErrors_RefusalsAreWhatTheDatabaseDecided(t *testing.T) {
	t.Parallel()
	require.False(t, refused(nil))
	for _, k := range apperr.Kinds {
		require.Equal(t, !again[k], refused(apperr.New(k, "X", "")), k)
	}
}
