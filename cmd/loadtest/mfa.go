package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/pquerna/otp/totp"

	"tenantry/internal/systest"
)

// secure gives every seeded person but the callers a second factor, and
// answers what the script must know of it. The owner makes one as people do;
// the seeded people share the owner's subject key, so they can share its
// sealed secret.
func secure(ctx context.Context, sys *systest.System) (map[string]string, error) {
	order := systest.NewOrder(slug)
	token, err := sys.Login(ctx, slug, order.OwnerEmail, password)
	if err != nil {
		return nil, err
	}
	var made struct{ Secret string }
	if err := post(ctx, sys, "/v1/me/totp", token, map[string]string{}, &made); err != nil {
		return nil, err
	}
	code, err := totp.GenerateCode(made.Secret, time.Now())
	if err != nil {
		return nil, err
	}
	var done struct{}
	if err := post(ctx, sys, "/v1/me/totp:confirm", token, map[string]string{"code": code}, &done); err != nil {
		return nil, err
	}
	database, err := sys.Database(ctx, slug)
	if err != nil {
		return nil, err
	}
	n, err := systest.Value[int64](ctx, sys, database, seedFactors, callers)
	if err != nil {
		return nil, fmt.Errorf("seed factors: %w", err)
	}
	return map[string]string{"TOTP_SECRET": made.Secret, "SECURED": fmt.Sprintf("%d,%d", callers+1, n)}, nil
}

func post(ctx context.Context, sys *systest.System, path, token string, body, out any) error {
	a, err := sys.Post(ctx, slug, path, token, body)
	if err != nil {
		return err
	}
	if a.Status != http.StatusOK {
		return fmt.Errorf("%s: %s", path, a)
	}
	return a.JSON(out)
}

const seedFactors = `
WITH chosen AS (
	UPDATE users SET second_factor = true WHERE email ~ '^person[0-9]+@' AND substring(email FROM 'person([0-9]+)@')::int > $1::int RETURNING id
), made AS (
	INSERT INTO totp_factors (id, user_id, secret, confirmed_at) SELECT gen_random_uuid(), chosen.id, f.secret, now() FROM chosen, totp_factors f
	RETURNING 1
)
SELECT count(*) FROM made`
