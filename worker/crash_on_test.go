//go:build crashpoints

package worker

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	sdk "go.temporal.io/sdk/worker"
)

// crashWorld runs one activity between its crash points.
type crashWorld struct {
	env   *testsuite.TestActivityEnvironment
	runs  int
	kills int
}

func crashSetup(t *testing.T, text, marker string) *crashWorld {
	t.Helper()
	c, err := parseCrashes(text, marker)
	require.NoError(t, err)
	var suite testsuite.WorkflowTestSuite
	w := &crashWorld{env: suite.NewTestActivityEnvironment()}
	c.kill = func() { w.kills++ }
	w.env.SetWorkerOptions(sdk.Options{Interceptors: []interceptor.WorkerInterceptor{c}})
	w.env.RegisterActivityWithOptions(func(context.Context) (string, error) { w.runs++; return "done", nil },
		activity.RegisterOptions{Name: "CreateDatabase"})
	return w
}

func (w *crashWorld) run() error {
	_, err := w.env.ExecuteActivity("CreateDatabase")
	return err
}

func TestCrashPoints_FailBeforeAndAfter(t *testing.T) {
	t.Parallel()
	for when, runs := range map[string]int{"before": 0, "after": 1} {
		w := crashSetup(t, "fail=CreateDatabase:"+when, "")
		var app *temporal.ApplicationError
		require.ErrorAs(t, w.run(), &app)
		require.Equal(t, typeInjected, app.Type())
		require.True(t, app.NonRetryable())
		require.Equal(t, runs, w.runs)
	}
}

func TestCrashPoints_KillOnceForAllProcesses(t *testing.T) {
	t.Parallel()
	marker := filepath.Join(t.TempDir(), "killed")
	w := crashSetup(t, "kill=CreateDatabase:before,kill=CreateDatabase:after", marker)
	require.NoError(t, w.run())
	require.NoError(t, w.run())
	require.Equal(t, 1, w.kills)
	require.FileExists(t, marker)
	again := crashSetup(t, "kill=CreateDatabase:after", marker)
	require.NoError(t, again.run())
	require.Zero(t, again.kills)
	require.NoError(t, os.Remove(marker))
	require.NoError(t, again.run())
	require.Equal(t, 1, again.kills)
}

func TestCrashPoints_LeaveOtherActivitiesAlone(t *testing.T) {
	t.Parallel()
	w := crashSetup(t, "fail=DropRole:before,kill=DropRole:after", filepath.Join(t.TempDir(), "killed"))
	require.NoError(t, w.run())
	require.Equal(t, 1, w.runs)
	require.Zero(t, w.kills)
}

func TestCrashPoints_RefuseWhatTheyDoNotUnderstand(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"kill", "kill=X", "kill=X:now", "burn=X:after", "fail=:before", "fail=X:after,"} {
		_, err := parseCrashes(text, "m")
		require.Error(t, err, text)
	}
	_, err := parseCrashes("kill=X:after", "")
	require.Error(t, err)
}
