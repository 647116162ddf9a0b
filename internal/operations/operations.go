// Package operations is the row that stands for a workflow-backed call
// (AIP-151): written beside the intent that starts the workflow, so it answers
// while Temporal is down. Temporal adds the live steps.
package operations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tenantry/internal/apperr"
	"tenantry/internal/audit"
	"tenantry/internal/clock"
	"tenantry/internal/db"
	"tenantry/internal/ids"
)

// States of an operation.
const (
	Pending   = "pending"
	Running   = "running"
	Succeeded = "succeeded"
	Failed    = "failed"
)

// Kinds of operations.
const (
	// KindProvision is the creation of a tenant.
	KindProvision = "tenant.provision"
	// KindSuspend and KindResume change who may enter a tenant (T5).
	KindSuspend = "tenant.suspend"
	KindResume  = "tenant.resume"
	// KindInviteOwner invites a tenant's owner again (U8).
	KindInviteOwner = "tenant.invite_owner"
	// KindSetLimits applies an operator's limits (U9).
	KindSetLimits = "tenant.set_limits"
)

// Operation is one workflow-backed call.
type Operation struct {
	ID              ids.Operation
	Kind            string
	Tenant          ids.Tenant
	WorkflowID      string
	State           string
	Reason          string
	Source          *uuid.UUID
	CreatedAt       time.Time
	EndedAt         *time.Time
	CancelRequested bool
	// Steps are live from Temporal; ProgressAvailable is false while it
	// cannot be asked.
	Steps             []Step
	ProgressAvailable bool
}

// Ended reports whether nothing more will happen.
func (o Operation) Ended() bool { return o.State == Succeeded || o.State == Failed }

// Step is one step of an operation's workflow.
type Step struct {
	Name string `json:"name"`
	// State is pending, running, done, failed, compensating or compensated.
	State string `json:"state"`
}

// ProgressFunc asks a running or closed workflow for its steps.
type ProgressFunc func(ctx context.Context, workflowID string) ([]Step, error)

// Service answers for operations of the central database.
type Service struct {
	central  *db.Central
	now      clock.Clock
	progress ProgressFunc
	// ring wakes the relay.
	ring func(context.Context)
}

// New makes the service; progress may be nil.
func New(c *db.Central, now clock.Clock, progress ProgressFunc, ring func(context.Context)) *Service {
	return &Service{central: c, now: now, progress: progress, ring: ring}
}

// Get answers an operation; with a source, only one of that source.
func (s *Service) Get(ctx context.Context, id ids.Operation, source *uuid.UUID) (Operation, error) {
	o, err := s.find(ctx, id, source)
	if err != nil {
		return Operation{}, err
	}
	return s.withSteps(ctx, o), nil
}

func (s *Service) find(ctx context.Context, id ids.Operation, source *uuid.UUID) (Operation, error) {
	return db.InCentral(ctx, s.central, func(tx db.CentralTx) (Operation, error) { return Find(ctx, tx, id, source) })
}

func (s *Service) withSteps(ctx context.Context, o Operation) Operation {
	if s.progress == nil || o.State == Pending {
		return o
	}
	ctx, cancel := context.WithTimeout(ctx, 1500*time.Millisecond)
	defer cancel()
	steps, err := s.progress(ctx, o.WorkflowID)
	if err == nil {
		o.Steps, o.ProgressAvailable = steps, true
	}
	return o
}

// Wait answers when the operation has ended or after timeout, whichever is
// first. It asks the database, so it works while Temporal is down.
func (s *Service) Wait(ctx context.Context, id ids.Operation, timeout time.Duration, source *uuid.UUID) (Operation, error) {
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		o, err := s.find(ctx, id, source)
		if err != nil || o.Ended() {
			return s.withSteps(ctx, o), err
		}
		select {
		case <-deadline.C:
			return s.withSteps(ctx, o), nil
		case <-ctx.Done():
			return o, ctx.Err()
		case <-tick.C:
		}
	}
}

// RequestCancel asks for an end: the wish is a row, the relay carries it to
// the workflow. Past its point of no return an operation ends as it would.
// Only a provisioning can be taken back; the others are one step.
func (s *Service) RequestCancel(ctx context.Context, id ids.Operation, actor audit.Actor, requestID string, mark *db.Mark[Operation]) (Operation, error) {
	o, err := db.InCentralOnce(ctx, s.central, mark, func(tx db.CentralTx) (Operation, error) {
		o, err := Find(ctx, tx, id, nil)
		if err != nil {
			return o, err
		}
		if o.Ended() {
			return o, apperr.Newf(apperr.Precondition, "OPERATION_NOT_CANCELLABLE", "The operation has ended (%s).", o.State)
		}
		if o.Kind != KindProvision {
			return o, apperr.Newf(apperr.Precondition, "OPERATION_NOT_CANCELLABLE",
				"An operation of kind %s is one step and cannot be cancelled. Make the opposite call when it has ended.", o.Kind)
		}
		if _, err := tx.SQL().ExecContext(ctx, `UPDATE operations SET cancel_requested = true WHERE id = $1 AND ended_at IS NULL`, id.UUID()); err != nil {
			return o, fmt.Errorf("request cancel: %w", err)
		}
		o.CancelRequested = true
		return o, audit.Write(ctx, tx, s.now(), audit.Entry{
			Actor: actor, Action: "operation.cancel_requested", TargetKind: "operation", TargetID: id.UUID(), TenantID: o.Tenant, RequestID: requestID,
		})
	})
	if err == nil && s.ring != nil {
		s.ring(ctx)
	}
	return o, err
}

// CancelRequested answers open operations that somebody asked to cancel.
func CancelRequested(ctx context.Context, c *db.Central) ([]Operation, error) {
	return db.InCentral(ctx, c, func(tx db.CentralTx) ([]Operation, error) {
		rows, err := tx.SQL().QueryContext(ctx, `SELECT `+columns+` FROM operations WHERE cancel_requested AND ended_at IS NULL ORDER BY created_at LIMIT 100`)
		return scanAll(rows, err)
	})
}

// Create writes the row into tx, pending.
func Create(ctx context.Context, tx db.Tx, o Operation) error {
	_, err := tx.SQL().ExecContext(ctx, `
		INSERT INTO operations (id, kind, tenant_id, workflow_id, source_id, state, reason, cancel_requested, created_at)
		VALUES ($1, $2, $3, $4, $5, 'pending', '', false, $6)`,
		o.ID.UUID(), o.Kind, o.Tenant.UUID(), o.WorkflowID, o.Source, o.CreatedAt)
	if err != nil {
		return fmt.Errorf("create operation: %w", err)
	}
	return nil
}

// MarkRunning says that the workflow has begun.
func MarkRunning(ctx context.Context, tx db.Tx, id ids.Operation) error {
	_, err := tx.SQL().ExecContext(ctx, `UPDATE operations SET state = 'running' WHERE id = $1 AND state = 'pending'`, id.UUID())
	if err != nil {
		return fmt.Errorf("mark operation running: %w", err)
	}
	return nil
}

// End writes the final state; an ended operation stays as it ended.
func End(ctx context.Context, tx db.Tx, id ids.Operation, state, reason string, at time.Time) error {
	_, err := tx.SQL().ExecContext(ctx, `
		UPDATE operations SET state = $2, reason = $3, ended_at = $4 WHERE id = $1 AND ended_at IS NULL`, id.UUID(), state, reason, at)
	if err != nil {
		return fmt.Errorf("end operation: %w", err)
	}
	return nil
}

// Lock reads one operation and holds it until tx ends.
func Lock(ctx context.Context, tx db.CentralTx, id ids.Operation) (Operation, error) {
	rows, err := tx.SQL().QueryContext(ctx, `SELECT `+columns+` FROM operations WHERE id = $1 FOR UPDATE`, id.UUID())
	found, err := scanAll(rows, err)
	if err != nil {
		return Operation{}, err
	}
	if len(found) == 0 {
		return Operation{}, errNotFound()
	}
	return found[0], nil
}

// Newest answers a tenant's youngest operation of a kind, false for none.
func Newest(ctx context.Context, tx db.CentralTx, t ids.Tenant, kind string) (Operation, bool, error) {
	rows, err := tx.SQL().QueryContext(ctx, `
		SELECT `+columns+` FROM operations WHERE tenant_id = $1 AND kind = $2 ORDER BY created_at DESC, id DESC LIMIT 1`, t.UUID(), kind)
	found, err := scanAll(rows, err)
	if err != nil || len(found) == 0 {
		return Operation{}, false, err
	}
	return found[0], true, nil
}

func errNotFound() error {
	return apperr.New(apperr.NotFound, "OPERATION_NOT_FOUND", "No such operation.")
}

const columns = `id, kind, tenant_id, workflow_id, source_id, state, reason, cancel_requested, created_at, ended_at`

// Find reads one operation in tx; with a source, only one of that source.
func Find(ctx context.Context, tx db.Tx, id ids.Operation, source *uuid.UUID) (Operation, error) {
	rows, err := tx.SQL().QueryContext(ctx, `SELECT `+columns+` FROM operations WHERE id = $1 AND ($2::uuid IS NULL OR source_id = $2)`, id.UUID(), source)
	found, err := scanAll(rows, err)
	if err != nil {
		return Operation{}, err
	}
	if len(found) == 0 {
		return Operation{}, errNotFound()
	}
	return found[0], nil
}

func scanAll(rows *sql.Rows, err error) ([]Operation, error) {
	if err != nil {
		return nil, fmt.Errorf("read operations: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var out []Operation
	for rows.Next() {
		var o Operation
		var id, tenant uuid.UUID
		var source uuid.NullUUID
		var ended sql.NullTime
		if err := rows.Scan(&id, &o.Kind, &tenant, &o.WorkflowID, &source, &o.State, &o.Reason, &o.CancelRequested, &o.CreatedAt, &ended); err != nil {
			return nil, errors.Join(errors.New("scan operation"), err)
		}
		o.ID, o.Tenant = ids.Operation(id), ids.Tenant(tenant)
		if source.Valid {
			o.Source = &source.UUID
		}
		if ended.Valid {
			o.EndedAt = &ended.Time
		}
		out = append(out, o)
	}
	return out, rows.Err()
}
