package cli

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"tenantry/internal/config"
	"tenantry/internal/secrets"
)

// bootstrapFlags is `bootstrap`.
type bootstrapFlags struct {
	superuser, envFile string
	printSQL, asJSON   bool
}

func (a *app) bootstrapCommand() *cobra.Command {
	f := &bootstrapFlags{}
	cmd := &cobra.Command{
		Use: "bootstrap", Short: "Make an installation: roles, central database, keys", Args: cobra.NoArgs,
		Long: "Make an installation on a Postgres server, once: the API's and the provisioner's role, the central database,\n" +
			"and the keys. Credentials and keys are added to the env file, readable by you alone, before anything is made, so a\n" +
			"repetition after a crash goes on with the same ones. What the file holds already stays; when its TENANTRY_CENTRAL_URL\n" +
			"works, the server is not touched.\n\n" +
			"The superuser comes from TENANTRY_SUPERUSER_URL or its _FILE; --superuser-url shows it in the list of processes. With --print-sql\n" +
			"nothing is made: a database administrator runs the printed script, and only the host of the superuser URL is used.",
		Example: "  tenantry bootstrap --superuser-url postgres://postgres@127.0.0.1:5432/postgres --env-file .env",
		RunE:    a.do(func(cmd *cobra.Command, _ []string) error { return a.bootstrap(cmd.Context(), f) }),
	}
	fl := cmd.Flags()
	fl.StringVar(&f.superuser, "superuser-url", "", "postgres:// URL of a superuser (TENANTRY_SUPERUSER_URL)")
	fl.StringVar(&f.envFile, "env-file", "", "file that gets the credentials and keys")
	fl.BoolVar(&f.printSQL, "print-sql", false, "print a script for psql and make nothing")
	jsonFlag(cmd, &f.asJSON)
	_ = cmd.MarkFlagRequired("env-file")
	cmd.MarkFlagsMutuallyExclusive("print-sql", "json")
	return cmd
}

// bootstrapped is what --json prints; names only.
type bootstrapped struct {
	EnvFile string   `json:"env_file"`
	Added   []string `json:"added"`
	// Made is false when the installation was there and worked.
	Made bool `json:"made"`
}

func (a *app) bootstrap(ctx context.Context, f *bootstrapFlags) error {
	plan, works, err := a.planBootstrap(ctx, f)
	if err != nil {
		return err
	}
	added, err := a.writeBootstrap(f.envFile, plan)
	if err != nil {
		return fmt.Errorf("--env-file: %w", err)
	}
	for _, name := range added {
		a.say("added %s to %s", name, f.envFile)
	}
	if f.printSQL {
		script, err := a.backend.BootstrapSQL(plan)
		if err != nil {
			return err
		}
		return a.printf("%s", script)
	}
	if !works {
		if err := a.backend.Bootstrap(ctx, f.superuser, plan); err != nil {
			return err
		}
	}
	if f.asJSON {
		return a.printJSON(bootstrapped{EnvFile: f.envFile, Added: append([]string{}, added...), Made: !works})
	}
	if works {
		return a.printf("The installation of %s works; the server was not touched.\n", f.envFile)
	}
	return a.printf("The installation is made. Next: tenantry migrate, with the variables of %s.\n", f.envFile)
}

// planBootstrap answers what to make: what the env file names already, or
// something new.
func (a *app) planBootstrap(ctx context.Context, f *bootstrapFlags) (plan BootstrapPlan, works bool, err error) {
	cfg, err := a.load(config.ForTools)
	if err != nil {
		return plan, false, err
	}
	if f.superuser == "" {
		f.superuser = cfg.SuperuserURL.Reveal()
	}
	if f.superuser == "" {
		return plan, false, usageError{"no superuser: set TENANTRY_SUPERUSER_URL or --superuser-url"}
	}
	file, err := config.LoadFrom(config.ForTools, nil, f.envFile)
	if err != nil {
		return plan, false, err
	}
	plan = BootstrapPlan{CentralURL: file.CentralURL.Reveal(), ProvisionerURL: file.ProvisionerURL.Reveal()}
	if plan.CentralURL == "" && plan.ProvisionerURL == "" {
		plan, err = a.backend.PlanBootstrap(f.superuser)
		return plan, false, err
	}
	if plan.CentralURL != "" && !f.printSQL && a.backend.Ping(ctx, plan.CentralURL) == nil {
		return plan, true, nil
	}
	if plan.CentralURL == "" || plan.ProvisionerURL == "" {
		return plan, false, errors.New("the env file has one of TENANTRY_CENTRAL_URL and TENANTRY_PROVISIONER_URL, and no working central database; " +
			"put the other back, or name another file to make a new installation")
	}
	return plan, false, nil
}

// writeBootstrap keeps the credentials and the keys before anything is made
// with them.
func (a *app) writeBootstrap(path string, plan BootstrapPlan) ([]string, error) {
	have, err := config.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key := func(id string) string {
		return id + ":" + base64.StdEncoding.EncodeToString(secrets.RandomBytes(secrets.KeySize))
	}
	var missing []config.Setting
	for _, s := range []config.Setting{
		{Name: "CENTRAL_URL", Value: plan.CentralURL}, {Name: "PROVISIONER_URL", Value: plan.ProvisionerURL},
		{Name: "KEK_KEYS", Value: key("k1")}, {Name: "CODEC_KEYS", Value: key("c1")}, {Name: "PEPPER_KEYS", Value: key("p1")},
		{Name: "CODEC_TOKEN", Value: base64.RawURLEncoding.EncodeToString(secrets.RandomBytes(secrets.KeySize))},
	} {
		s.Name = config.Prefix + s.Name
		// A file may hold it, or the working installation never had it here.
		if have[s.Name+"_FILE"] == "" && strings.TrimSpace(s.Value) != "" {
			missing = append(missing, s)
		}
	}
	return config.WriteMissing(path, missing)
}
