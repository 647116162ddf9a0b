package app

import (
	"context"
	"log/slog"

	"tenantry/internal/config"
	"tenantry/worker"
)

// RunCodec serves the codec server on a loopback address until ctx ends.
func RunCodec(ctx context.Context, c config.Config, log *slog.Logger) error {
	codec, err := worker.NewCodec(c.CodecKeys.Ring())
	if err != nil {
		return err
	}
	h, err := worker.NewCodecServer(worker.CodecServerConfig{Codec: codec, Token: c.CodecToken.Reveal(), Origins: c.CodecOrigins, Log: log})
	if err != nil {
		return err
	}
	return serve(ctx, log, "codec server", c.CodecAddr, h)
}
