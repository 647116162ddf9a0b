package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tenantry/internal/config"
)

// SigningKey is a key that signs a tenant's access tokens, in the shape of
// --json.
type SigningKey struct {
	TenantID string `json:"tenant_id"`
	// ID is the kid.
	ID string `json:"id"`
	// State is published, signing, verifying or expired.
	State        string     `json:"state"`
	CreateTime   *time.Time `json:"create_time"`
	ActivateTime *time.Time `json:"activate_time"`
	RetireTime   *time.Time `json:"retire_time,omitempty"`
	ExpireTime   *time.Time `json:"expire_time,omitempty"`
}

func (k SigningKey) row() []string {
	return []string{k.TenantID, k.ID, k.State, text(k.ActivateTime), text(k.RetireTime), text(k.ExpireTime)}
}

var signingKeyHead = []string{"TENANT", "KEY", "STATE", "SIGNS FROM", "SIGNS UNTIL", "VERIFIES UNTIL"}

// RotateInput asks for new signing keys.
type RotateInput struct {
	// Tenant is a slug or an id; empty stands for every tenant.
	Tenant string
	// Emergency makes the keys before worthless at once.
	Emergency bool
}

func (a *app) keysCommand() *cobra.Command {
	return a.group("keys", "Change the keys that sign access tokens", a.keysRotateCommand(), a.keysListCommand())
}

func (a *app) keysRotateCommand() *cobra.Command {
	var in RotateInput
	var all, asJSON bool
	cmd := &cobra.Command{
		Use: "rotate", Short: "Give a tenant, or all, a new signing key", Args: cobra.NoArgs,
		Long: "Give a tenant, or all, a new signing key, in the central database directly (TENANTRY_CENTRAL_URL, TENANTRY_KEK_KEYS).\n" +
			"The new key is published at once and signs after 5 minutes; the one before verifies until its last token has\n" +
			"expired, so no request fails. The nightly pass does so every 30 days.\n\n" +
			"With --emergency the new key signs at once and every older one is deleted: access tokens end within a second,\n" +
			"sessions go on with their next refresh. A tenant that fails is named and the rest go on; do not repeat an\n" +
			"emergency for all: name the tenants that failed.",
		Example: "  tenantry keys rotate --tenant acme --emergency",
		RunE: a.do(func(cmd *cobra.Command, _ []string) error {
			if all == (in.Tenant != "") {
				return usageError{"name one tenant with --tenant, or all with --all"}
			}
			return a.keysRotate(cmd, in, asJSON)
		}),
	}
	fl := cmd.Flags()
	fl.StringVar(&in.Tenant, "tenant", "", "slug or id")
	fl.BoolVar(&all, "all", false, "every tenant")
	fl.BoolVar(&in.Emergency, "emergency", false, "a key has leaked: end every older key now")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (a *app) keysRotate(cmd *cobra.Command, in RotateInput, asJSON bool) error {
	c, err := a.load(config.ForCLIDatabase)
	if err != nil {
		return err
	}
	made := []SigningKey{}
	failed := []string{}
	err = a.backend.RotateKeys(cmd.Context(), c, in, func(k SigningKey, err error) {
		if err != nil {
			failed = append(failed, k.TenantID)
			a.say("failed  tenant %s: %s", clean(k.TenantID), clean(err.Error()))
			return
		}
		made = append(made, k)
	})
	if err != nil {
		return err
	}
	if asJSON {
		err = a.printJSON(map[string]any{"keys": made, "failed": failed})
	} else {
		err = a.printKeys(made)
	}
	if len(failed) > 0 {
		return errors.Join(err, fmt.Errorf("no new key: %s", strings.Join(failed, ", ")))
	}
	return err
}

func (a *app) keysListCommand() *cobra.Command {
	var tenant string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List a tenant's signing keys in the order they begin to sign", Args: cobra.NoArgs,
		RunE: a.do(func(cmd *cobra.Command, _ []string) error {
			c, err := a.load(config.ForCLIDatabase)
			if err != nil {
				return err
			}
			found, err := a.backend.ListKeys(cmd.Context(), c, tenant)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(map[string]any{"keys": append([]SigningKey{}, found...)})
			}
			return a.printKeys(found)
		}),
	}
	cmd.Flags().StringVar(&tenant, "tenant", "", "slug or id")
	jsonFlag(cmd, &asJSON)
	_ = cmd.MarkFlagRequired("tenant")
	return cmd
}

func (a *app) printKeys(keys []SigningKey) error {
	rows := [][]string{signingKeyHead}
	for _, k := range keys {
		rows = append(rows, k.row())
	}
	return a.printTable(rows)
}
