package argon

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	if IsHelper() {
		os.Exit(Help())
	}
	os.Exit(m.Run())
}

// task is a cheap one, different for each n.
func task(n int) Task {
	return Task{Secret: fmt.Appendf(nil, "secret %d", n), Salt: []byte("0123456789abcdef"), Time: 1, Memory: 64, Threads: 1, Length: 32}
}

// pool also answers what it logs.
func pool(t *testing.T, width int) (*Pool, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	p := NewPool(width, slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(p.Close)
	return p, &log
}

// pid of the helper of a pool of one, which has been asked before.
func (p *Pool) pid(t *testing.T) int {
	t.Helper()
	h := <-p.places
	defer func() { p.places <- h }()
	require.NotNil(t, h, "no helper runs")
	return h.cmd.Process.Pid
}

// gone is false for a zombie.
func gone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

// sumUntilGone wants right sums while a helper ends, and nothing left of it. A
// signal arrives a little after it was sent: a sum or two may still be done.
func sumUntilGone(t *testing.T, p *Pool, pid int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !gone(pid); {
		require.Equal(t, task(2).Sum(), p.Sum(task(2)))
		require.True(t, time.Now().Before(end), "helper %d is left behind", pid)
	}
}

// A line in the log would say that the sum was computed in this process.
func TestSum_IsTheSameInAHelper(t *testing.T) {
	t.Parallel()
	p, log := pool(t, 2)
	var all sync.WaitGroup
	for n := range 40 {
		all.Go(func() {
			if got, want := p.Sum(task(n)), task(n).Sum(); !bytes.Equal(got, want) {
				t.Errorf("sum %d: %x, not %x", n, got, want)
			}
		})
	}
	all.Wait()
	require.Empty(t, log.String())
}

func TestSum_OutlivesItsHelper(t *testing.T) {
	t.Parallel()
	p, log := pool(t, 1)
	p.Sum(task(1))
	first := p.pid(t)
	require.NoError(t, syscall.Kill(first, syscall.SIGKILL))
	sumUntilGone(t, p, first)
	require.Equal(t, task(3).Sum(), p.Sum(task(3)), "computed in the next helper")
	require.NotEqual(t, first, p.pid(t))
	require.Equal(t, 1, strings.Count(log.String(), "helper failed"), log)
	require.Equal(t, 1, strings.Count(log.String(), "run again"), log)
}

func TestSum_DoesNotWaitForAHelperThatStands(t *testing.T) {
	t.Parallel()
	p, log := pool(t, 1)
	p.Sum(task(1))
	p.patience = 50 * time.Millisecond
	stopped := p.pid(t)
	require.NoError(t, syscall.Kill(stopped, syscall.SIGSTOP))
	sumUntilGone(t, p, stopped)
	require.Contains(t, log.String(), "i/o timeout")
}

// A binary that knows nothing of helpers, or may start no process, still hashes.
func TestSum_WithoutHelpers(t *testing.T) {
	t.Setenv(marker, low) // start refuses
	p, log := pool(t, 1)
	for n := range 3 {
		require.Equal(t, task(n).Sum(), p.Sum(task(n)))
	}
	require.Equal(t, 1, strings.Count(log.String(), "helper failed"), "said once, not with each login: %s", log)
}

func TestHelper_KnowsNoSecretOfItsParent(t *testing.T) {
	const planted = "TENANTRY_PEPPER_KEYS"
	t.Setenv(planted, "k1:planted")
	p, _ := pool(t, 1)
	p.Sum(task(1))
	env, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(p.pid(t)), "environ"))
	require.NoError(t, err)
	require.Equal(t, marker+"=low\x00", string(env))
	args, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(p.pid(t)), "cmdline"))
	require.NoError(t, err)
	require.Equal(t, "tenantry argon2id helper\x00", string(args))
}

// Each thread of the helper is lower, and no thread of this process.
func TestHelper_GivesWay(t *testing.T) {
	t.Parallel()
	ours := niceOf(t, "self")
	p, _ := pool(t, 1)
	p.Sum(task(1))
	for _, nice := range niceOf(t, fmt.Sprint(p.pid(t))) {
		require.Equal(t, ours[0]+niceness, nice)
	}
	for _, nice := range niceOf(t, "self") {
		require.Equal(t, ours[0], nice)
	}
}

// niceOf answers the niceness of each thread of a process.
func niceOf(t *testing.T, process string) []int {
	t.Helper()
	threads, err := filepath.Glob(filepath.Join("/proc", process, "task/*"))
	require.NoError(t, err)
	var nice []int
	for _, path := range threads {
		thread, err := strconv.Atoi(filepath.Base(path))
		require.NoError(t, err)
		prio, err := syscall.Getpriority(syscall.PRIO_PROCESS, thread)
		if errors.Is(err, syscall.ESRCH) {
			continue // the thread has ended
		}
		require.NoError(t, err)
		nice = append(nice, 20-prio)
	}
	require.NotEmpty(t, nice)
	return nice
}

// A terminal and a service manager signal everybody: logins that are drained
// still need their helper.
func TestHelper_EndsWithItsInputAndByNothingElse(t *testing.T) {
	t.Parallel()
	p, log := pool(t, 1)
	p.Sum(task(1))
	h := <-p.places
	defer func() { p.places <- nil }()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		require.NoError(t, syscall.Kill(h.cmd.Process.Pid, s))
	}
	sum, err := h.sum(task(2), patience)
	require.NoError(t, err, "ended by a signal")
	require.Equal(t, task(2).Sum(), sum)
	require.NoError(t, h.in.Close())
	require.NoError(t, h.cmd.Wait(), "the helper's exit code")
	require.Empty(t, log.String())
}

func TestHelper_RefusesWhatIsNoTask(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.Error(t, serve(strings.NewReader("\x03no gob"), &out))
	require.NoError(t, serve(strings.NewReader(""), &out))
	require.Empty(t, out.Bytes())
}

func TestClose_LeavesNoProcess(t *testing.T) {
	t.Parallel()
	p := NewPool(1, slog.New(slog.DiscardHandler))
	p.Sum(task(1))
	pid := p.pid(t)
	p.Close()
	require.True(t, gone(pid))
}
