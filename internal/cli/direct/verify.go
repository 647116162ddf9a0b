package direct

import (
	"context"
	"errors"
	"log/slog"

	"tenantry/internal/cli"
	"tenantry/internal/config"
)

func scan(context.Context, config.Config, *slog.Logger) (cli.VerifyReport, error) {
	return cli.VerifyReport{}, errors.New("verify: not built yet")
}
