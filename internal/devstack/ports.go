package devstack

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
)

// Port is a port one part will listen on.
type Port struct {
	// Part is what listens there, e.g. "Postgres".
	Part string
	// Variable is the environment variable that changes the number; empty when the caller chose it.
	Variable string
	Number   int
}

// PortTakenError says which port somebody else holds and how to use another.
type PortTakenError struct {
	Port  Port
	Cause error
}

func (e *PortTakenError) Error() string {
	msg := fmt.Sprintf("port %d for %s is taken", e.Port.Number, e.Port.Part)
	if e.Port.Variable != "" {
		msg += fmt.Sprintf("; set %s to use another", e.Port.Variable)
	}
	return msg
}

func (e *PortTakenError) Unwrap() error { return e.Cause }

// CheckPorts returns one error that names every port that cannot be listened on,
// and every pair of parts given the same one.
func CheckPorts(ports ...Port) error {
	var errs []error
	seen := map[int]Port{}
	for _, p := range ports {
		if other, twice := seen[p.Number]; twice {
			errs = append(errs, fmt.Errorf("port %d is given to both %s (%s) and %s (%s)",
				p.Number, other.Part, other.Variable, p.Part, p.Variable))
			continue
		}
		seen[p.Number] = p
		l, err := net.Listen("tcp", Loopback(p.Number))
		if err != nil {
			errs = append(errs, &PortTakenError{Port: p, Cause: err})
			continue
		}
		_ = l.Close()
	}
	return errors.Join(errs...)
}

// Loopback returns 127.0.0.1:port.
func Loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

var (
	givenMu sync.Mutex
	given   = map[int]bool{}
)

// FreePort returns a TCP port that nothing listens on and that it has not
// returned before in this process. Somebody else can still take it before it is
// used: the Start functions of this package try again when they chose the port.
func FreePort() int {
	givenMu.Lock()
	defer givenMu.Unlock()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(fmt.Sprintf("devstack: no free port on 127.0.0.1: %v", err))
		}
		port := l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		if !given[port] {
			given[port] = true
			return port
		}
	}
	panic("devstack: no fresh port on 127.0.0.1 in 100 tries")
}

// startAttempts is how often a part is started on a port of our own choice.
const startAttempts = 4

// withPort runs start on the wanted port, or on free ones until the port was not the problem.
func withPort(want Port, start func(port int) error) error {
	if want.Number != 0 {
		if err := CheckPorts(want); err != nil {
			return err
		}
		return start(want.Number)
	}
	var err error
	for range startAttempts {
		port := FreePort()
		if err = start(port); err == nil {
			return nil
		}
		taken := CheckPorts(Port{Part: want.Part, Number: port})
		if taken == nil {
			return err
		}
	}
	return err
}
