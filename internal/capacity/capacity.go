// Package capacity works out how many connections each process of an
// installation may hold, from what the database server allows.
//
// All processes of an installation share one server. What max_connections
// leaves after the server's own reservations and the places for operators'
// commands is divided evenly by the processes that may run at the same time; a
// process's part holds its pools (central database, and in the worker the
// provisioner's) and, with the rest, its connections to tenant databases.
package capacity

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Operators is how many connections are left for the command line, backups and
// monitoring.
const Operators = 8

// Provisioner is how many connections of the provisioner one worker holds: its
// pool, and as many beside it inside of the databases that it works on.
const Provisioner = 2 * ProvisionerPool

// ProvisionerPool is how many server commands one worker runs at a time.
const ProvisionerPool = 6

// Server is what a Postgres server says of its connections.
type Server struct {
	// MaxConnections is max_connections, Reserved what superusers and roles with
	// pg_use_reserved_connections (Postgres 16) keep of it.
	MaxConnections, Reserved int
	// Connected is how many sessions there are now, of anybody.
	Connected int
}

// Ask asks the server.
func Ask(ctx context.Context, pool *pgxpool.Pool) (Server, error) {
	var s Server
	err := pool.QueryRow(ctx, `
		SELECT current_setting('max_connections')::int,
			current_setting('superuser_reserved_connections')::int + coalesce(current_setting('reserved_connections', true)::int, 0),
			(SELECT count(datid)::int FROM pg_stat_activity)`).Scan(&s.MaxConnections, &s.Reserved, &s.Connected)
	if err != nil {
		return Server{}, fmt.Errorf("ask for max_connections: %w", err)
	}
	return s, nil
}

// Process is what is known of a process without the server.
type Process struct {
	// Processes is how many run at the same time, API and worker, those included
	// that overlap in a rolling restart.
	Processes int
	// Central is the pool to the central database, Provisioner what the
	// provisioner needs (0 in the API).
	Central, Provisioner int
	// Budget is the number that was set for tenant databases, 0 for none.
	Budget int
}

// Plan is the arithmetic for one process.
type Plan struct {
	Server  Server
	Process Process
	// Part is how many connections the process may hold in all.
	Part int
	// Tenants is the budget for tenant databases: what was set, unless the server
	// is too small for it even without other processes; else what is left of Part.
	// It is at least 1.
	Tenants int
}

// For works out the plan of p.
func (s Server) For(p Process) Plan {
	plan := Plan{Server: s, Process: p, Part: (s.MaxConnections - s.Reserved - Operators) / max(1, p.Processes)}
	plan.Tenants = max(1, plan.Part-p.Central-p.Provisioner)
	if p.Budget > 0 {
		plan.Tenants = min(p.Budget, s.most(p))
	}
	return plan
}

// most is the budget that fits if p were the only process.
func (s Server) most(p Process) int {
	return max(1, s.MaxConnections-s.Reserved-Operators-p.Central-p.Provisioner)
}

// Needs is how many connections the server must allow for all the processes, if
// each is like this one.
func (p Plan) Needs() int {
	each := p.Process.Central + p.Process.Provisioner + p.Tenants
	return each*max(1, p.Process.Processes) + Operators + p.Server.Reserved
}

// Warnings says what does not fit, in sentences.
func (p Plan) Warnings() []string {
	var out []string
	if p.Process.Budget > p.Tenants {
		out = append(out, fmt.Sprintf("TENANTRY_POOL_BUDGET is %d, but the server's %d connections leave %d for tenant databases.",
			p.Process.Budget, p.Server.MaxConnections, p.Tenants))
	}
	if needs := p.Needs(); needs > p.Server.MaxConnections {
		out = append(out, fmt.Sprintf("%d processes like this one may need %d connections and the server allows %d: it will refuse some. Raise max_connections, or lower TENANTRY_POOL_BUDGET, TENANTRY_CENTRAL_POOL or TENANTRY_PROCESSES.",
			max(1, p.Process.Processes), needs, p.Server.MaxConnections))
	}
	if free := p.Server.MaxConnections - p.Server.Reserved - p.Server.Connected; free < Operators {
		out = append(out, fmt.Sprintf("%d of %d connections are in use: somebody else may be using this server, or TENANTRY_PROCESSES is too low.",
			p.Server.Connected, p.Server.MaxConnections))
	}
	return out
}
