package main

import (
	"context"
	"time"

	"golang.org/x/crypto/argon2"
)

// bareLogin hashes with the parameters of a login and does nothing else.
func bareLogin(ctx context.Context) (float64, error) {
	salt := make([]byte, 16)
	return rate(ctx, loginWidth(), 3*time.Second, func(context.Context) error {
		argon2.IDKey([]byte(benchPassword), salt, 2, 19*1024, 1, 32)
		return nil
	})
}
