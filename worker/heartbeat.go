package worker

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
)

// beat is the pause between the heartbeats of a running activity.
const beat = time.Second

// heartbeats beats for every activity while it runs: a killed worker is
// noticed in seconds, however long the step may take, and a cancellation
// reaches a step that waits.
type heartbeats struct {
	interceptor.WorkerInterceptorBase
}

// InterceptActivity wraps each activity.
func (*heartbeats) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &beating{ActivityInboundInterceptorBase: interceptor.ActivityInboundInterceptorBase{Next: next}}
}

type beating struct {
	interceptor.ActivityInboundInterceptorBase
}

// ExecuteActivity runs the activity and beats beside it.
func (b *beating) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(beat)
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case <-t.C:
				activity.RecordHeartbeat(ctx)
			}
		}
	}()
	// The beat ends before the result is reported, also on a panic.
	defer func() { close(done); <-ended }()
	return b.Next.ExecuteActivity(ctx, in)
}
