// Command loadtest runs a k6 script of ./loadtest against an installation of
// its own: real processes, one tenant, people who have logged in. It exits with
// k6's code, which is not zero when a threshold is passed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"tenantry/internal/systest"
)

const (
	slug     = "load"
	password = "a sentence for the load tests"
	// callers are the accounts that call; seeded are all that there are.
	callers, seeded = 20, 2000
)

// person is a caller, as the scripts see it.
type person struct {
	ID    string `json:"id"`
	Email string `json:"email"`
	Token string `json:"token"`
	// Refresh is the session's refresh token: it changes with each use.
	Refresh string `json:"refresh_token"`
}

func main() {
	k6 := flag.String("k6", "bin/k6", "the k6 binary")
	var env stringList
	flag.Var(&env, "e", "NAME=value for the script: RATE, DURATION; repeatable")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := load(ctx, *k6, flag.Arg(0), env)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, "loadtest:", err)
		os.Exit(1)
	}
}

type stringList []string

// String is for the flag's usage.
func (l *stringList) String() string { return strings.Join(*l, " ") }

// Set adds a value.
func (l *stringList) Set(s string) error {
	*l = append(*l, s)
	return nil
}

func load(ctx context.Context, k6, name string, env []string) error {
	script := filepath.Join("loadtest", name+".js")
	if _, err := os.Stat(script); err != nil || name == "lib" {
		return fmt.Errorf("no script %q: one of %s", name, scripts())
	}
	sys, err := systest.Start(ctx, systest.Options{Env: environment})
	if err != nil {
		return err
	}
	defer func() { _ = sys.Close(); systest.RemoveBuilds() }()
	people, err := prepare(ctx, sys)
	if err != nil {
		return err
	}
	list, err := json.Marshal(people)
	if err != nil {
		return err
	}
	args := []string{"run", "--no-usage-report", "-e", "TENANT_URL=" + sys.TenantURL(slug, ""), "-e", "PASSWORD=" + password}
	secrets := map[string]string{}
	if name == "mfa" {
		if secrets, err = secure(ctx, sys); err != nil {
			return err
		}
	}
	for _, e := range env {
		args = append(args, "-e", e)
	}
	cmd := exec.CommandContext(ctx, k6, append(args, script)...)
	cmd.Env = append(os.Environ(), "PEOPLE="+string(list)) // not on the command line, it holds tokens
	for name, value := range secrets {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

func scripts() string {
	files, _ := filepath.Glob("loadtest/*.js") // fails for bad patterns only
	var names []string
	for _, f := range files {
		if name := strings.TrimSuffix(filepath.Base(f), ".js"); name != "lib" {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// prepare makes a tenant with many people, of whom some are admins and logged in.
func prepare(ctx context.Context, sys *systest.System) ([]person, error) {
	order := systest.NewOrder(slug)
	if _, err := sys.Provision(ctx, order); err != nil {
		return nil, err
	}
	if _, err := sys.Owner(ctx, order, password); err != nil {
		return nil, err
	}
	database, err := sys.Database(ctx, slug)
	if err != nil {
		return nil, err
	}
	if _, err := systest.Value[int64](ctx, sys, database, seed, order.OwnerEmail, seeded, callers); err != nil {
		return nil, fmt.Errorf("seed: %w", err)
	}
	var out []person
	for i := range callers {
		p := person{Email: fmt.Sprintf("person%d@load.example", i+1)}
		if err := p.logIn(ctx, sys); err != nil {
			return nil, err
		}
		if p.ID, err = systest.Value[string](ctx, sys, database, `SELECT id::text FROM users WHERE email = $1`, p.Email); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func (p *person) logIn(ctx context.Context, sys *systest.System) error {
	a, err := sys.Post(ctx, slug, "/v1/auth/login", "", map[string]string{"email": p.Email, "password": password})
	if err != nil {
		return err
	}
	var out struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if err := a.JSON(&out); err != nil || out.Access == "" || out.Refresh == "" {
		return fmt.Errorf("login of %s: %s", p.Email, a)
	}
	p.Token, p.Refresh = out.Access, out.Refresh
	return nil
}

// environment raises what counts one address, because all calls come from one;
// tenants and accounts keep their limits.
var environment = map[string]string{
	"TENANTRY_FLOOD_PER_SECOND": "1000000",
	"TENANTRY_RATE_READ":        "ip:100000/s:100000,tenant:1000/s:2000,principal:50/s:200",
	"TENANTRY_RATE_WRITE":       "ip:100000/s:100000,tenant:200/s:1000,principal:20/s:100",
	"TENANTRY_RATE_CREDENTIAL":  "ip:100000/m:100000,tenant:20/s:200,principal:30/m:30",
}

// seed makes people with the owner's password, the first of them admins. Their
// names are 625 different ones, so a search finds a few and not everybody.
const seed = `
WITH given AS (
	SELECT '{Ada,Alan,Barbara,Brian,Dennis,Donald,Edsger,Edith,Frances,Grace,Hedy,Ida,Jean,John,Katherine,Ken,Leslie,Linus,Margaret,Mary,Niklaus,Radia,Rob,Tim,Tony}'::text[] AS first,
		'{Lovelace,Turing,Liskov,Kernighan,Ritchie,Knuth,Dijkstra,Clarke,Allen,Hopper,Lamarr,Rhodes,Bartik,Backus,Johnson,Thompson,Lamport,Torvalds,Hamilton,Jackson,Wirth,Perlman,Pike,Berners,Hoare}'::text[] AS last
), made AS (
	INSERT INTO users (id, subject_key_id, name, email, email_normalized, password_hash, locale, revision, version, login_count, created_at, updated_at)
	SELECT gen_random_uuid(), subject_key_id, given.first[1 + i % 25] || ' ' || given.last[1 + i / 25 % 25], 'person' || i || '@load.example', 'person' || i || '@load.example',
		password_hash, locale, 1, 1, 0, now() - i * interval '1 minute', now()
	FROM users, given, generate_series(1, $2::int) i WHERE email = $1
	RETURNING id, email
), granted AS (
	INSERT INTO user_roles (user_id, role_id)
	SELECT made.id, roles.id FROM made, roles
	WHERE roles.name = CASE WHEN substring(made.email FROM 'person([0-9]+)@')::int <= $3::int THEN 'admin' ELSE 'member' END
	RETURNING 1
)
SELECT count(*) FROM granted`
