package pgadmin

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"

	"tenantry/internal/secrets"
)

// Options of a new installation. What is empty is made at random.
type Options struct {
	// Installation is the id in every name: 6 characters of a-z and 0-9.
	// Naming an existing one repairs it and replaces its passwords.
	Installation string
	// APIPassword and ProvisionerPassword are printable ASCII.
	APIPassword         string
	ProvisionerPassword string
}

// Result are the credentials of an installation.
type Result struct {
	Installation string
	// CentralURL is the API's: rows of the central database only.
	CentralURL string
	// ProvisionerURL is the worker's and the CLI's: it makes and drops
	// databases and roles, and must not reach the API.
	ProvisionerURL string
}

// Complete fills in what is empty.
func (o Options) Complete() Options {
	if o.Installation == "" {
		o.Installation = newInstallation()
	}
	if o.APIPassword == "" {
		o.APIPassword = NewPassword()
	}
	if o.ProvisionerPassword == "" {
		o.ProvisionerPassword = NewPassword()
	}
	return o
}

// newInstallation answers 6 random characters, a letter first.
func newInstallation() string {
	const alphabet = "abcdefghijklmnopqrstuvwxyz234567"
	out := secrets.RandomBytes(6)
	for i, b := range out {
		out[i] = alphabet[b%32]
	}
	out[0] = alphabet[out[0]%26]
	return string(out)
}

// Result answers the credentials on the server of serverURL, whose user and
// database do not matter.
func (o Options) Result(serverURL string) (Result, error) {
	u, err := url.Parse(serverURL)
	if err != nil || u.Host == "" {
		return Result{}, errors.New("server URL: want postgres://user:password@host:port/database")
	}
	n, err := NewNames(o.Installation)
	if err != nil {
		return Result{}, err
	}
	as := func(role, password string) string {
		v := *u
		v.User, v.Path = url.UserPassword(role, password), "/"+n.Central()
		return v.String()
	}
	return Result{
		Installation: o.Installation,
		CentralURL:   as(n.API(), o.APIPassword), ProvisionerURL: as(n.Provisioner(), o.ProvisionerPassword),
	}, nil
}

// Bootstrap makes an installation's roles and its empty central database as
// superuser, the only time that one is needed. It may be repeated with the
// same id, after a crash at any point too: what exists stays, passwords are
// replaced. The schema and the installation's row follow with the provisioner
// (internal/schema).
func Bootstrap(ctx context.Context, superuserURL string, o Options) (Result, error) {
	o = o.Complete()
	res, err := o.Result(superuserURL)
	if err != nil {
		return Result{}, err
	}
	steps, err := bootstrapSteps(o)
	if err != nil {
		return Result{}, err
	}
	cfg, err := pgx.ParseConfig(superuserURL)
	if err != nil {
		return Result{}, errors.New("superuser URL: not a Postgres URL") // the parser's text holds the URL
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return Result{}, fmt.Errorf("connect as superuser: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for _, s := range steps {
		if err := s.run(ctx, conn, cfg); err != nil {
			return Result{}, fmt.Errorf("bootstrap, %s: %w", s.comment, err)
		}
	}
	return res, nil
}

// BootstrapSQL answers the same for a database administrator, as input of
// psql. It holds verifiers and no password; o must be complete.
func BootstrapSQL(o Options) (string, error) {
	if o != o.Complete() {
		return "", errors.New("bootstrap SQL: options are not complete")
	}
	steps, err := bootstrapSteps(o)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "-- Tenantry installation %s. Run as superuser: psql -v ON_ERROR_STOP=1 -f this.sql\n", o.Installation)
	for _, s := range steps {
		if s.unprinted {
			continue
		}
		b.WriteString("\n-- " + s.comment + "\n")
		switch {
		case s.database != "":
			b.WriteString("\\connect " + s.database + "\n" + s.sql + ";\n")
		case s.unless != "":
			fmt.Fprintf(&b, "SELECT %s WHERE NOT EXISTS (%s) \\gexec\n", literal(s.sql), s.unless)
		default:
			b.WriteString(s.sql + ";\n")
		}
	}
	return b.String(), nil
}
