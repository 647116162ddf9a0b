package cli

import (
	"time"

	"github.com/spf13/cobra"

	authv1 "tenantry/api/gen/tenantry/auth/v1"
)

// factorResetView is the shape of --json.
type factorResetView struct {
	ID          string     `json:"id"`
	UserID      string     `json:"user_id"`
	RequesterID string     `json:"requester_id"`
	ConfirmTime *time.Time `json:"confirm_time"`
}

func (a *app) tenantConfirmFactorResetCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "confirm-factor-reset SLUG|TENANT_ID RESET_ID", Short: "Take a lost second factor away where the tenant has no second administrator", Args: cobra.ExactArgs(2),
		RunE: a.do(func(cmd *cobra.Command, args []string) error {
			c, _, err := a.connect()
			if err != nil {
				return err
			}
			t, err := c.tenant(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			r, err := call(cmd.Context(), c, c.factors.ConfirmTenantFactorReset, &authv1.ConfirmTenantFactorResetRequest{TenantId: t.GetId(), Id: args[1]})
			if err != nil {
				return err
			}
			v := factorResetView{ID: r.GetId(), UserID: r.GetUserId(), RequesterID: r.GetRequesterId(), ConfirmTime: at(r.GetConfirmTime())}
			if asJSON {
				return a.printJSON(v)
			}
			return a.printf("reset %s of user %s confirmed: the second factor is gone, every session has ended\n", clean(v.ID), clean(v.UserID))
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}
