package test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"tenantry/internal/ids"
	"tenantry/internal/pgadmin"
	"tenantry/internal/secrets"
	"tenantry/internal/systest"
)

// stolen is a tenant's database credential, as somebody has it who has taken
// over that tenant's part of the API.
type stolen struct {
	role, password string
	server         url.URL
}

func steal(t *testing.T, s *systest.System, tenantID string) stolen {
	t.Helper()
	ctx := within(t, 30*time.Second)
	id, err := ids.ParseTenant(tenantID)
	require.NoError(t, err)
	ring, err := secrets.ParseKeyring(s.Setting("KEK_KEYS"))
	require.NoError(t, err)
	sealedKey, err := systest.Value[[]byte](ctx, s, "", `SELECT data_key FROM tenants WHERE id = $1`, tenantID)
	require.NoError(t, err)
	sealed, err := systest.Value[[]byte](ctx, s, "", `SELECT role_password FROM tenants WHERE id = $1`, tenantID)
	require.NoError(t, err)
	key, err := secrets.OpenDataKey(ring, id, sealedKey)
	require.NoError(t, err)
	password, err := key.Open(sealed, "role-password")
	require.NoError(t, err)
	role, err := systest.Value[string](ctx, s, "", `SELECT role_name FROM tenants WHERE id = $1`, tenantID)
	require.NoError(t, err)
	server, err := url.Parse(s.Postgres.URL)
	require.NoError(t, err)
	return stolen{role: role, password: string(password), server: *server}
}

func (c stolen) connect(ctx context.Context, database string) (*pgx.Conn, error) {
	u := c.server
	u.User, u.Path = url.UserPassword(c.role, c.password), "/"+database
	return pgx.Connect(ctx, u.String())
}

// prober tries to connect to every database it is told of, all the time.
type prober struct {
	as stolen

	mu      sync.Mutex
	targets []string
	// answers counts, by database, how the server answered ("42501").
	answers map[string]map[string]int
	stopped chan struct{}
	all     sync.WaitGroup
}

const reached = "connected"

func startProber(as stolen, workers int, databases ...string) *prober {
	p := &prober{as: as, targets: databases, answers: map[string]map[string]int{}, stopped: make(chan struct{})}
	for range workers {
		p.all.Go(p.probe)
	}
	return p
}

// aim adds databases, whether they exist yet or not.
func (p *prober) aim(databases ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range databases {
		if !slices.Contains(p.targets, d) {
			p.targets = append(p.targets, d)
		}
	}
}

// next walks the targets from the newest to the oldest: what is being made is
// what matters.
func (p *prober) next(turn int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	window := len(p.targets)
	if turn%3 != 0 {
		window = min(window, 6)
	}
	return p.targets[len(p.targets)-1-turn%window]
}

func (p *prober) probe() {
	ctx := context.Background()
	for turn := 0; ; turn++ {
		select {
		case <-p.stopped:
			return
		default:
		}
		database := p.next(turn)
		answer := p.try(ctx, database)
		p.mu.Lock()
		if p.answers[database] == nil {
			p.answers[database] = map[string]int{}
		}
		p.answers[database][answer]++
		p.mu.Unlock()
	}
}

func (p *prober) try(ctx context.Context, database string) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := p.as.connect(ctx, database)
	if err == nil {
		_ = conn.Close(ctx)
		return reached
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Code
	}
	return "no answer"
}

// stop ends the probing; what was counted stays.
func (p *prober) stop() {
	close(p.stopped)
	p.all.Wait()
}

func (p *prober) count(database, answer string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.answers[database][answer]
}

// TestIsolation_NoRoleReachesAnotherDatabase probes with a tenant's own
// credential while other tenants are being made, from before their databases
// exist until after they are open.
func TestIsolation_NoRoleReachesAnotherDatabase(t *testing.T) {
	t.Parallel()
	n := 8
	if text := os.Getenv("TENANTRY_TEST_ISOLATION"); text != "" {
		var err error
		n, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	s := own(t, systest.Options{})
	ctx := within(t, 10*time.Minute)
	attacker, err := s.Provision(ctx, systest.NewOrder("attacker"))
	require.NoError(t, err)
	as := steal(t, s, attacker.TenantID)
	conn, err := as.connect(ctx, as.role)
	require.NoError(t, err, "the credential is good for its own database")
	require.NoError(t, conn.Close(ctx))

	central, err := systest.Value[string](ctx, s, "", `SELECT current_database()::text`)
	require.NoError(t, err)
	names, err := pgadmin.ParseCentral(central)
	require.NoError(t, err)
	fixed := []string{central, "postgres", "template1", "template0"}
	templates, err := systest.Query[string](ctx, s, "", `SELECT datname::text FROM pg_database WHERE datname LIKE '%\_tpl\_%'`)
	require.NoError(t, err)
	require.NotEmpty(t, templates)
	p := startProber(as, 4, append(slices.Clone(fixed), templates...)...)
	var once sync.Once
	defer once.Do(p.stop)

	victims := make([]string, n)
	ops := make([]systest.Operation, n)
	for i := range n {
		// The name is known from the first answer on, the database not made yet.
		op, err := s.Order(ctx, systest.NewOrder(fmt.Sprintf("victim-%d", i)))
		require.NoError(t, err)
		id, err := ids.ParseTenant(op.TenantID)
		require.NoError(t, err)
		victims[i], ops[i] = names.Tenant(id), op
		p.aim(victims[i])
		if i%4 == 3 { // some at once, and the prober keeps up
			_, err = s.WaitOperation(ctx, op.ID)
			require.NoError(t, err)
		}
	}
	for i, op := range ops {
		op, err := s.WaitOperation(ctx, op.ID)
		require.NoError(t, err)
		whole(t, s, op, fmt.Sprintf("victim-%d", i))
	}
	for _, database := range append(victims, fixed...) {
		require.NoError(t, systest.Until(ctx, "the prober has tried "+database, func(context.Context) (bool, error) {
			return p.count(database, "42501") > 0 || p.count(database, "55000") > 0, nil
		}))
	}
	control(t, s, p)
	once.Do(p.stop)

	tries, closed := 0, 0
	for database, answers := range p.answers {
		for answer, times := range answers {
			tries += times
			require.Contains(t, []string{"3D000", "42501", "55000"}, answer, "%s answered %d times", database, times)
			if slices.Contains(victims, database) && answer == "55000" {
				closed += times
			}
		}
	}
	require.Positive(t, closed, "some tries met a database that was there and not open yet")
	t.Logf("%d tries at %d databases, %d of them while a database was made; none connected", tries, len(p.answers), closed)
	clean(t, s)
}

// control shows that the prober would see an open door. It takes its own
// traces away again.
func control(t *testing.T, s *systest.System, p *prober) {
	t.Helper()
	ctx := within(t, time.Minute)
	conn, err := s.Connect(ctx, "")
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, `CREATE DATABASE left_open`)
	require.NoError(t, err)
	p.aim("left_open")
	require.NoError(t, systest.Until(ctx, "the prober reaches a database that is open to everybody", func(context.Context) (bool, error) {
		return p.count("left_open", reached) > 0, nil
	}))
	p.mu.Lock()
	p.targets = slices.DeleteFunc(p.targets, func(d string) bool { return d == "left_open" })
	p.mu.Unlock()
	_, err = conn.Exec(ctx, `DROP DATABASE left_open WITH (FORCE)`)
	require.NoError(t, err)
	// A try that was under way ends before its answer is forgotten.
	require.NoError(t, systest.Until(ctx, "the prober has moved on", func(context.Context) (bool, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		_, back := p.answers["left_open"]
		delete(p.answers, "left_open")
		return !back, nil
	}))
}

// TestAPICredential_ChangesNoRoleAndNoDatabase: whoever takes over the API
// process gets the rows of the central database, and no server.
func TestAPICredential_ChangesNoRoleAndNoDatabase(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := within(t, time.Minute)
	op, err := s.Provision(ctx, systest.NewOrder("a-bystander"))
	require.NoError(t, err)
	victim := "tn_" + strings.Split(steal(t, s, op.TenantID).role, "_")[1] + "_t_" + strings.ReplaceAll(op.TenantID, "-", "")
	central, err := url.Parse(s.Setting("CENTRAL_URL"))
	require.NoError(t, err)
	provisioner := strings.Replace(central.User.Username(), "_api", "_provisioner", 1)
	conn, err := pgx.Connect(ctx, central.String())
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var one int
	require.NoError(t, conn.QueryRow(ctx, `SELECT 1 FROM tenants LIMIT 1`).Scan(&one), "it reads the central rows")
	for _, sql := range []string{
		`CREATE DATABASE mine`, `DROP DATABASE ` + victim, `ALTER DATABASE ` + victim + ` ALLOW_CONNECTIONS false`, `ALTER DATABASE ` + victim + ` OWNER TO CURRENT_USER`,
		`GRANT CONNECT ON DATABASE ` + victim + ` TO CURRENT_USER`,
		`CREATE ROLE mine LOGIN`, `DROP ROLE ` + victim, `ALTER ROLE ` + victim + ` PASSWORD 'mine'`, `ALTER ROLE CURRENT_USER CREATEDB`, `ALTER ROLE CURRENT_USER CREATEROLE`,
		`ALTER ROLE CURRENT_USER SUPERUSER`, `GRANT ` + provisioner + ` TO CURRENT_USER`, `GRANT ` + victim + ` TO CURRENT_USER`, `SET ROLE ` + provisioner, `SET ROLE ` + victim,
		`CREATE TABLE mine (id int)`, `DROP TABLE tenants`, `TRUNCATE audit_log`, `DELETE FROM audit_log`, `UPDATE audit_log SET action = 'x'`,
		`COPY (SELECT 1) TO PROGRAM 'true'`, `CREATE EXTENSION dblink`, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '` + provisioner + `'`,
	} {
		_, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
		if strings.HasPrefix(sql, "GRANT CONNECT") && err == nil {
			continue // Postgres warns and grants nothing; the connect below shows it
		}
		var refused *pgconn.PgError
		require.ErrorAs(t, err, &refused, sql)
		require.Equal(t, "42501", refused.Code, "%s: %v", sql, err)
	}
	for _, database := range []string{victim, "postgres", "template1"} {
		other := *central
		other.Path = "/" + database
		_, err := pgx.Connect(ctx, other.String())
		var refused *pgconn.PgError
		require.ErrorAs(t, err, &refused, database)
		require.Equal(t, "42501", refused.Code, database)
	}
	require.NotContains(t, strings.Join(processEnvironment(t, s), "\n"), "TENANTRY_PROVISIONER_URL", "and the API is not given another")
	missing, err := s.Missing(ctx, op.TenantID, "a-bystander")
	require.NoError(t, err)
	require.Empty(t, missing)
}

// TestTenantCredential_IsAGuestInItsOwnDatabase: what the tenant's role could
// use to let others in, or itself out.
func TestTenantCredential_IsAGuestInItsOwnDatabase(t *testing.T) {
	t.Parallel()
	s := shared(t)
	ctx := within(t, time.Minute)
	op, err := s.Provision(ctx, systest.NewOrder("a-guest"))
	require.NoError(t, err)
	as := steal(t, s, op.TenantID)
	conn, err := as.connect(ctx, as.role)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for _, sql := range []string{
		`DROP DATABASE ` + as.role, `ALTER DATABASE ` + as.role + ` RENAME TO mine`, `CREATE DATABASE mine`, `CREATE ROLE mine`, `CREATE SCHEMA mine`,
		`CREATE TABLE mine (id int)`, `DROP TABLE users`, `ALTER TABLE users DISABLE TRIGGER ALL`, `ALTER ROLE CURRENT_USER CREATEDB`,
		`UPDATE audit_log SET action = 'x'`, `DELETE FROM audit_log`, `TRUNCATE audit_log`, `COPY (SELECT 1) TO PROGRAM 'true'`,
	} {
		_, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
		var refused *pgconn.PgError
		require.ErrorAs(t, err, &refused, sql)
		require.Contains(t, []string{"42501", "55006"}, refused.Code, "%s: %v", sql, err)
	}
	_, _ = conn.Exec(ctx, `GRANT CONNECT ON DATABASE `+as.role+` TO PUBLIC`, pgx.QueryExecModeSimpleProtocol) // a warning at most
	missing, err := s.Missing(ctx, op.TenantID, "a-guest")
	require.NoError(t, err)
	require.Empty(t, missing, "PUBLIC is still out")
}

func processEnvironment(t *testing.T, s *systest.System) []string {
	t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.API().PID()))
	if errors.Is(err, os.ErrNotExist) {
		return nil // not Linux
	}
	require.NoError(t, err)
	return strings.Split(string(content), "\x00")
}
