package config_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/config"
	"tenantry/internal/ratelimit"
)

const everything = config.ForAPI | config.ForWorker | config.ForCodec | config.ForMigrate | config.ForCLIDatabase | config.ForClient | config.ForTools

func keys(id string) string {
	return id + ":" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(id[:1], 32)))
}

// complete is a whole configuration; its secrets can be found again.
func complete() map[string]string {
	return map[string]string{
		"PUBLIC_URL": "http://localhost:8080", "CODEC_TOKEN": "planted-codec-token-0123456789abcdef",
		"CODEC_ORIGINS": "http://localhost:8233,http://127.0.0.1:8233",
		"CENTRAL_URL":   "postgres://api:planted-central@127.0.0.1:5432/central", "PROVISIONER_URL": "postgres://prov:planted-prov@127.0.0.1:5432/central",
		"REDIS_URL": "redis://:planted-redis@127.0.0.1:6379/0", "TEMPORAL_ADDRESS": "127.0.0.1:7233",
		"SMTP_URL": "smtp://user:planted-smtp@127.0.0.1:1025", "MAIL_FROM": "Tenantry <no-reply@tenantry.example>",
		"KEK_KEYS": keys("k1"), "CODEC_KEYS": keys("c1"), "PEPPER_KEYS": keys("p1"),
		"OPERATOR_KEY": "tnop_planted-operator", "HOOK_SECRET": "whsec_planted-hook", "SUPERUSER_URL": "postgres://root:planted-root@127.0.0.1/postgres",
	}
}

// planted is what no output may hold.
func planted() []string {
	out := []string{"planted"}
	for _, name := range []string{"KEK_KEYS", "CODEC_KEYS", "PEPPER_KEYS"} {
		_, key, _ := strings.Cut(complete()[name], ":")
		out = append(out, key)
	}
	return out
}

func environ(values map[string]string) []string {
	env := []string{"PATH=/bin", "HOME=/nowhere"}
	for name, value := range values {
		env = append(env, config.Prefix+name+"="+value)
	}
	return env
}

func with(changes ...string) map[string]string {
	values := complete()
	for i := 0; i < len(changes); i += 2 {
		values[changes[i]] = changes[i+1]
	}
	return values
}

func without(names ...string) map[string]string {
	values := complete()
	for _, n := range names {
		delete(values, n)
	}
	return values
}

func load(t *testing.T, p config.Process, values map[string]string) (config.Config, error) {
	t.Helper()
	return config.LoadFrom(p, environ(values), filepath.Join(t.TempDir(), ".env"))
}

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// problems answers the variables that an error names.
func problems(t *testing.T, err error) []string {
	t.Helper()
	var e *config.Error
	require.ErrorAs(t, err, &e)
	var names []string
	for _, p := range e.Problems {
		names = append(names, strings.TrimPrefix(p.Variable, config.Prefix))
	}
	return names
}

func TestLoad_ReadsEveryVariableIntoItsType(t *testing.T) {
	t.Parallel()
	c, err := load(t, everything, with("LOG_LEVEL", "debug", "STICKY_TIMEOUT", "500ms", "HASH_CONCURRENCY", "3", "PUBLIC_URL", "https://tenantry.example:8443/",
		"TRUSTED_PROXIES", "10.0.0.0/8,fd00::/8", "RATE_READ", "ip:1/s:1,tenant:2/m:3,principal:4/h:5", "RATE_WRITE", "off"))
	require.NoError(t, err)
	require.Equal(t, "tenantry.example", c.BaseDomain())
	require.Equal(t, "https://tenantry.example:8443", c.CentralBase())
	require.Equal(t, "https://acme.tenantry.example:8443", c.TenantBase("acme"))
	require.Equal(t, c.CentralBase(), c.ClientBase())
	require.Equal(t, []string{"http://localhost:8233", "http://127.0.0.1:8233"}, c.CodecOrigins)
	require.Equal(t, "no-reply@tenantry.example", c.MailFrom.Address)
	require.Equal(t, slog.LevelDebug, c.LogLevel)
	require.Equal(t, 500*time.Millisecond, c.StickyTimeout)
	require.Equal(t, 3, c.HashConcurrency)
	require.Equal(t, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}, c.TrustedProxies)
	require.Equal(t, ratelimit.Limit{Count: 2, Per: time.Minute, Burst: 3}, c.RateRead.Tenant)
	require.True(t, c.RateWrite.Off())
	require.Equal(t, 30, c.RateCredential.Principal.Burst, "the default")
	require.Contains(t, c.Describe(), config.Setting{Name: "TENANTRY_TRUSTED_PROXIES", Value: "10.0.0.0/8,fd00::/8"})
	require.Contains(t, c.Describe(), config.Setting{Name: "TENANTRY_RATE_READ", Value: "ip:1/s:1,tenant:2/m:3,principal:4/h:5"})
	require.Equal(t, complete()["CENTRAL_URL"], c.CentralURL.Reveal())
	require.Equal(t, "k1", c.KEKKeys.Ring().Primary())
	require.Empty(t, c.Warnings())
}

func TestLoad_FillsDefaults(t *testing.T) {
	t.Parallel()
	c, err := load(t, config.ForWorker, complete())
	require.NoError(t, err)
	require.Equal(t, []string{"127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:8082"}, []string{c.APIAddr, c.WorkerAddr, c.CodecAddr})
	require.Equal(t, "default", c.TemporalNamespace)
	require.Equal(t, []int{4, 0, 4, 8}, []int{c.Processes, c.PoolBudget, c.PoolShare, c.CentralPool})
	require.Equal(t, 5*time.Second, c.StickyTimeout)
	require.Equal(t, slog.LevelInfo, c.LogLevel)
	require.GreaterOrEqual(t, c.HashConcurrency, 1)
}

func TestLoad_ReportsEveryMistakeAtOnce(t *testing.T) {
	t.Parallel()
	values := map[string]string{
		"PUBLIC_URL": "https://user:planted@tenantry.example", "API_ADDR": "8080", "CODEC_ADDR": "0.0.0.0:8082", "CODEC_TOKEN": "planted-short",
		"CODEC_ORIGINS": "*", "CENTRAL_URL": "mysql://api:planted@127.0.0.1/central", "PROVISIONER_URL": "postgres://127.0.0.1/planted",
		"REDIS_URL": "127.0.0.1:6379/planted", "TEMPORAL_NAMESPACE": "a b", "SMTP_URL": "smtp://user:planted@mail", "MAIL_FROM": "planted",
		"KEK_KEYS": "planted:planted", "CODEC_KEYS": keys("c1") + "," + keys("c1"), "HASH_CONCURRENCY": "0", "POOL_BUDGET": "many", "POOL_SHARE": "4",
		"LOG_LEVEL": "loud", "STICKY_TIMEOUT": "5", "PUBLC_URL": "planted", "TEST_PG_URL": "x", "CRASH_AT": "x",
	}
	_, err := load(t, config.ForAPI|config.ForWorker|config.ForCodec|config.ForClient, values)
	require.Error(t, err)
	golden := filepath.Join("testdata", "mistakes.txt")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile(golden, []byte(err.Error()), 0o644))
	}
	want, readErr := os.ReadFile(golden)
	require.NoError(t, readErr)
	require.Equal(t, string(want), err.Error())
	require.NotContains(t, err.Error(), "planted")
}

func TestLoad_RefusesEachBadValue(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string][]string{
		"PUBLIC_URL":         {"localhost", "ftp://a.example", "http://", "http://127.0.0.1:8080", "http://[::1]", "https://a.example/x", "https://a.example?x=1", "https://A.example", "https://a_b.example", "https://a.example:99999", "http://%zz"},
		"API_ADDR":           {"localhost", "127.0.0.1", ":x", "127.0.0.1:70000"},
		"CODEC_ADDR":         {":8082", "192.168.1.1:8082", "example.com:8082"},
		"CODEC_TOKEN":        {strings.Repeat("x", 31), strings.Repeat("x ", 20)},
		"CODEC_ORIGINS":      {"*", "http://a.example/", "a.example", "http://a.example,", "null"},
		"CENTRAL_URL":        {"host=localhost", "postgres://127.0.0.1/db", "postgres://u@/", "postgres://u@h/", "postgres://u:%zz@h/db"},
		"REDIS_URL":          {"http://h", "redis://", "redis://h:1/notanumber"},
		"TEMPORAL_ADDRESS":   {"localhost", ":7233", "http://localhost:7233", "h:0"},
		"TEMPORAL_NAMESPACE": {"a b", "x"},
		"SMTP_URL":           {"mail:25", "smtp://mail", "smtp://u@mail:25", "smtp://mail:25/x", "http://mail:25"},
		"MAIL_FROM":          {"nobody", "a@b, c@d", "a@"},
		"KEK_KEYS":           {"x", "k1:YWJj", "K:" + keys("k")[2:], ","},
		"HASH_CONCURRENCY":   {"0", "-1", "x", "1.5"},
		"CENTRAL_POOL":       {"1", "1001"},
		"POOL_BUDGET":        {"-1", "10001"},
		"POOL_SHARE":         {"0", "10001"},
		"PROCESSES":          {"0", "1001"},
		"STICKY_TIMEOUT":     {"1ms", "2m", "5"},
		"METRICS_ADDR":       {"9464", "OFF", "127.0.0.1:x"},
		"TRUSTED_PROXIES":    {"10.0.0.1", "10.0.0.0/33", "10.0.0.1/8", "0.0.0.0/0", "::/0", "::ffff:10.0.0.0/104", "10.0.0.0/8,", "10.0.0.0/8, fd00::/8", "proxy.example", "fe80::%eth0/64"},
		"RATE_READ":          {"100/s:1", "ip:100/s:1", "ip:1/s:1,tenant:1/s:1,principal:1/d:1", "Off", "0"},
		"LOG_LEVEL":          {"loud"},
		"OPERATOR_KEY":       {"secret"},
	} {
		for _, value := range bad {
			_, err := load(t, everything, with(name, value))
			require.Error(t, err, "%s=%s", name, value)
			require.Equal(t, []string{name}, problems(t, err), "%s=%s", name, value)
		}
	}
}

func TestLoad_WarnsOfAShareAboveTheBudget(t *testing.T) {
	t.Parallel()
	values := complete()
	delete(values, "PROVISIONER_URL")
	values["POOL_BUDGET"] = "3"
	c, err := load(t, config.ForAPI, values)
	require.NoError(t, err)
	require.Len(t, c.Warnings(), 1)
	require.Contains(t, c.Warnings()[0], "POOL_SHARE")
}

func TestLoad_AsksOnlyForWhatTheProcessNeeds(t *testing.T) {
	t.Parallel()
	for p, want := range map[config.Process][]string{
		config.ForAPI:         {"PUBLIC_URL", "CENTRAL_URL", "REDIS_URL", "TEMPORAL_ADDRESS", "KEK_KEYS", "CODEC_KEYS", "PEPPER_KEYS"},
		config.ForWorker:      {"PUBLIC_URL", "CENTRAL_URL", "PROVISIONER_URL", "REDIS_URL", "TEMPORAL_ADDRESS", "SMTP_URL", "MAIL_FROM", "KEK_KEYS", "CODEC_KEYS"},
		config.ForCodec:       {"CODEC_TOKEN", "CODEC_KEYS"},
		config.ForMigrate:     {"CENTRAL_URL", "PROVISIONER_URL", "KEK_KEYS"},
		config.ForCLIDatabase: {"CENTRAL_URL", "KEK_KEYS"},
		config.ForClient:      {"OPERATOR_KEY", "API_URL"},
	} {
		_, err := load(t, p, nil)
		require.Equal(t, want, problems(t, err))
	}
	_, err := load(t, config.ForTools, nil)
	require.NoError(t, err)
}

func TestLoad_NeverGivesTheAPITheProvisioner(t *testing.T) {
	t.Parallel()
	for _, p := range []config.Process{config.ForAPI, config.ForCodec} {
		c, err := load(t, p, complete())
		require.NoError(t, err)
		require.True(t, c.ProvisionerURL.IsZero())
		require.Len(t, c.Warnings(), 1)
		require.Contains(t, c.Warnings()[0], "TENANTRY_PROVISIONER_URL")
	}
	// Not even its file is opened.
	values := without("PROVISIONER_URL")
	values["PROVISIONER_URL_FILE"] = "/nowhere/at/all"
	c, err := load(t, config.ForAPI, values)
	require.NoError(t, err)
	require.Len(t, c.Warnings(), 1)
}

func TestLoad_ReadsSecretsFromFiles(t *testing.T) {
	t.Parallel()
	secret := complete()["CENTRAL_URL"]
	values := without("CENTRAL_URL")
	values["CENTRAL_URL_FILE"] = write(t, secret+"\r\n")
	c, err := load(t, config.ForAPI, values)
	require.NoError(t, err)
	require.Equal(t, secret, c.CentralURL.Reveal())

	for name, change := range map[string][2]string{
		"CENTRAL_URL":      {"CENTRAL_URL", secret}, // both
		"CENTRAL_URL_FILE": {"CENTRAL_URL_FILE", "/nowhere/planted"},
		"REDIS_URL_FILE":   {"REDIS_URL_FILE", t.TempDir()},
		"API_ADDR_FILE":    {"API_ADDR_FILE", write(t, "127.0.0.1:1")}, // no secret
		"SMTP_URL_FILE":    {"SMTP_URL_FILE", write(t, "\n")},
	} {
		values := without("CENTRAL_URL", "REDIS_URL", "SMTP_URL")
		values["CENTRAL_URL_FILE"] = write(t, secret)
		if name != "REDIS_URL_FILE" {
			values["REDIS_URL"] = complete()["REDIS_URL"]
		}
		values[change[0]] = change[1]
		_, err := load(t, config.ForAPI, values)
		require.Equal(t, []string{name}, problems(t, err))
		require.NotContains(t, err.Error(), "planted")
	}
}

func TestLoad_PrefersTheEnvironmentOverDotEnv(t *testing.T) {
	t.Parallel()
	dotEnv := write(t, "# a comment\nTENANTRY_LOG_LEVEL=error\nexport TENANTRY_POOL_BUDGET=7\nPOSTGRES_PASSWORD=x\nTENANTRY_CODEC_TOKEN="+strings.Repeat("f", 32)+"\n")
	values := without("CODEC_TOKEN")
	c, err := config.LoadFrom(config.ForCodec, environ(values), dotEnv)
	require.NoError(t, err)
	require.Equal(t, slog.LevelError, c.LogLevel)
	require.Equal(t, 7, c.PoolBudget)

	values["LOG_LEVEL"] = "warn"
	values["POOL_BUDGET"] = "" // hides the file's
	values["CODEC_TOKEN_FILE"] = write(t, strings.Repeat("e", 32))
	c, err = config.LoadFrom(config.ForCodec, environ(values), dotEnv)
	require.NoError(t, err)
	require.Equal(t, slog.LevelWarn, c.LogLevel)
	require.Zero(t, c.PoolBudget)
	require.Equal(t, strings.Repeat("e", 32), c.CodecToken.Reveal(), "the environment's _FILE beats the value in .env")
}

func TestLoad_NamesTheLineOfABrokenDotEnv(t *testing.T) {
	t.Parallel()
	dotEnv := write(t, "TENANTRY_LOG_LEVEL=info\n\nTENANTRY_CODEC_TOKEN planted-secret\nTENANTRY_POOL_BUDGET=7\n")
	_, err := config.LoadFrom(config.ForCodec, environ(complete()), dotEnv)
	require.ErrorContains(t, err, "line 3 cannot be read")
	require.NotContains(t, err.Error(), "planted")
}

func TestLoad_ReportsUnknownVariablesWithTheirNeighbour(t *testing.T) {
	t.Parallel()
	_, err := load(t, config.ForAPI, with("PUBLICURL", "planted", "KEKS_KEYS_FILE", "planted", "COMPLETELY_ELSE", "planted", "PORT", "8080"))
	require.Equal(t, []string{"COMPLETELY_ELSE", "KEKS_KEYS_FILE", "PORT", "PUBLICURL"}, problems(t, err))
	require.ErrorContains(t, err, "TENANTRY_PUBLIC_URL, perhaps")
	require.ErrorContains(t, err, "TENANTRY_KEK_KEYS, perhaps")
	require.NotContains(t, err.Error(), "planted")

	_, err = load(t, config.ForAPI, with("TEST_PG_URL", "x", "CRASHPOINT", "x", "PORT", "tcp://10.0.0.1:80", "SERVICE_HOST", "10.0.0.1", "PORT_80_TCP_ADDR", "10.0.0.1", "API_SERVICE_PORT_HTTP", "80"))
	require.NoError(t, err)
}

func TestConfig_NeverPrintsASecret(t *testing.T) {
	t.Parallel()
	c, err := load(t, everything, complete())
	require.NoError(t, err)
	type wrapper struct {
		Config config.Config
		hidden config.Config
		secret config.Secret
		keys   config.Keys
	}
	var out bytes.Buffer
	for _, v := range []any{c, &c, wrapper{c, c, c.CentralURL, c.KEKKeys}, &wrapper{c, c, c.CentralURL, c.KEKKeys}, c.CentralURL, &c.CentralURL, c.KEKKeys, []config.Secret{c.CodecToken}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%c", "%U"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		encoded, err := json.Marshal(v)
		require.NoError(t, err)
		out.Write(encoded)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("config", "v", v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("config", "v", v)
	}
	for _, secret := range planted() {
		for _, form := range []string{"%s", "%x", "%X"} {
			require.False(t, strings.Contains(out.String(), fmt.Sprintf(form, secret)), secret)
		}
	}
	for _, key := range []string{"k", "c", "p"} {
		bytes := strings.Trim(fmt.Sprintf("%d", []byte(strings.Repeat(key, 32))), "[]")
		require.False(t, strings.Contains(out.String(), bytes), "the bytes of the keys")
	}
	require.Contains(t, out.String(), "[redacted]")
}
