package direct

import (
	"context"

	"tenantry/internal/audit"
	"tenantry/internal/cli"
	"tenantry/internal/clock"
	"tenantry/internal/config"
	"tenantry/internal/db"
	"tenantry/internal/ids"
	"tenantry/internal/signingkeys"
)

// withKeys runs fn with the signing keys of the configured installation.
func withKeys(ctx context.Context, c config.Config, fn func(*signingkeys.Service) error) error {
	pool, err := openPool(ctx, c.CentralURL.Reveal())
	if err != nil {
		return err
	}
	defer pool.Close()
	return fn(signingkeys.New(db.NewCentral(pool, c.KEKKeys.Ring()), clock.System))
}

func rotateKeys(ctx context.Context, c config.Config, in cli.RotateInput, progress func(cli.SigningKey, error)) error {
	return withKeys(ctx, c, func(s *signingkeys.Service) error {
		which, err := chosen(ctx, s, in.Tenant)
		if err != nil {
			return err
		}
		change := s.Rotate
		if in.Emergency {
			change = s.Replace
		}
		by := signingkeys.Requester{Actor: audit.System, RequestID: "cli-" + ids.New().String()}
		for _, t := range which {
			k, err := change(ctx, t, by)
			progress(viewKey(t, k), err)
		}
		return nil
	})
}

func chosen(ctx context.Context, s *signingkeys.Service, tenant string) ([]ids.Tenant, error) {
	if tenant == "" {
		return s.All(ctx)
	}
	t, err := s.Find(ctx, tenant)
	return []ids.Tenant{t}, err
}

func listKeys(ctx context.Context, c config.Config, tenant string) (out []cli.SigningKey, err error) {
	err = withKeys(ctx, c, func(s *signingkeys.Service) error {
		t, err := s.Find(ctx, tenant)
		if err != nil {
			return err
		}
		keys, err := s.List(ctx, t)
		for _, k := range keys {
			out = append(out, viewKey(t, k))
		}
		return err
	})
	return out, err
}

func viewKey(t ids.Tenant, k signingkeys.Key) cli.SigningKey {
	return cli.SigningKey{
		TenantID: t.String(), ID: k.ID.String(), State: k.State(clock.System()), CreateTime: &k.CreatedAt, ActivateTime: &k.ActivatesAt,
		RetireTime: k.RetiredAt, ExpireTime: k.ExpiresAt,
	}
}
