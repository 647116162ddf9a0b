package direct

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tenantry/internal/capacity"
	"tenantry/internal/cli"
	"tenantry/internal/config"
)

// askConnections works out what an API and a worker with this configuration may
// hold.
func askConnections(ctx context.Context, c config.Config) (cli.ConnectionPlan, error) {
	if c.CentralURL.IsZero() {
		return cli.ConnectionPlan{}, errors.New("--online needs TENANTRY_CENTRAL_URL: name api, worker or migrate")
	}
	ctx, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	pool, err := openPool(ctx, c.CentralURL.Reveal())
	if err != nil {
		return cli.ConnectionPlan{}, err
	}
	defer pool.Close()
	server, err := capacity.Ask(ctx, pool)
	if err != nil {
		// pgx says it once for each address, on lines of their own.
		lines := strings.Fields(err.Error())
		return cli.ConnectionPlan{}, fmt.Errorf("TENANTRY_CENTRAL_URL: the database server cannot be asked: %s", strings.Join(lines, " "))
	}
	out := cli.ConnectionPlan{
		MaxConnections: server.MaxConnections, Reserved: server.Reserved, Operators: capacity.Operators,
		Processes: c.Processes, Connected: server.Connected, Warnings: []string{},
	}
	for _, process := range []string{"api", "worker"} {
		p := capacity.Process{Processes: c.Processes, Central: c.CentralPool, Budget: c.PoolBudget}
		if process == "worker" {
			p.Provisioner = capacity.Provisioner
		}
		plan := server.For(p)
		out.Part = plan.Part
		out.ByProcess = append(out.ByProcess, cli.ProcessShare{
			Process: process, Central: p.Central, Provisioner: p.Provisioner, TenantDatabases: plan.Tenants, Explicit: p.Budget > 0,
		})
		for _, w := range plan.Warnings() {
			if !slices.Contains(out.Warnings, w) {
				out.Warnings = append(out.Warnings, w)
			}
		}
	}
	return out, nil
}
