package cli_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tenantry/internal/apperr"
	"tenantry/internal/cli"
	"tenantry/internal/config"
)

func ring(id string) string {
	return id + ":" + base64.StdEncoding.EncodeToString([]byte("planted-key-of-32-characters-" + id + "!"))[:44]
}

func databaseEnv() map[string]string {
	return map[string]string{"CENTRAL_URL": "postgres://api:planted@127.0.0.1/central", "KEK_KEYS": ring("k1")}
}

func serverEnv() map[string]string {
	env := databaseEnv()
	for name, value := range map[string]string{
		"PUBLIC_URL": "http://localhost:8080", "REDIS_URL": "redis://:planted@127.0.0.1:6379", "TEMPORAL_ADDRESS": "127.0.0.1:7233",
		"CODEC_KEYS": ring("c1"), "PEPPER_KEYS": ring("p1"), "CODEC_TOKEN": strings.Repeat("planted-", 5), "PROVISIONER_URL": "postgres://prov:planted@127.0.0.1/central",
		"SMTP_URL": "smtp://u:planted@127.0.0.1:25", "MAIL_FROM": "a@b.example", "OPERATOR_KEY": operatorKey,
	} {
		env[name] = value
	}
	return env
}

// fakeBackend answers what tests look for.
func fakeBackend() cli.Backend {
	server := func(_ context.Context, c config.Config, log *slog.Logger) error {
		log.Info("config", "config", c, "provisioner", !c.ProvisionerURL.IsZero())
		return nil
	}
	return cli.Backend{
		RunAPI: server, RunWorker: server, RunCodec: server,
		CreateOperator: func(_ context.Context, c config.Config, in cli.OperatorInput) (cli.OperatorKey, error) {
			return cli.OperatorKey{ID: "k", Name: in.Name, Scopes: in.Scopes, Key: "tnop_by-database"}, nil
		},
		Migrate: func(context.Context, config.Config, *slog.Logger, func(string, error)) error { return nil },
		Verify: func(context.Context, config.Config, *slog.Logger) (cli.VerifyReport, error) {
			return fakeReport{clean: true, text: "clean\n"}, nil
		},
	}
}

type fakeReport struct {
	clean bool
	text  string
}

func (r fakeReport) Clean() bool { return r.clean }

func (r fakeReport) WriteText(w io.Writer) error {
	_, err := io.WriteString(w, r.text)
	return err
}

func (r fakeReport) WriteJSON(w io.Writer) error {
	return json.NewEncoder(w).Encode(map[string]bool{"clean": r.clean})
}

// commands are all that can be run, with what they need at least.
var commands = []string{
	"api", "worker", "codec", "bootstrap", "migrate", "verify", "config", "config check", "tenant", "tenant create", "tenant list", "tenant get",
	"hook", "hook create", "hook list", "hook add-secret", "hook retire-secret", "hook sign", "operator", "operator create", "operator list", "operator revoke",
	"ops", "ops get", "ops list", "ops wait", "ops cancel", "completion", "completion bash", "version",
}

func TestHelp_RunsForEveryCommandWithoutConfiguration(t *testing.T) {
	t.Parallel()
	for _, name := range append(commands, "") {
		r := command{env: map[string]string{"BROKEN": "x"}}.run(t, append(strings.Fields(name), "--help")...)
		require.Equal(t, cli.OK, r.code, name)
		require.Contains(t, r.out, "Usage:", name)
	}
}

func TestExitCodes_UsageIsTwo(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"tenants"}, {"tenant", "creat"}, {"tenant", "create"}, {"tenant", "get"}, {"tenant", "list", "--nope"}, {"api", "extra"}, {"--nope"},
		{"hook", "retire-secret", "--source", "x"}, {"bootstrap"}, {"config", "check", "nobody"}, {"ops", "wait", "a", "b"},
		{"tenant", "create", "--slug", "a", "--name", "b", "--owner-email", "c", "--no-wait", "--reserve-only"},
		{"tenant", "create", "--slug", "a", "--name", "b", "--owner-email", "c", "--registration-policy", "closed"},
	} {
		r := command{env: serverEnv()}.run(t, args...)
		require.Equal(t, cli.Usage, r.code, args)
		require.Contains(t, r.stderr, "error: ", args)
		require.Contains(t, r.stderr, "--help", args)
		require.Empty(t, r.out, args)
	}
	require.Contains(t, command{}.run(t, "tenant", "creat").stderr, `did you mean "create"?`)
}

func TestExitCodes_BrokenConfigurationIsTwoAndStartsNothing(t *testing.T) {
	t.Parallel()
	started := func(context.Context, config.Config, *slog.Logger) error { t.Error("started"); return nil }
	b := cli.Backend{RunAPI: started, RunWorker: started, RunCodec: started}
	for _, name := range []string{"api", "worker", "codec", "migrate", "verify", "tenant list", "ops list", "operator list", "hook list"} {
		env := serverEnv()
		env["LOG_LEVEL"], env["POOL_BUDGET"], env["TYPO"] = "planted", "planted", "planted"
		r := command{env: env, backend: b}.run(t, strings.Fields(name)...)
		require.Equal(t, cli.Usage, r.code, name)
		for _, variable := range []string{"LOG_LEVEL", "POOL_BUDGET", "TYPO"} {
			require.Contains(t, r.stderr, "TENANTRY_"+variable, name)
		}
		require.Contains(t, r.stderr, "3 mistakes", name)
		require.NotContains(t, r.out+r.stderr, "planted", name)
	}
}

func TestServe_RunsWithItsOwnConfigurationAndLogsNoSecret(t *testing.T) {
	t.Parallel()
	for name, provisioner := range map[string]bool{"api": false, "worker": true, "codec": false} {
		r := command{env: serverEnv(), backend: fakeBackend()}.run(t, name)
		require.Equal(t, cli.OK, r.code, r.stderr)
		require.Equal(t, !provisioner, strings.Contains(r.stderr, "TENANTRY_PROVISIONER_URL is in the environment"), name)
		require.Equal(t, provisioner, strings.Contains(r.stderr, `"provisioner":true`), name)
		require.Contains(t, r.stderr, "[redacted]")
		requireNoSecret(t, r)
	}
}

func requireNoSecret(t *testing.T, r result) {
	t.Helper()
	for _, secret := range []string{"planted", ring("k1")[3:], ring("c1")[3:], ring("p1")[3:]} {
		require.NotContains(t, r.out+r.stderr, secret)
	}
}

func TestConfigCheck_ShowsEverythingButSecrets(t *testing.T) {
	t.Parallel()
	r := command{env: serverEnv()}.run(t, "config", "check")
	require.Equal(t, cli.OK, r.code, r.stderr)
	require.Contains(t, r.out, "http://localhost:8080")
	require.Contains(t, r.out, "[redacted]")
	requireNoSecret(t, r)
	r = command{env: serverEnv()}.run(t, "config", "check", "--json", "api")
	got := decode[struct {
		OK        bool
		Variables map[string]string
		Warnings  []string
	}](t, r.out)
	require.True(t, got.OK)
	require.Equal(t, "0", got.Variables["TENANTRY_POOL_BUDGET"])
	require.Len(t, got.Warnings, 1)
	requireNoSecret(t, r)

	r = command{env: map[string]string{"MAIL_FROM": "planted"}}.run(t, "config", "check", "--json", "worker")
	require.Equal(t, cli.Usage, r.code)
	require.NotContains(t, r.out, "planted")
	bad := decode[struct {
		OK       bool
		Problems []config.Problem
	}](t, r.out)
	require.False(t, bad.OK)
	require.Len(t, bad.Problems, 9)
}

func TestMigrate_NamesTheTenantsThatFailed(t *testing.T) {
	t.Parallel()
	b := fakeBackend()
	b.Migrate = func(_ context.Context, _ config.Config, _ *slog.Logger, progress func(string, error)) error {
		progress("central database", nil)
		progress("tenant one", nil)
		progress("tenant two", errors.New("SQLSTATE 42P01"))
		return errors.New("1 of 2 tenants were not migrated")
	}
	r := command{env: serverEnv(), backend: b}.run(t, "migrate")
	require.Equal(t, cli.Failed, r.code)
	require.Equal(t, "ok      central database\nok      tenant one\nfailed  tenant two: SQLSTATE 42P01\nerror: not migrated: tenant two\n", r.stderr)
	r = command{env: serverEnv(), backend: b}.run(t, "migrate", "--json")
	require.Equal(t, cli.Failed, r.code)
	require.Equal(t, []any{"tenant two"}, decode[map[string]any](t, r.out)["failed"])
	require.Equal(t, cli.OK, command{env: serverEnv(), backend: fakeBackend()}.run(t, "migrate").code)
}

func TestVerify_ExitsThreeWhenNotClean(t *testing.T) {
	t.Parallel()
	b := fakeBackend()
	r := command{env: serverEnv(), backend: b}.run(t, "verify")
	require.Equal(t, cli.OK, r.code, r.stderr)
	require.Equal(t, "clean\n", r.out)
	b.Verify = func(context.Context, config.Config, *slog.Logger) (cli.VerifyReport, error) {
		return fakeReport{text: "database tn_x without a row\n"}, nil
	}
	r = command{env: serverEnv(), backend: b}.run(t, "verify")
	require.Equal(t, cli.NotClean, r.code)
	require.Contains(t, r.out, "without a row")
	r = command{env: serverEnv(), backend: b}.run(t, "verify", "--json")
	require.Equal(t, cli.NotClean, r.code)
	require.Equal(t, map[string]bool{"clean": false}, decode[map[string]bool](t, r.out))
	b.Verify = func(context.Context, config.Config, *slog.Logger) (cli.VerifyReport, error) {
		return nil, apperr.New(apperr.Unavailable, "CENTRAL_UNREACHABLE", "The database cannot be reached.")
	}
	r = command{env: serverEnv(), backend: b}.run(t, "verify")
	require.Equal(t, cli.Failed, r.code)
	require.Equal(t, "error: The database cannot be reached.\n  reason:     CENTRAL_UNREACHABLE\n", r.stderr)
}

func TestVersionAndCompletion_Print(t *testing.T) {
	t.Parallel()
	require.NotEmpty(t, decode[map[string]any](t, command{}.run(t, "version", "--json").out)["go"])
	r := command{}.run(t, "completion", "bash")
	require.Equal(t, cli.OK, r.code)
	require.Contains(t, r.out, "__start_tenantry")
	r = command{}.run(t, "__complete", "operator", "create", "--scopes", "")
	require.Contains(t, r.out, "hooks.manage")
}

// bootstrapFake remembers what would have been made.
type bootstrapFake struct {
	made   []cli.BootstrapPlan
	works  bool
	before func()
}

func (b *bootstrapFake) backend() cli.Backend {
	n := 0
	return cli.Backend{
		PlanBootstrap: func(string) (cli.BootstrapPlan, error) {
			n++
			id := strings.Repeat("x", n)
			return cli.BootstrapPlan{CentralURL: "postgres://api:planted-" + id + "@h/tn", ProvisionerURL: "postgres://prov:planted-" + id + "@h/tn"}, nil
		},
		BootstrapSQL: func(cli.BootstrapPlan) (string, error) { return "CREATE ROLE x;\n", nil },
		Bootstrap: func(_ context.Context, _ string, p cli.BootstrapPlan) error {
			if b.before != nil {
				b.before()
			}
			b.made = append(b.made, p)
			return nil
		},
		Ping: func(context.Context, string) error {
			if b.works {
				return nil
			}
			return errors.New("refused")
		},
	}
}

func TestBootstrap_KeepsCredentialsBeforeItMakesAnything(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "installation.env")
	fake := &bootstrapFake{before: func() {
		c, err := config.LoadFrom(config.ForMigrate|config.ForCodec, nil, file)
		require.NoError(t, err)
		require.Equal(t, "postgres://prov:planted-x@h/tn", c.ProvisionerURL.Reveal())
		require.False(t, c.PepperKeys.IsZero())
	}}
	c := command{backend: fake.backend()}
	args := []string{"bootstrap", "--superuser-url", "postgres://root:planted@h/postgres", "--env-file", file}
	r := c.run(t, args...)
	require.Equal(t, cli.OK, r.code, r.stderr)
	require.Contains(t, r.out, "tenantry migrate")
	require.NotContains(t, r.out+r.stderr, "planted")
	first, err := os.ReadFile(file)
	require.NoError(t, err)
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	// It crashed before the server had it: the same plan again.
	require.Equal(t, cli.OK, c.run(t, args...).code)
	require.Len(t, fake.made, 2)
	require.Equal(t, fake.made[0], fake.made[1])

	// It works: nothing to do.
	fake.works = true
	r = c.run(t, append(args, "--json")...)
	require.Equal(t, cli.OK, r.code, r.stderr)
	require.Equal(t, false, decode[map[string]any](t, r.out)["made"])
	require.Len(t, fake.made, 2)
	again, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(first), string(again))
}

func TestBootstrap_NeverReplacesHalfOfAnInstallation(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), ".env")
	require.NoError(t, os.WriteFile(file, []byte("TENANTRY_CENTRAL_URL=postgres://api:planted@h/tn\n"), 0o600))
	fake := &bootstrapFake{}
	c := command{backend: fake.backend(), env: map[string]string{"SUPERUSER_URL": "postgres://root:planted@h/postgres"}}
	r := c.run(t, "bootstrap", "--env-file", file)
	require.Equal(t, cli.Failed, r.code)
	require.Empty(t, fake.made)
	require.NotContains(t, r.stderr, "planted")
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "TENANTRY_CENTRAL_URL=postgres://api:planted@h/tn\n", string(content))
	fake.works = true
	require.Equal(t, cli.OK, c.run(t, "bootstrap", "--env-file", file).code)
	require.Empty(t, fake.made)
}

func TestBootstrap_PrintsTheScriptAndMakesNothing(t *testing.T) {
	t.Parallel()
	fake := &bootstrapFake{}
	file := filepath.Join(t.TempDir(), ".env")
	r := command{backend: fake.backend()}.run(t, "bootstrap", "--print-sql", "--superuser-url", "postgres://x@h/postgres", "--env-file", file)
	require.Equal(t, cli.OK, r.code, r.stderr)
	require.Equal(t, "CREATE ROLE x;\n", r.out)
	require.Empty(t, fake.made)
	require.FileExists(t, file)
	require.Equal(t, cli.Usage, command{backend: fake.backend()}.run(t, "bootstrap", "--env-file", file).code)
}
