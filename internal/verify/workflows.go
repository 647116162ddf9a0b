package verify

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// workflows: whoever is neither made nor waiting for its start has an open
// workflow, and so has every other open operation.
func (s *scan) workflows(ctx context.Context, conn *pgx.Conn) error {
	for _, t := range s.tenants {
		if t.State == "reserved" && t.Intent == "none" {
			s.found(Warning, "RESERVATION_WAITING", t.ID.String(), "The reservation was made without a start intent; its workflow is started by hand.")
		}
	}
	if s.deps.OpenWorkflow == nil {
		s.note("workflows were not compared: no Temporal server was given")
		return nil
	}
	for _, t := range s.tenants {
		if t.made() || t.Intent == "open" || t.State == "reserved" && t.Intent == "none" {
			continue
		}
		if err := s.tenantWorkflow(ctx, conn, t); err != nil {
			return err
		}
	}
	return s.operationWorkflows(ctx, conn)
}

// open asks for a workflow. What cannot be asked is a discrepancy itself: a
// bill that is clean because nobody answered would be a lie.
func (s *scan) open(ctx context.Context, subject, workflow string) (open, known bool) {
	s.count("workflows", 1)
	if workflow == "" {
		return false, true
	}
	open, err := s.deps.OpenWorkflow(ctx, workflow)
	if err != nil {
		s.wrong("WORKFLOW_UNKNOWN", subject, "Temporal did not say whether workflow %s is open.", workflow)
		return false, false
	}
	return open, true
}

func (s *scan) tenantWorkflow(ctx context.Context, conn *pgx.Conn, t tenant) error {
	open, known := s.open(ctx, t.ID.String(), t.Workflow)
	if open || !known {
		return nil
	}
	// It may have ended since the rows were read: then the tenant is active
	// or gone by now.
	var state string
	err := conn.QueryRow(ctx, `SELECT state FROM tenants WHERE id = $1`, t.ID).Scan(&state)
	if errors.Is(err, pgx.ErrNoRows) || (&tenant{State: state}).made() {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read tenant again: %w", err)
	}
	s.wrong("WORKFLOW_MISSING", t.ID.String(), "The tenant is %s and its workflow %q is not open.", state, t.Workflow)
	return nil
}

// operationWorkflows looks at open operations of other kinds than the making
// of their tenant, which tenantWorkflow has covered.
func (s *scan) operationWorkflows(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `
		SELECT o.id::text, o.workflow_id FROM operations o JOIN tenants t ON t.id = o.tenant_id
		WHERE o.ended_at IS NULL AND t.operation_id <> o.id
			AND NOT EXISTS (SELECT FROM outbox b WHERE b.kind = 'start' AND b.operation_id = o.id AND b.done_at IS NULL)`)
	if err != nil {
		return fmt.Errorf("read operations: %w", err)
	}
	type operation struct{ ID, Workflow string }
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[operation])
	if err != nil {
		return fmt.Errorf("read operations: %w", err)
	}
	for _, o := range list {
		open, known := s.open(ctx, o.ID, o.Workflow)
		if open || !known {
			continue
		}
		var ended bool
		if err := conn.QueryRow(ctx, `SELECT ended_at IS NOT NULL FROM operations WHERE id = $1::uuid`, o.ID).Scan(&ended); err != nil {
			return fmt.Errorf("read operation again: %w", err)
		}
		if !ended {
			s.wrong("OPERATION_STUCK", o.ID, "The operation is open and has neither an open workflow %q nor a start intent.", o.Workflow)
		}
	}
	return nil
}
