// Package verify compares what the central database says with what the server
// holds, and names every discrepancy (T8).
//
// It uses the provisioner's credential and SQL of its own, shares no code with
// what makes tenants, changes nothing, and sees only names of its own
// installation. Central rows, databases, roles and grants are read in one
// snapshot, so a tenant that is being made or taken back meanwhile is not
// misread; its workflow is asked afterwards and its row then read again.
package verify

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"tenantry/internal/clock"
)

// stuckAfter is the age at which an outbox row that was not carried out is a
// discrepancy: far beyond the longest back-off.
const stuckAfter = 15 * time.Minute

// Deps is what a scan needs.
type Deps struct {
	// ProvisionerURL is on the central database.
	ProvisionerURL string
	Clock          clock.Clock
	// OpenWorkflow reports whether a workflow of this id is running. Without
	// it the workflows are not compared, and the report says so.
	OpenWorkflow func(ctx context.Context, workflowID string) (bool, error)
}

// scan is one run.
type scan struct {
	deps   Deps
	cfg    *pgx.ConnConfig
	now    time.Time
	prefix string // "tn_<installation>_"
	iid    string

	server  server
	tenants []tenant

	mu     sync.Mutex
	report Report
}

var centralName = regexp.MustCompile(`^tn_([a-z0-9]{6})_central$`)

// Scan compares everything once. An error means that the scan itself could
// not be done; discrepancies are in the report.
func Scan(ctx context.Context, deps Deps) (Report, error) {
	cfg, err := pgx.ParseConfig(deps.ProvisionerURL)
	if err != nil {
		return Report{}, errors.New("provisioner URL: not a Postgres URL") // the parser's text holds the URL
	}
	m := centralName.FindStringSubmatch(cfg.Database)
	if m == nil {
		return Report{}, fmt.Errorf("database %q is no central database: want tn_<installation>_central", cfg.Database)
	}
	s := &scan{deps: deps, cfg: cfg, iid: m[1], prefix: "tn_" + m[1] + "_", now: deps.Clock()}
	s.report = Report{Installation: s.iid, At: s.now, Scanned: map[string]int{}}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return Report{}, fmt.Errorf("connect to the central database: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := s.central(ctx, conn); err != nil {
		return Report{}, err
	}
	if err := s.tenantDatabases(ctx); err != nil {
		return Report{}, err
	}
	if err := s.workflows(ctx, conn); err != nil {
		return Report{}, err
	}
	s.report.sort()
	return s.report, nil
}

// central reads and compares all that one snapshot of the central database
// shows: its rows, and the server's shared catalogs.
func (s *scan) central(ctx context.Context, conn *pgx.Conn) error {
	opts := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	return pgx.BeginTxFunc(ctx, conn, opts, func(tx pgx.Tx) error {
		for _, read := range []func(context.Context, pgx.Tx) error{
			s.readTenants, s.readServer, s.compareRows, s.compareCentralSchema,
		} {
			if err := read(ctx, tx); err != nil {
				return err
			}
		}
		s.compareDatabases()
		s.compareTemplates()
		s.compareRoles()
		s.compareGrants()
		return nil
	})
}

func (s *scan) found(severity, code, subject, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Findings = append(s.report.Findings, Finding{Severity: severity, Code: code, Subject: subject, Message: fmt.Sprintf(format, args...)})
}

func (s *scan) wrong(code, subject, format string, args ...any) {
	s.found(Error, code, subject, format, args...)
}

func (s *scan) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Notes = append(s.report.Notes, fmt.Sprintf(format, args...))
}

func (s *scan) count(what string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Scanned[what] += n
}
