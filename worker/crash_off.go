//go:build !crashpoints

package worker

import "go.temporal.io/sdk/interceptor"

// crashPoints is empty: a released binary cannot be told to crash.
func crashPoints() []interceptor.WorkerInterceptor { return nil }
