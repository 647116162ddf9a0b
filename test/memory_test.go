package test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenantry/internal/devstack"
)

// rss reads a process's resident memory; 0 where there is no /proc.
func rss(p *devstack.Process) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if os.IsNotExist(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.Fields(value)[0])
			return kib >> 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no VmRSS", p.PID())
}

func residentMiB(t *testing.T, p *devstack.Process) int {
	t.Helper()
	n, err := rss(p)
	require.NoError(t, err)
	return n
}

// watchRSS looks at a process's memory until stop, which answers the most, MiB.
func watchRSS(t *testing.T, p *devstack.Process) (stop func() int) {
	t.Helper()
	quit, most := make(chan struct{}), make(chan int, 1)
	go func() {
		high := 0
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			n, _ := rss(p) // gone: the test sees that
			high = max(high, n)
			select {
			case <-quit:
				most <- high
				return
			case <-tick.C:
			}
		}
	}()
	answer := sync.OnceValue(func() int { close(quit); return <-most })
	t.Cleanup(func() { answer() })
	return answer
}
