package systest

import (
	"context"
	"fmt"

	"tenantry/internal/devstack"
)

// StartAPIBeside starts another API process on a port of its own and answers
// the port; the first stays the one that the URLs name. extra holds NAME=value.
func (s *System) StartAPIBeside(ctx context.Context, extra ...string) (port int, err error) {
	if port, err = freePort(); err != nil {
		return 0, err
	}
	p, err := s.spawn("api", append([]string{prefix + "API_ADDR=" + devstack.Loopback(port), prefix + "METRICS_ADDR=off"}, extra...))
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	s.beside = p
	s.mu.Unlock()
	return port, s.ready(ctx, p, fmt.Sprintf("http://%s/readyz", devstack.Loopback(port)))
}

// KillAPIBeside kills the newest process of StartAPIBeside.
func (s *System) KillAPIBeside() error {
	s.mu.Lock()
	p := s.beside
	s.mu.Unlock()
	return p.Kill()
}
