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
	return port, s.ready(ctx, p, fmt.Sprintf("http://%s/readyz", devstack.Loopback(port)))
}
