package direct_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tenantry/internal/cli"
	"tenantry/internal/cli/direct"
	"tenantry/internal/clock"
	"tenantry/internal/config"
	"tenantry/internal/db"
	"tenantry/internal/operators"
	"tenantry/internal/pgadmin"
)

// installation is an env file and what it takes to run commands with it.
type installation struct{ superuser, file string }

func setup(t *testing.T) installation {
	t.Helper()
	superuser := os.Getenv("TENANTRY_TEST_PG_URL")
	require.NotEmpty(t, superuser, "TENANTRY_TEST_PG_URL must name a Postgres superuser")
	in := installation{superuser, filepath.Join(t.TempDir(), "installation.env")}
	t.Cleanup(func() { in.drop(t) })
	return in
}

// run executes a command as in a directory whose .env is the env file.
func (in installation) run(t *testing.T, args ...string) (code int, out, stderr string) {
	t.Helper()
	var o, e bytes.Buffer
	code = cli.Run(t.Context(), cli.Env{Stdin: strings.NewReader(""), Stdout: &o, Stderr: &e, DotEnv: in.file}, direct.Backend(), args)
	return code, o.String(), e.String()
}

func (in installation) config(t *testing.T) config.Config {
	t.Helper()
	c, err := config.LoadFrom(config.ForMigrate, nil, in.file)
	require.NoError(t, err)
	return c
}

// drop removes what the test made from the shared server.
func (in installation) drop(t *testing.T) {
	c, err := config.LoadFrom(config.ForTools, nil, in.file)
	require.NoError(t, err)
	if c.CentralURL.IsZero() {
		return
	}
	parsed, err := pgx.ParseConfig(c.CentralURL.Reveal())
	require.NoError(t, err)
	names, err := pgadmin.ParseCentral(parsed.Database)
	require.NoError(t, err)
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, in.superuser)
	require.NoError(t, err)
	defer func() { _ = conn.Close(ctx) }()
	for _, kind := range []struct{ list, drop string }{
		{`SELECT datname FROM pg_database WHERE starts_with(datname, $1)`, "ALTER DATABASE %s IS_TEMPLATE false; DROP DATABASE %s WITH (FORCE)"},
		{`SELECT rolname FROM pg_roles WHERE starts_with(rolname, $1)`, "DROP ROLE %s"},
	} {
		rows, err := conn.Query(ctx, kind.list, names.Prefix())
		require.NoError(t, err)
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		for _, name := range found {
			for _, sql := range strings.Split(kind.drop, "; ") {
				_, err := conn.Exec(ctx, strings.ReplaceAll(sql, "%s", pgx.Identifier{name}.Sanitize()))
				require.NoError(t, err)
			}
		}
	}
}

func TestBootstrapMigrateOperator_MakeAWorkingInstallation(t *testing.T) {
	t.Parallel()
	in := setup(t)
	args := []string{"bootstrap", "--superuser-url", in.superuser, "--env-file", in.file}
	code, out, stderr := in.run(t, args...)
	require.Equal(t, cli.OK, code, stderr)
	require.Contains(t, out, "tenantry migrate")
	c := in.config(t)
	for _, secret := range []string{c.CentralURL.Reveal(), c.ProvisionerURL.Reveal()} {
		require.NotContains(t, out+stderr, secret)
	}

	for range 2 { // the second one has nothing to do, and says so as well
		code, _, stderr = in.run(t, "migrate")
		require.Equal(t, cli.OK, code, stderr)
		require.Contains(t, stderr, "ok      central database\nok      installation\nok      template\n")
	}

	code, out, stderr = in.run(t, "operator", "create", "--name", "me", "--scopes", "tenants.read,ops", "--json")
	require.Equal(t, cli.OK, code, stderr)
	var made cli.OperatorKey
	require.NoError(t, json.Unmarshal([]byte(out), &made))
	pool, err := pgxpool.New(t.Context(), c.CentralURL.Reveal())
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	p, err := operators.New(db.NewCentral(pool, c.KEKKeys.Ring()), clock.System).Authenticate(t.Context(), made.Key)
	require.NoError(t, err)
	require.Equal(t, []string{"tenants.read", "ops"}, p.Scopes)
	require.Equal(t, made.ID, p.ID.String())

	code, _, stderr = in.run(t, "operator", "create", "--name", "me", "--scopes", "ops")
	require.Equal(t, cli.Failed, code)
	require.Contains(t, stderr, "OPERATOR_EXISTS")
	code, _, stderr = in.run(t, "operator", "create", "--name", "other", "--scopes", "everything")
	require.Equal(t, cli.Failed, code)
	require.Contains(t, stderr, "must be of tenants.read")

	before, err := os.ReadFile(in.file)
	require.NoError(t, err)
	code, out, stderr = in.run(t, args...)
	require.Equal(t, cli.OK, code, stderr)
	require.Contains(t, out, "works")
	after, err := os.ReadFile(in.file)
	require.NoError(t, err)
	require.Equal(t, string(before), string(after))
	pool.Close()
}

func TestConfigCheck_OnlinePrintsHowConnectionsAreDivided(t *testing.T) {
	t.Parallel()
	in := setup(t)
	code, _, stderr := in.run(t, "bootstrap", "--superuser-url", in.superuser, "--env-file", in.file)
	require.Equal(t, cli.OK, code, stderr)
	code, out, stderr := in.run(t, "config", "check", "migrate", "--online", "--json")
	require.Equal(t, cli.OK, code, stderr)
	var got struct {
		Connections cli.ConnectionPlan `json:"connections"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	conn, err := pgx.Connect(t.Context(), in.superuser)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	var limit int
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT current_setting('max_connections')::int`).Scan(&limit))
	p := got.Connections
	require.Equal(t, limit, p.MaxConnections)
	require.Equal(t, (limit-p.Reserved-p.Operators)/p.Processes, p.Part)
	require.Len(t, p.ByProcess, 2)
	for _, share := range p.ByProcess {
		require.Equal(t, p.Part, share.Central+share.Provisioner+share.TenantDatabases, share.Process)
	}

	code, out, stderr = in.run(t, "config", "check", "migrate", "--online")
	require.Equal(t, cli.OK, code, stderr)
	require.Contains(t, out, "The database server allows")
	require.Contains(t, out, "TENANT DATABASES")

	text, err := os.ReadFile(in.file)
	require.NoError(t, err)
	c := in.config(t)
	parsed, err := url.Parse(c.CentralURL.Reveal())
	require.NoError(t, err)
	away := filepath.Join(t.TempDir(), "away.env")
	require.NoError(t, os.WriteFile(away, bytes.ReplaceAll(text, []byte(parsed.Host), []byte("127.0.0.1:1")), 0o600))
	code, _, stderr = installation{in.superuser, away}.run(t, "config", "check", "migrate", "--online")
	require.Equal(t, cli.Failed, code)
	require.Contains(t, stderr, "TENANTRY_CENTRAL_URL: the database server cannot be asked")
	require.Equal(t, 1, strings.Count(strings.TrimSpace(stderr), "\n")+1, stderr)
	password, _ := parsed.User.Password()
	require.NotContains(t, stderr, password)
}

func TestBootstrap_GoesOnAfterACrashWithTheSameInstallation(t *testing.T) {
	t.Parallel()
	in := setup(t)
	// The env file was written, the server not reached.
	code, _, stderr := in.run(t, "bootstrap", "--superuser-url", in.superuser, "--env-file", in.file, "--print-sql")
	require.Equal(t, cli.OK, code, stderr)
	planned := in.config(t).CentralURL.Reveal()
	_, err := pgx.Connect(t.Context(), planned)
	require.Error(t, err)

	code, _, stderr = in.run(t, "bootstrap", "--superuser-url", in.superuser, "--env-file", in.file)
	require.Equal(t, cli.OK, code, stderr)
	require.Equal(t, planned, in.config(t).CentralURL.Reveal())
	conn, err := pgx.Connect(t.Context(), planned)
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
}

func TestBootstrap_RefusesAnEnvFileOfAnotherServer(t *testing.T) {
	t.Parallel()
	in := setup(t)
	for _, content := range []string{
		"TENANTRY_CENTRAL_URL=postgres://tn_abcdef_api:x@elsewhere.invalid/tn_abcdef_central\nTENANTRY_PROVISIONER_URL=postgres://tn_abcdef_provisioner:x@elsewhere.invalid/tn_abcdef_central\n",
		"TENANTRY_CENTRAL_URL=postgres://other:x@elsewhere.invalid/tn_abcdef_central\nTENANTRY_PROVISIONER_URL=postgres://tn_abcdef_provisioner:x@elsewhere.invalid/tn_abcdef_central\n",
		"TENANTRY_CENTRAL_URL=postgres://a:x@elsewhere.invalid/mine\nTENANTRY_PROVISIONER_URL=postgres://b:x@elsewhere.invalid/mine\n",
	} {
		other := installation{in.superuser, filepath.Join(t.TempDir(), ".env")}
		require.NoError(t, os.WriteFile(other.file, []byte(content), 0o600))
		code, _, stderr := other.run(t, "bootstrap", "--superuser-url", in.superuser, "--env-file", other.file)
		require.Equal(t, cli.Failed, code)
		require.NotEmpty(t, stderr)
	}
}

func TestMigrate_RefusesOtherKeysThanTheInstallations(t *testing.T) {
	t.Parallel()
	in := setup(t)
	code, _, stderr := in.run(t, "bootstrap", "--superuser-url", in.superuser, "--env-file", in.file)
	require.Equal(t, cli.OK, code, stderr)
	code, _, stderr = in.run(t, "migrate")
	require.Equal(t, cli.OK, code, stderr)
	content, err := os.ReadFile(in.file)
	require.NoError(t, err)
	lines := strings.Split(string(content), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "TENANTRY_KEK_KEYS=") {
			lines[i] = "TENANTRY_KEK_KEYS=k1:" + strings.Repeat("A", 43) + "="
		}
	}
	require.NoError(t, os.WriteFile(in.file, []byte(strings.Join(lines, "\n")), 0o600))
	code, _, stderr = in.run(t, "migrate")
	require.Equal(t, cli.Failed, code)
	require.Contains(t, stderr, "failed  installation")
}

func TestVerify_ScansARealInstallation(t *testing.T) {
	t.Parallel()
	in := setup(t)
	for _, args := range [][]string{{"bootstrap", "--superuser-url", in.superuser, "--env-file", in.file}, {"migrate"}} {
		code, _, stderr := in.run(t, args...)
		require.Equal(t, cli.OK, code, stderr)
	}
	code, out, stderr := in.run(t, "verify", "--json")
	require.Equal(t, cli.OK, code, out+stderr)
	var report struct{ Clean bool }
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.True(t, report.Clean)

	// A role of the installation that no row knows.
	conn, err := pgx.Connect(t.Context(), in.superuser)
	require.NoError(t, err)
	parsed, err := pgx.ParseConfig(in.config(t).CentralURL.Reveal())
	require.NoError(t, err)
	stray := strings.TrimSuffix(parsed.Database, "central") + "t_" + strings.Repeat("a", 32)
	_, err = conn.Exec(t.Context(), "CREATE ROLE "+pgx.Identifier{stray}.Sanitize())
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
	code, out, _ = in.run(t, "verify")
	require.Equal(t, cli.NotClean, code)
	require.Contains(t, out, stray)
}
