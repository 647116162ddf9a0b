package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/joho/godotenv"

	"tenantry/internal/devstack"
)

const (
	prefix         = "TENANTRY_"
	provisionerURL = prefix + "PROVISIONER_URL"
	centralURL     = prefix + "CENTRAL_URL"
	operatorKey    = prefix + "OPERATOR_KEY"
	hookSecret     = prefix + "HOOK_SECRET"
	codecToken     = prefix + "CODEC_TOKEN"
	kekKeys        = prefix + "KEK_KEYS"
	pepperKeys     = prefix + "PEPPER_KEYS"
	smtpURL        = prefix + "SMTP_URL"
)

// withheld is what each server does without, so that it works here with no more
// than it gets in production. Above all the API must not see the provisioner.
var withheld = map[string][]string{
	"api":    {provisionerURL, codecToken, smtpURL, operatorKey, hookSecret},
	"worker": {pepperKeys, codecToken, operatorKey, hookSecret},
	"codec":  {centralURL, provisionerURL, kekKeys, pepperKeys, smtpURL, operatorKey, hookSecret},
}

// addresses is the part of the configuration that follows from the ports.
func (c *config) addresses() map[string]string {
	ui := func(host string) string { return fmt.Sprintf("http://%s:%d", host, c.temporalUI.Number) }
	return map[string]string{
		prefix + "PUBLIC_URL":         c.publicURL(),
		prefix + "API_ADDR":           devstack.Loopback(c.api.Number),
		prefix + "WORKER_ADDR":        devstack.Loopback(c.worker.Number),
		prefix + "CODEC_ADDR":         devstack.Loopback(c.codec.Number),
		prefix + "CODEC_ORIGINS":      ui("localhost") + "," + ui("127.0.0.1"),
		prefix + "REDIS_URL":          "redis://" + devstack.Loopback(c.redis.Number) + "/0",
		prefix + "TEMPORAL_ADDRESS":   devstack.Loopback(c.temporal.Number),
		prefix + "TEMPORAL_NAMESPACE": devstack.TemporalNamespace,
		smtpURL:                       "smtp://" + devstack.Loopback(c.smtp.Number),
		prefix + "MAIL_FROM":          "no-reply@tenantry.localhost",
	}
}

// installation is what bootstrap wrote: database credentials and keys.
func (c *config) installation() (map[string]string, error) {
	values, err := godotenv.Read(c.path("installation.env"))
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]string{}, nil
	}
	return values, err
}

// settings is the whole configuration, for the worker and the command line.
func (s *stack) settings() (map[string]string, error) {
	all, err := s.installation()
	if err != nil {
		return nil, err
	}
	maps.Copy(all, s.addresses())
	if s.state.OperatorKey != "" {
		all[operatorKey] = s.state.OperatorKey
	}
	if s.state.Hook.Secret != "" {
		all[hookSecret] = s.state.Hook.Secret
	}
	return all, nil
}

// environment is what a process gets: the caller's environment, where our
// settings win, without the settings named in but, not even from the shell that
// started the stack.
func environment(settings map[string]string, but ...string) []string {
	var env []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		base := strings.TrimSuffix(name, "_FILE")
		if _, ours := settings[base]; ours || slices.Contains(but, base) {
			continue
		}
		env = append(env, entry)
	}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if !slices.Contains(but, name) {
			env = append(env, name+"="+settings[name])
		}
	}
	return env
}

// writeDotEnv makes the directory one where `tenantry …` finds its settings.
func (s *stack) writeDotEnv() error {
	settings, err := s.settings()
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("# Written by devstack at every start; for the command line, not for the API.\n")
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		value := settings[name]
		if strings.ContainsAny(value, " \t\n\"'\\$#`") {
			if value, err = quoted(name, value); err != nil {
				return err
			}
		}
		b.WriteString(name + "=" + value + "\n")
	}
	return writeSecret(s.path(".env"), []byte(b.String()))
}

func quoted(name, value string) (string, error) {
	line, err := godotenv.Marshal(map[string]string{name: value})
	return strings.TrimPrefix(line, name+"="), err
}
