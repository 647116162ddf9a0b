package test

import (
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/systest"
)

func TestTenantCreate_ProvisionsAndReports(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := within(t, time.Minute)
	out, err := s.Output(ctx, "tenant", "create", "--slug", "from-cli", "--name", "From the CLI", "--owner-email", "owner@from-cli.example", "--json")
	require.NoError(t, err)
	var op systest.Operation
	require.NoError(t, json.Unmarshal([]byte(out), &op), out)
	whole(t, s, op, "from-cli")
	require.Len(t, op.Steps, len(provisioningSteps))
	_, err = s.Owner(ctx, systest.NewOrder("from-cli"), password)
	require.NoError(t, err)

	ran, err := s.CLI(ctx, "tenant", "create", "--slug", "from-cli", "--name", "Again", "--owner-email", "other@from-cli.example", "--json")
	require.NoError(t, err)
	require.Equal(t, 1, ran.Code)
	require.Contains(t, ran.Stderr, "SLUG_TAKEN")
}

// TestReserveOnly_StartsByThePrintedLine: the workflow that an operator starts
// by hand is the one the relay would have started, and can be read in Temporal.
func TestReserveOnly_StartsByThePrintedLine(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := within(t, time.Minute)
	out, err := s.Output(ctx, "tenant", "create", "--slug", "by-hand", "--name", "By hand", "--owner-email", "owner@by-hand.example", "--reserve-only", "--json")
	require.NoError(t, err)
	var reserved struct {
		systest.Operation
		Start string `json:"start"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &reserved), out)
	require.True(t, reserved.Is("pending"), out)
	require.NotContains(t, reserved.Start, "by-hand", "the line holds ids only")

	ran, err := s.Shell(ctx, reserved.Start)
	require.NoError(t, err)
	require.Zero(t, ran.Code, ran.Stderr)
	status, err := s.WaitWorkflow(ctx, reserved.WorkflowID)
	require.NoError(t, err)
	require.Equal(t, "Completed", status)
	a, err := s.Get(ctx, "", "/v1/operations/"+reserved.ID, s.OperatorKey)
	require.NoError(t, err)
	var op systest.Operation
	require.NoError(t, a.JSON(&op))
	whole(t, s, op, "by-hand")
	_, err = s.Owner(ctx, systest.NewOrder("by-hand"), password)
	require.NoError(t, err)

	// The line again: the id is used for ever.
	ran, err = s.Shell(ctx, reserved.Start)
	require.NoError(t, err)
	missing, err := s.Missing(ctx, op.TenantID, "by-hand")
	require.NoError(t, err)
	require.Empty(t, missing, "a second start (exit code %d) changes nothing: %s", ran.Code, ran.Stdout)
}

// TestWorkflow_ReadableWithTheCodecOnly: summary and live text are for an
// operator with the codec, and sealed for everybody else.
func TestWorkflow_ReadableWithTheCodecOnly(t *testing.T) {
	t.Parallel()
	s := own(t, systest.Options{})
	ctx := within(t, time.Minute)
	require.NoError(t, s.StartCodec(ctx))
	op, err := s.Provision(ctx, systest.NewOrder("readable"))
	require.NoError(t, err)
	summary := "Provision tenant " + op.TenantID
	for _, command := range [][]string{
		{"workflow", "describe", "--workflow-id", op.WorkflowID},
		{"workflow", "metadata", "--workflow-id", op.WorkflowID, "--output", "json"},
		{"workflow", "show", "--workflow-id", op.WorkflowID, "--output", "json"},
	} {
		sealed, err := s.TemporalCLI(ctx, command...)
		require.NoError(t, err)
		require.Zero(t, sealed.Code, sealed.Stderr)
		require.NotContains(t, sealed.Stdout, "Provision tenant", "without the codec: %v", command)
		require.NotContains(t, sealed.Stdout, "Provisioned", "without the codec: %v", command)
	}
	decode := []string{"--codec-endpoint", s.CodecURL(), "--codec-auth", "Bearer " + s.Setting("CODEC_TOKEN")}
	described, err := s.TemporalCLI(ctx, append([]string{"workflow", "describe", "--workflow-id", op.WorkflowID}, decode...)...)
	require.NoError(t, err)
	require.Contains(t, described.Stdout, summary, described.Stderr)
	require.Contains(t, liveText(t, s, op.WorkflowID), "Provisioned.")
}

// liveText reads a workflow's current details and decodes them as the Temporal
// UI does. The CLI cannot: it wants to encode the query's empty input.
func liveText(t *testing.T, s *systest.System, workflowID string) string {
	t.Helper()
	ctx := within(t, 30*time.Second)
	ran, err := s.TemporalCLI(ctx, "workflow", "metadata", "--workflow-id", workflowID, "--output", "json")
	require.NoError(t, err)
	require.Zero(t, ran.Code, ran.Stderr)
	var sealed struct {
		QueryResult json.RawMessage `json:"queryResult"`
	}
	require.NoError(t, json.Unmarshal([]byte(ran.Stdout), &sealed), ran.Stdout)
	a, err := s.Call(ctx, http.MethodPost, s.CodecURL()+"/decode", s.Setting("CODEC_TOKEN"), sealed.QueryResult)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.Status, a.String())
	var plain struct {
		Payloads []struct {
			Data []byte `json:"data"`
		} `json:"payloads"`
	}
	require.NoError(t, a.JSON(&plain))
	require.Len(t, plain.Payloads, 1)
	return string(plain.Payloads[0].Data)
}

func TestHookSign_SignsWhatTheHookAccepts(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := within(t, time.Minute)
	body, err := json.Marshal(systest.NewOrder("signed"))
	require.NoError(t, err)
	out, err := s.Output(ctx, "hook", "sign", "--secret", s.Hook.Secret, "--body", string(body), "--json")
	require.NoError(t, err)
	headers := map[string]string{}
	require.NoError(t, json.Unmarshal([]byte(out), &headers), out)
	m := systest.Message{Source: s.Hook.Source, Body: body, Header: http.Header{"Content-Type": {"application/json"}}}
	for name, value := range headers {
		m.Header.Set(name, value)
	}
	a, err := s.Send(ctx, m)
	require.NoError(t, err)
	op, err := systest.Accepted(a)
	require.NoError(t, err)
	op, err = s.WaitOperation(ctx, op.ID)
	require.NoError(t, err)
	whole(t, s, op, "signed")
}

// TestBrokenConfiguration_ReportsAllAndStartsNothing runs the servers with
// several mistakes at once.
func TestBrokenConfiguration_ReportsAllAndStartsNothing(t *testing.T) {
	t.Parallel()
	s := shared(t)
	port, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := port.Addr().String()
	require.NoError(t, port.Close())
	env := []string{
		"TENANTRY_PUBLIC_URL=ftp://planted.example", "TENANTRY_API_ADDR=" + address, "TENANTRY_WORKER_ADDR=" + address,
		"TENANTRY_CENTRAL_URL=mysql://user:planted@127.0.0.1/x", "TENANTRY_KEK_KEYS=planted", "TENANTRY_POOL_BUDGET=planted",
		"TENANTRY_PUBLC_URL=http://planted.example", "TENANTRY_LOG_LEVEL=planted",
	}
	for _, process := range []string{"api", "worker"} {
		ran, err := s.Command(within(t, 30*time.Second), env, process)
		require.NoError(t, err)
		require.Equal(t, 2, ran.Code, ran.Stderr)
		for _, name := range []string{"PUBLIC_URL", "CENTRAL_URL", "KEK_KEYS", "POOL_BUDGET", "PUBLC_URL", "LOG_LEVEL", "REDIS_URL", "TEMPORAL_ADDRESS", "CODEC_KEYS"} {
			require.Contains(t, ran.Stderr, "TENANTRY_"+name, "%s is wrong or missing", name)
		}
		require.NotContains(t, ran.Stdout+ran.Stderr, "planted", "no value is repeated")
		require.NotContains(t, strings.ToLower(ran.Stderr), "listening")
		_, err = net.DialTimeout("tcp", address, time.Second)
		require.Error(t, err)
	}
}
