//go:build crashpoints

package worker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
)

// Crash points, for the crash harness alone.
//
// TENANTRY_CRASH is a comma-separated list of kind=Activity:when, kind is kill
// (SIGKILL to this process) or fail (a final failure of the activity), when is
// before (the activity does not run) or after (it has run, and the answer is
// lost or turned into a failure). A kill happens once: it creates the file
// TENANTRY_CRASH_MARKER first, and none happens where that file exists.
//
// skip=Activity makes an activity without a result succeed without running:
// with it the harness proves that it sees what is left.
const (
	envCrash  = "TENANTRY_CRASH"
	envMarker = "TENANTRY_CRASH_MARKER"
	// typeInjected is the type of injected failures.
	typeInjected = "INJECTED"
)

type crashes struct {
	interceptor.WorkerInterceptorBase
	points map[string]bool
	marker string
	kill   func()
}

func crashPoints() []interceptor.WorkerInterceptor {
	c, err := parseCrashes(os.Getenv(envCrash), os.Getenv(envMarker))
	if err != nil {
		panic(err) // a harness that injects nothing would prove nothing
	}
	return []interceptor.WorkerInterceptor{c}
}

func parseCrashes(text, marker string) (*crashes, error) {
	c := &crashes{points: map[string]bool{}, marker: marker, kill: killSelf}
	if text == "" {
		return c, nil
	}
	for _, p := range strings.Split(text, ",") {
		kind, at, _ := strings.Cut(p, "=")
		name, when, _ := strings.Cut(at, ":")
		if kind == "skip" && name != "" && when == "" {
			c.points[p] = true
			continue
		}
		if (kind != "kill" && kind != "fail") || name == "" || (when != "before" && when != "after") {
			return nil, fmt.Errorf("%s: %q is not kill|fail=Activity:before|after or skip=Activity", envCrash, p)
		}
		if kind == "kill" && marker == "" {
			return nil, fmt.Errorf("%s: a kill needs %s", envCrash, envMarker)
		}
		c.points[p] = true
	}
	return c, nil
}

func killSelf() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // nothing runs past the point
}

// InterceptActivity wraps each activity.
func (c *crashes) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &crashing{ActivityInboundInterceptorBase: interceptor.ActivityInboundInterceptorBase{Next: next}, c: c}
}

type crashing struct {
	interceptor.ActivityInboundInterceptorBase
	c *crashes
}

// ExecuteActivity runs the activity between its points.
func (x *crashing) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	name := activity.GetInfo(ctx).ActivityType.Name
	if err := x.c.at(name, "before"); err != nil {
		return nil, err
	}
	if x.c.points["skip="+name] {
		return nil, nil
	}
	out, err := x.Next.ExecuteActivity(ctx, in)
	if injected := x.c.at(name, "after"); injected != nil {
		return nil, injected
	}
	return out, err
}

func (c *crashes) at(name, when string) error {
	if c.points["kill="+name+":"+when] && c.mark() {
		c.kill()
	}
	if c.points["fail="+name+":"+when] {
		return temporal.NewNonRetryableApplicationError("injected", typeInjected, nil)
	}
	return nil
}

// mark answers true once for all processes that share the marker.
func (c *crashes) mark() bool {
	f, err := os.OpenFile(c.marker, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return false
	}
	if err != nil {
		panic(fmt.Sprintf("%s: %v", envMarker, err))
	}
	return f.Close() == nil
}
