package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// rate runs call in width loops for the given time and answers calls a second.
func rate(ctx context.Context, width int, long time.Duration, call func(context.Context) error) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, long+30*time.Second)
	defer cancel()
	var n atomic.Int64
	errs := make([]error, width)
	started := time.Now()
	var wg sync.WaitGroup
	for i := range width {
		wg.Go(func() {
			for time.Since(started) < long && errs[i] == nil {
				if errs[i] = call(ctx); errs[i] == nil {
					n.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return float64(n.Load()) / time.Since(started).Seconds(), errors.Join(errs...)
}
