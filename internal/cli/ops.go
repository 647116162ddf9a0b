package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	operationsv1 "tenantry/api/gen/tenantry/operations/v1"
)

// Each call waits this long at most, so that a step shows soon after it is done.
const waitSlice = 1

func (a *app) opsCommand() *cobra.Command {
	return a.group("ops", "Watch and cancel operations",
		a.opCommand("get", "Show one operation", func(ctx context.Context, c *client, id string) (*operationsv1.Operation, error) {
			return call(ctx, c, c.operations.GetOperation, &operationsv1.GetOperationRequest{Id: id})
		}),
		a.opsListCommand(), a.opsWaitCommand(),
		a.opCommand("cancel", "Ask for an end; past its point of no return an operation ends as it would have",
			func(ctx context.Context, c *client, id string) (*operationsv1.Operation, error) {
				return call(ctx, c, c.operations.CancelOperation, &operationsv1.CancelOperationRequest{Id: id})
			}),
	)
}

func (a *app) opCommand(verb, short string, do func(context.Context, *client, string) (*operationsv1.Operation, error)) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: verb + " OPERATION_ID", Short: short, Args: cobra.ExactArgs(1),
		RunE: a.do(func(cmd *cobra.Command, args []string) error {
			c, _, err := a.connect()
			if err != nil {
				return err
			}
			o, err := do(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			return a.printOperation(viewOperation(o), asJSON)
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (a *app) opsWaitCommand() *cobra.Command {
	var asJSON bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "wait OPERATION_ID", Short: "Wait for an operation's end; exit 1 when it failed", Args: cobra.ExactArgs(1),
		RunE: a.do(func(cmd *cobra.Command, args []string) error {
			c, _, err := a.connect()
			if err != nil {
				return err
			}
			o, err := call(cmd.Context(), c, c.operations.GetOperation, &operationsv1.GetOperationRequest{Id: args[0]})
			if err != nil {
				return err
			}
			op, err := a.waitFor(cmd.Context(), c, viewOperation(o), timeout)
			if err != nil {
				return err
			}
			if err := a.printOperation(op, asJSON); err != nil {
				return err
			}
			return a.outcome(op)
		}),
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "longest wait")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (a *app) opsListCommand() *cobra.Command {
	l := &listFlags{}
	cmd := &cobra.Command{
		Use: "list", Short: "List operations, newest first", Args: cobra.NoArgs,
		RunE: a.do(func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.connect()
			if err != nil {
				return err
			}
			return walk(cmd.Context(), a, l, "operations", operationHead, operationView.row,
				func(ctx context.Context, limit int32, cursor string) ([]operationView, string, error) {
					r, err := call(ctx, c, c.operations.ListOperations, &operationsv1.ListOperationsRequest{Limit: limit, Cursor: cursor})
					return convert(r.GetOperations(), viewOperation), r.GetNextCursor(), err
				})
		}),
	}
	l.add(cmd)
	return cmd
}

// waitFor tells each step as it ends and answers the ended operation. An API
// that is away for a moment is asked again: the operation goes on without it.
func (a *app) waitFor(ctx context.Context, c *client, op operationView, timeout time.Duration) (operationView, error) {
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	told := map[string]string{}
	a.tell(op, told)
	// A server that answers at once must not be asked in a loop.
	pace := time.NewTicker(200 * time.Millisecond)
	defer pace.Stop()
	away := false
	for !op.ended() {
		o, err := call(ctx, c, c.operations.WaitOperation, &operationsv1.WaitOperationRequest{Id: op.ID, TimeoutSeconds: waitSlice})
		switch {
		case ctx.Err() != nil:
		case err == nil:
			away = false
			op = viewOperation(o)
			a.tell(op, told)
			if op.ended() {
				return op, nil
			}
		case !temporary(err):
			return op, err
		case !away:
			away = true
			a.say("the API does not answer at the moment; the operation goes on")
		}
		select {
		case <-ctx.Done():
			return op, stopped(outer, op.ID, timeout)
		case <-pace.C:
		}
	}
	return op, nil
}

// stopped is the end of the waiting, not of the operation.
func stopped(outer context.Context, id string, timeout time.Duration) error {
	after := fmt.Sprintf("not ended after %s", timeout)
	if outer.Err() != nil {
		after = "interrupted"
	}
	return errors.New(after + "; the operation goes on: tenantry ops wait " + id)
}

// tell says what has changed since the last time.
func (a *app) tell(op operationView, told map[string]string) {
	for i, s := range op.Steps {
		if told[s.Name] == s.State {
			continue
		}
		told[s.Name] = s.State
		switch s.State {
		case "done", "failed", "compensated":
			a.say("  [%d/%d] %-12s %s", i+1, len(op.Steps), clean(s.State), clean(s.Name))
		}
	}
}

func (a *app) printOperation(op operationView, asJSON bool) error {
	if asJSON {
		return a.printJSON(op)
	}
	rows := [][]string{
		{"operation", op.ID}, {"kind", op.Kind}, {"state", op.State}, {"tenant", op.TenantID},
		{"workflow", op.WorkflowID}, {"created", text(op.CreateTime)}, {"ended", text(op.EndTime)},
	}
	if op.Reason != "" {
		rows = append(rows, []string{"reason", op.Reason})
	}
	for _, s := range op.Steps {
		rows = append(rows, []string{"  " + s.Name, s.State})
	}
	return a.printTable(rows)
}

// outcome makes a failed operation an exit code.
func (a *app) outcome(op operationView) error {
	if op.State != "failed" {
		return nil
	}
	return errors.New("the operation failed\n" + labelled("reason", op.Reason))
}
