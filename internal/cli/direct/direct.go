// Package direct is what the commands with database credentials do: bootstrap,
// migrate, verify, the first operator key and the signing keys. It is apart
// from package cli so that the client commands are built without a database.
package direct

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantry/internal/audit"
	"tenantry/internal/cli"
	"tenantry/internal/clock"
	"tenantry/internal/config"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/operators"
	"tenantry/internal/pgadmin"
	"tenantry/internal/schema"
)

// pingTime bounds the question whether a database answers.
const pingTime = 5 * time.Second

// Backend answers these commands; the servers are the caller's to add.
func Backend() cli.Backend {
	return cli.Backend{
		PlanBootstrap: planBootstrap, BootstrapSQL: bootstrapSQL, Bootstrap: bootstrap, Ping: ping, Connections: askConnections,
		Migrate: migrate, Verify: scan, CreateOperator: createOperator,
		RotateKeys: rotateKeys, ListKeys: listKeys,
	}
}

func planBootstrap(superuserURL string) (cli.BootstrapPlan, error) {
	r, err := pgadmin.Options{}.Complete().Result(superuserURL)
	return cli.BootstrapPlan{CentralURL: r.CentralURL, ProvisionerURL: r.ProvisionerURL}, err
}

// options reads a plan back: the env file is the only place of its passwords.
func options(p cli.BootstrapPlan) (pgadmin.Options, error) {
	central, err := url.Parse(p.CentralURL)
	if err != nil {
		return pgadmin.Options{}, errors.New("TENANTRY_CENTRAL_URL: not a URL")
	}
	prov, err := url.Parse(p.ProvisionerURL)
	if err != nil {
		return pgadmin.Options{}, errors.New("TENANTRY_PROVISIONER_URL: not a URL")
	}
	if len(central.Path) < 2 || central.Path != prov.Path || central.Host != prov.Host {
		return pgadmin.Options{}, errors.New("TENANTRY_CENTRAL_URL and TENANTRY_PROVISIONER_URL do not name the same database")
	}
	n, err := pgadmin.ParseCentral(central.Path[1:])
	if err != nil {
		return pgadmin.Options{}, err
	}
	if central.User.Username() != n.API() || prov.User.Username() != n.Provisioner() {
		return pgadmin.Options{}, fmt.Errorf("the users of TENANTRY_CENTRAL_URL and TENANTRY_PROVISIONER_URL are not %s and %s", n.API(), n.Provisioner())
	}
	o := pgadmin.Options{Installation: n.Installation()}
	o.APIPassword, _ = central.User.Password()
	o.ProvisionerPassword, _ = prov.User.Password()
	if o.APIPassword == "" || o.ProvisionerPassword == "" {
		return pgadmin.Options{}, errors.New("TENANTRY_CENTRAL_URL or TENANTRY_PROVISIONER_URL has no password")
	}
	return o, nil
}

func bootstrapSQL(p cli.BootstrapPlan) (string, error) {
	o, err := options(p)
	if err != nil {
		return "", err
	}
	return pgadmin.BootstrapSQL(o)
}

func bootstrap(ctx context.Context, superuserURL string, p cli.BootstrapPlan) error {
	o, err := options(p)
	if err != nil {
		return err
	}
	super, err := url.Parse(superuserURL)
	if err != nil {
		return errors.New("superuser URL: not a URL")
	}
	if central, err := url.Parse(p.CentralURL); err != nil || central.Host != super.Host {
		return errors.New("the env file's installation is on another server than the superuser's; name another file to make a new installation")
	}
	_, err = pgadmin.Bootstrap(ctx, superuserURL, o)
	return err
}

func ping(ctx context.Context, dsn string) error {
	ctx, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// openPool is a small pool for one command.
func openPool(ctx context.Context, dsn string) (*pgxpool.Pool, error) {
	c, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("database URL: cannot be read") // pgx's text holds the URL
	}
	c.ConnConfig.RuntimeParams["application_name"] = "tenantry-cli"
	c.ConnConfig.ConnectTimeout = pingTime
	return pgxpool.NewWithConfig(ctx, c)
}

func migrate(ctx context.Context, c config.Config, log *slog.Logger, progress func(string, error)) error {
	pool, err := openPool(ctx, c.ProvisionerURL.Reveal())
	if err != nil {
		return err
	}
	defer pool.Close()
	admin := pgadmin.New(pool, log)
	s := schema.New(admin, c.ProvisionerURL.Reveal(), log)
	steps := []struct {
		what string
		do   func() error
	}{
		{"central database", func() error { return s.MigrateCentral(ctx) }},
		{"installation", func() error { return s.InitInstallation(ctx, c.KEKKeys.Ring(), admin.Names().Installation()) }},
		{"template", func() error { _, err := s.EnsureTemplate(ctx); return err }},
	}
	for _, step := range steps {
		err := step.do()
		progress(step.what, err)
		if err != nil {
			return err
		}
	}
	return s.MigrateTenants(ctx, func(t ids.Tenant, err error) { progress("tenant "+t.String(), err) })
}

func createOperator(ctx context.Context, c config.Config, in cli.OperatorInput) (cli.OperatorKey, error) {
	pool, err := openPool(ctx, c.CentralURL.Reveal())
	if err != nil {
		return cli.OperatorKey{}, err
	}
	defer pool.Close()
	service := operators.New(db.NewCentral(pool, c.KEKKeys.Ring()), clock.System)
	k, key, err := service.Create(ctx, operators.CreateInput{Name: in.Name, Scopes: in.Scopes, ExpireDays: in.ExpireDays},
		audit.System, "cli-"+ids.New().String())
	if err != nil {
		return cli.OperatorKey{}, err
	}
	return cli.OperatorKey{ID: k.ID.String(), Name: k.Name, Scopes: k.Scopes, CreateTime: &k.CreatedAt, ExpireTime: &k.ExpiresAt, Key: key}, nil
}
