package worker

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	sdk "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"tenantry/internal/devstack"
)

// planted are values that no history may show, by where they are planted.
var planted = map[string]string{
	"input":            "Ada Lovelace-Planted-Input",
	"result":           "ada.result@planted.example",
	"activity input":   "planted-token-Zm9vYmFy-activity-input",
	"activity result":  "planted-token-Zm9vYmFy-activity-result",
	"activity error":   "duplicate key (email)=(ada.error@planted.example)",
	"error details":    "ada.details@planted.example",
	"workflow error":   "planted workflow error text",
	"static summary":   "planted summary for Ada",
	"static details":   "planted details for Ada",
	"activity summary": "planted activity summary",
	"heartbeat":        "planted heartbeat",
	"query result":     "planted query result",
	"timer summary":    "planted timer summary",
}

func controlActivity(ctx context.Context, _ string) (string, error) {
	activity.RecordHeartbeat(ctx, planted["heartbeat"])
	if activity.GetInfo(ctx).Attempt == 1 {
		return "", temporal.NewApplicationError(planted["activity error"], "CODE", planted["error details"])
	}
	return planted["activity result"], nil
}

func controlWorkflow(ctx workflow.Context, _ string, fail bool) (string, error) {
	_ = workflow.SetQueryHandler(ctx, "q", func() (string, error) { return planted["query result"], nil })
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 10 * time.Second, Summary: planted["activity summary"],
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Millisecond, MaximumAttempts: 2},
	})
	if err := workflow.NewTimerWithOptions(ctx, time.Millisecond, workflow.TimerOptions{Summary: planted["timer summary"]}).Get(ctx, nil); err != nil {
		return "", err
	}
	if fail { // the text of a failed attempt stays in a history when it is the last
		ctx = workflow.WithRetryPolicy(ctx, temporal.RetryPolicy{MaximumAttempts: 1})
	}
	if err := workflow.ExecuteActivity(ctx, controlActivity, planted["activity input"]).Get(ctx, nil); err != nil {
		return "", errors.Join(errors.New(planted["workflow error"]), err)
	}
	return planted["result"], nil
}

// bytesOfControl runs the control workflows and answers all the server keeps.
func bytesOfControl(t *testing.T, codec *Codec) []byte {
	dir := t.TempDir()
	server := devServer(t, devstack.TemporalOptions{DBFile: filepath.Join(dir, "temporal.db")})
	c := dial(t, server.Address, codec)
	w := sdk.New(c, "control", sdk.Options{})
	w.RegisterWorkflow(controlWorkflow)
	w.RegisterActivity(controlActivity)
	require.NoError(t, w.Start())
	ctx := within(t, time.Minute)
	for id, fail := range map[string]bool{"good": false, "bad": true} {
		run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
			ID: id, TaskQueue: "control", StaticSummary: planted["static summary"], StaticDetails: planted["static details"],
		}, controlWorkflow, planted["input"], fail)
		require.NoError(t, err)
		var result string
		err = run.Get(ctx, &result)
		if fail {
			require.ErrorContains(t, err, planted["workflow error"], "the owner of the keys reads it")
		} else {
			require.NoError(t, err)
			require.Equal(t, planted["result"], result)
		}
		_, err = c.QueryWorkflow(ctx, id, "", "q")
		require.NoError(t, err)
	}
	w.Stop()
	require.NoError(t, server.Stop())
	var all []byte
	files, err := filepath.Glob(filepath.Join(dir, "*")) // the file, its log, its index
	require.NoError(t, err)
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		all = append(all, b...)
	}
	require.True(t, bytes.Contains(all, []byte("controlWorkflow")), "the scan must see what is plain")
	return all
}

// neverStored are planted where a server keeps nothing: in a query's answer,
// and in a heartbeat that the attempt's end overtakes.
var neverStored = map[string]bool{"query result": true, "heartbeat": true}

func TestHistory_HidesEveryPlantedValue(t *testing.T) {
	t.Parallel()
	all := bytesOfControl(t, newCodec(t, "k1"))
	for where, value := range planted {
		require.False(t, bytes.Contains(all, []byte(value)), where)
	}
	require.True(t, bytes.Contains(all, []byte(payloadEncoding)))
}

func TestHistory_ShowsThePlantedValuesWithoutTheCodec(t *testing.T) {
	t.Parallel()
	all := bytesOfControl(t, nil)
	for where, value := range planted {
		if !neverStored[where] {
			require.True(t, bytes.Contains(all, []byte(value)), where)
		}
	}
}
