package direct

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	tlog "go.temporal.io/sdk/log"

	"tenantry/internal/cli"
	"tenantry/internal/clock"
	"tenantry/internal/config"
	"tenantry/internal/verify"
)

// askTime bounds one question to Temporal.
const askTime = 10 * time.Second

// scan leaves the workflows out when no Temporal is configured; the report
// says so.
func scan(ctx context.Context, c config.Config, log *slog.Logger) (cli.VerifyReport, error) {
	deps := verify.Deps{ProvisionerURL: c.ProvisionerURL.Reveal(), Clock: clock.System}
	if c.TemporalAddress != "" {
		tc, err := client.NewLazyClient(client.Options{HostPort: c.TemporalAddress, Namespace: c.TemporalNamespace, Logger: tlog.NewStructuredLogger(log)})
		if err != nil {
			return nil, fmt.Errorf("temporal client: %w", err)
		}
		defer tc.Close()
		deps.OpenWorkflow = func(ctx context.Context, id string) (bool, error) { return open(ctx, tc, id) }
	}
	r, err := verify.Scan(ctx, deps)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// open reports whether the latest run of a workflow is running.
func open(ctx context.Context, tc client.Client, id string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	d, err := tc.DescribeWorkflowExecution(ctx, id, "")
	var unknown *serviceerror.NotFound
	if errors.As(err, &unknown) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask Temporal: %w", err)
	}
	return d.GetWorkflowExecutionInfo().GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING, nil
}
