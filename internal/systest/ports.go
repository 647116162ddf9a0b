package systest

import (
	"errors"
	"math/rand/v2"
	"sync"

	"tenantry/internal/devstack"
)

// Ports lie below the range that systems take outgoing ports from (32768 on
// Linux, 49152 elsewhere): a server that is restarted a hundred times must not
// find its port in use by somebody's connection.
const (
	firstPort = 12000
	lastPort  = 31999
)

var (
	portsMu sync.Mutex
	ports   = map[int]bool{}
)

// freePort answers a port nobody listens on, each one once.
func freePort() (int, error) {
	portsMu.Lock()
	defer portsMu.Unlock()
	for range 200 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if ports[port] || devstack.CheckPorts(devstack.Port{Number: port}) != nil {
			continue
		}
		ports[port] = true
		return port, nil
	}
	return 0, errors.New("systest: no free port found")
}

// onFreePort calls start with a free port, and with another one when somebody
// else took that in the meantime.
func onFreePort(start func(port int) error) error {
	var err error
	for range 4 {
		port, free := freePort()
		if free != nil {
			return free
		}
		err = start(port)
		var taken *devstack.PortTakenError
		if !errors.As(err, &taken) {
			return err
		}
	}
	return err
}
