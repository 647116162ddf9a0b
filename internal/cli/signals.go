package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// WithSignals answers a context that SIGTERM or SIGINT cancels. The second
// signal ends the process at once, for somebody who does not want to wait for
// the drain.
func WithSignals(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	got := make(chan os.Signal, 2)
	signal.Notify(got, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-got:
			cancel()
		case <-ctx.Done():
			return
		}
		second := <-got
		code := 130
		if second == syscall.SIGTERM {
			code = 143
		}
		os.Exit(code)
	}()
	return ctx, func() {
		signal.Stop(got)
		cancel()
	}
}
