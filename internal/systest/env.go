package systest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/joho/godotenv"

	"tenantry/internal/devstack"
)

const prefix = "TENANTRY_"

// withheld is what each process does without, as in production. Above all the
// API must not see the provisioner.
var withheld = map[string][]string{
	"api":    {"PROVISIONER_URL", "SMTP_URL", "CODEC_TOKEN", "OPERATOR_KEY"},
	"worker": {"PEPPER_KEYS", "CODEC_TOKEN", "OPERATOR_KEY"},
	"codec":  {"CENTRAL_URL", "PROVISIONER_URL", "KEK_KEYS", "PEPPER_KEYS", "SMTP_URL", "OPERATOR_KEY"},
}

// wide are limits that no test meets by accident.
const wide = "ip:1000000/s:1000000,tenant:1000000/s:1000000,principal:1000000/s:1000000"

// configure writes down what follows from the servers.
func (s *System) configure(context.Context) error {
	var ports [4]int
	for i := range ports {
		var err error
		if ports[i], err = freePort(); err != nil {
			return err
		}
	}
	s.apiPort = ports[0]
	s.settings = map[string]string{
		"PUBLIC_URL":         fmt.Sprintf("http://localhost:%d", ports[0]),
		"API_ADDR":           devstack.Loopback(ports[0]),
		"WORKER_ADDR":        devstack.Loopback(ports[1]),
		"CODEC_ADDR":         devstack.Loopback(ports[2]),
		"METRICS_ADDR":       devstack.Loopback(ports[3]),
		"CODEC_ORIGINS":      "http://localhost:8233",
		"REDIS_URL":          s.Redis.URL,
		"TEMPORAL_ADDRESS":   s.Temporal.Address,
		"TEMPORAL_NAMESPACE": devstack.TemporalNamespace,
		"SMTP_URL":           "smtp://" + s.Mailbox.SMTPAddr(),
		"MAIL_FROM":          "no-reply@tenantry.localhost",
		// A killed worker's workflows go on elsewhere after this.
		"STICKY_TIMEOUT": "500ms",
		// Everything runs on one machine and is asked for in parallel.
		"HASH_CONCURRENCY": "2",
		// Every client is this machine.
		"RATE_READ": wide, "RATE_WRITE": wide, "RATE_CREDENTIAL": wide,
	}
	for name, value := range s.opts.Env {
		s.settings[strings.TrimPrefix(name, prefix)] = value
	}
	return nil
}

// bootstrap makes the installation: roles, databases, keys, an operator.
func (s *System) bootstrap(ctx context.Context) error {
	file := filepath.Join(s.Dir, "installation.env")
	if _, err := s.Output(ctx, "bootstrap", "--superuser-url", s.Postgres.URL, "--env-file", file); err != nil {
		return err
	}
	made, err := godotenv.Read(file)
	if err != nil {
		return fmt.Errorf("read what bootstrap wrote: %w", err)
	}
	for name, value := range made {
		s.settings[strings.TrimPrefix(name, prefix)] = value
	}
	if _, err := s.Output(ctx, "migrate"); err != nil {
		return err
	}
	out, err := s.Output(ctx, "operator", "create", "--name", "systest", "--scopes", "tenants.read,tenants.write,operations.read,hooks.manage,ops", "--json")
	if err != nil {
		return err
	}
	var created struct {
		Key string `json:"key"`
	}
	if err := json.Unmarshal([]byte(out), &created); err != nil || created.Key == "" {
		return fmt.Errorf("tenantry operator create printed no key: %q", out)
	}
	s.OperatorKey, s.settings["OPERATOR_KEY"] = created.Key, created.Key
	return nil
}

// Setting answers a variable's value, without the prefix.
func (s *System) Setting(name string) string { return s.settings[name] }

// environment is what a process gets: nothing of ours from the environment of
// the tests, all settings but the withheld ones, then extra (NAME=value).
func (s *System) environment(process string, extra []string) []string {
	var env []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, prefix) {
			env = append(env, entry)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.settings)) {
		if !slices.Contains(withheld[process], name) {
			env = append(env, prefix+name+"="+s.settings[name])
		}
	}
	return append(env, extra...)
}

// URL is the central address with a path.
func (s *System) URL(path string) string { return s.settings["PUBLIC_URL"] + path }

// TenantURL is a tenant's address with a path.
func (s *System) TenantURL(slug, path string) string {
	return fmt.Sprintf("http://%s.localhost:%d%s", slug, s.apiPort, path)
}
