package cli

import (
	"context"
	"io"
	"log/slog"

	"tenantry/internal/config"
)

// Backend is everything a command does with a server or a database itself.
type Backend struct {
	RunAPI, RunWorker, RunCodec func(context.Context, config.Config, *slog.Logger) error
	// Bootstrap makes the roles and the central database that plan names; a
	// repetition with the same plan finishes what the first one left.
	Bootstrap func(ctx context.Context, superuserURL string, plan BootstrapPlan) error
	// PlanBootstrap chooses names and passwords and touches nothing.
	PlanBootstrap func(superuserURL string) (BootstrapPlan, error)
	// BootstrapSQL is the plan as a script for a database administrator.
	BootstrapSQL func(BootstrapPlan) (string, error)
	// Ping tells whether a database can be reached with this URL.
	Ping func(ctx context.Context, url string) error
	// Connections asks the database server how many connections it allows and
	// works out what each process may hold.
	Connections func(context.Context, config.Config) (ConnectionPlan, error)
	// Migrate brings every database to this binary's schema; it tells each
	// one's end to progress and goes on after a tenant that failed.
	Migrate func(ctx context.Context, c config.Config, log *slog.Logger, progress func(what string, err error)) error
	// Verify scans and changes nothing.
	Verify func(ctx context.Context, c config.Config, log *slog.Logger) (VerifyReport, error)
	// CreateOperator makes an operator key in the central database.
	CreateOperator func(ctx context.Context, c config.Config, in OperatorInput) (OperatorKey, error)
	// RotateKeys makes new signing keys; it tells each tenant's end to progress
	// and goes on after one that failed.
	RotateKeys func(ctx context.Context, c config.Config, in RotateInput, progress func(SigningKey, error)) error
	// ListKeys answers a tenant's signing keys.
	ListKeys func(ctx context.Context, c config.Config, tenant string) ([]SigningKey, error)
}

// BootstrapPlan is what bootstrap is going to make.
type BootstrapPlan struct {
	// CentralURL and ProvisionerURL are the two credentials, on the central
	// database.
	CentralURL, ProvisionerURL string
}

// ConnectionPlan is how the connections of the database server are divided.
type ConnectionPlan struct {
	// MaxConnections is what the server allows; of these Reserved are kept for
	// superusers and Operators for commands, backups and monitoring.
	MaxConnections int `json:"max_connections"`
	Reserved       int `json:"reserved"`
	Operators      int `json:"operators"`
	// Processes divide the rest; each may hold Part.
	Processes int `json:"processes"`
	Part      int `json:"part"`
	// Connected is how many there are now, of anybody.
	Connected int            `json:"connected"`
	ByProcess []ProcessShare `json:"by_process"`
	Warnings  []string       `json:"warnings"`
}

// ProcessShare is what one process may hold.
type ProcessShare struct {
	Process         string `json:"process"`
	Central         int    `json:"central_database"`
	Provisioner     int    `json:"provisioner"`
	TenantDatabases int    `json:"tenant_databases"`
	// Explicit reports that TENANTRY_POOL_BUDGET was set.
	Explicit bool `json:"explicit"`
}

// VerifyReport is the outcome of a scan.
type VerifyReport interface {
	// Clean reports that nothing is wrong; there may be warnings.
	Clean() bool
	WriteText(io.Writer) error
	WriteJSON(io.Writer) error
}

// OperatorInput asks for an operator key.
type OperatorInput struct {
	Name   string
	Scopes []string
	// ExpireDays is 1 to 400; 0 stands for 90.
	ExpireDays int
}
