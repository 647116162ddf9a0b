package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// defaultStopTimeout is how long a part may take to leave after its stop signal
// before it is killed. It is above the drain time of the API and the worker.
const defaultStopTimeout = 30 * time.Second

// Command describes a child process.
type Command struct {
	// Name is what errors and progress call the part, e.g. "redis".
	Name string
	// Path is the program, absolute or found on PATH.
	Path string
	Args []string
	// Env is the whole environment; nil means the environment of this process.
	Env []string
	Dir string
	// LogPath receives stdout and stderr, appended. Empty means a new file in the temporary directory.
	LogPath string
	// StopSignal asks the process to leave; zero means SIGTERM.
	StopSignal syscall.Signal
	// StopTimeout is the grace before SIGKILL; zero means 30 s.
	StopTimeout time.Duration
	// Credential runs the process as another user; nil means as this one.
	Credential *syscall.Credential
}

// Process is a started child, the leader of its own process group.
type Process struct {
	cmd     *exec.Cmd
	command Command
	logFrom int64
	done    chan struct{}
	err     error // valid once done is closed
}

// Start runs c. It returns as soon as the process exists; readiness is the
// caller's business (see WaitReady).
func Start(c Command) (*Process, error) {
	if c.StopSignal == 0 {
		c.StopSignal = syscall.SIGTERM
	}
	if c.StopTimeout == 0 {
		c.StopTimeout = defaultStopTimeout
	}
	log, err := openLog(&c)
	if err != nil {
		return nil, err
	}
	// The child has its own copy of the descriptor.
	defer func() { _ = log.Close() }()

	p := &Process{command: c, done: make(chan struct{})}
	if info, err := log.Stat(); err == nil {
		p.logFrom = info.Size()
	}
	p.cmd = exec.Command(c.Path, c.Args...)
	p.cmd.Env, p.cmd.Dir = c.Env, c.Dir
	// Files, not pipes: Wait must not hang on a grandchild that keeps a pipe open.
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: c.Credential}
	if err := StartTied(p.cmd, c.StopSignal); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func openLog(c *Command) (*os.File, error) {
	if c.LogPath == "" {
		f, err := os.CreateTemp("", "tenantry-"+c.Name+"-*.log")
		if err != nil {
			return nil, fmt.Errorf("log of %s: %w", c.Name, err)
		}
		c.LogPath = f.Name()
		return f, nil
	}
	if err := os.MkdirAll(filepath.Dir(c.LogPath), 0o755); err != nil {
		return nil, fmt.Errorf("log of %s: %w", c.Name, err)
	}
	f, err := os.OpenFile(c.LogPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", c.Name, err)
	}
	return f, nil
}

// Name returns the part's name.
func (p *Process) Name() string { return p.command.Name }

// PID returns the process id, which is also the id of its process group.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// LogPath returns the file that holds stdout and stderr.
func (p *Process) LogPath() string { return p.command.LogPath }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Alive reports whether the process has not ended yet.
func (p *Process) Alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Wait returns how the process ended (nil or *exec.ExitError), or ctx's error if that comes first.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Signal sends sig to the process alone. A process that has ended is no error.
func (p *Process) Signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", p.command.Name, err)
	}
	return nil
}

// SignalGroup sends sig to the process and every descendant that stayed in its group.
func (p *Process) SignalGroup(sig syscall.Signal) error {
	// Once the leader is reaped its id can belong to somebody else.
	if !p.Alive() {
		return nil
	}
	if err := syscall.Kill(-p.PID(), sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal group of %s: %w", p.command.Name, err)
	}
	return nil
}

// Stop asks the process to leave with its stop signal and kills its group when
// the grace is over. It returns once the process is gone; an error means that it
// had to be killed.
func (p *Process) Stop() error { return p.stop(p.command.StopSignal) }

func (p *Process) stop(sig syscall.Signal) error {
	if err := p.Signal(sig); err != nil {
		return err
	}
	grace := time.NewTimer(p.command.StopTimeout)
	defer grace.Stop()
	select {
	case <-p.done:
		return nil
	case <-grace.C:
	}
	if err := p.Kill(); err != nil {
		return err
	}
	return fmt.Errorf("%s did not stop within %s and was killed", p.command.Name, p.command.StopTimeout)
}

// Kill sends SIGKILL to the group and waits until the process is gone.
func (p *Process) Kill() error {
	if err := p.SignalGroup(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

// LogTail returns the last n lines this process wrote; lines of earlier runs in the same file do not count.
func (p *Process) LogTail(n int) string {
	f, err := os.Open(p.command.LogPath)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	const window = 64 << 10
	from := max(p.logFrom, info.Size()-window)
	buf := make([]byte, max(info.Size()-from, 0))
	read, _ := f.ReadAt(buf, from)
	lines := strings.Split(strings.TrimRight(string(buf[:read]), "\n"), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}

// Failure describes a process that ended or would not get ready, with the end of its log.
func (p *Process) Failure(cause error) error {
	state := "still running"
	if !p.Alive() {
		state = p.cmd.ProcessState.String()
	}
	msg := fmt.Sprintf("%s: %s (log: %s)", p.command.Name, state, p.command.LogPath)
	if tail := p.LogTail(20); tail != "" {
		msg += "\n    " + strings.ReplaceAll(tail, "\n", "\n    ")
	}
	if cause == nil {
		return errors.New(msg)
	}
	return fmt.Errorf("%w: %s", cause, msg)
}

// probeInterval is the pause between two probes of a starting part.
const probeInterval = 25 * time.Millisecond

// WaitReady calls probe until it returns nil, the process ends, limit passes or ctx ends.
func (p *Process) WaitReady(ctx context.Context, limit time.Duration, probe func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	var last error
	for {
		one, done := context.WithTimeout(ctx, 2*time.Second)
		last = probe(one)
		done()
		if last == nil && p.Alive() {
			return nil
		}
		select {
		case <-p.done:
			return p.Failure(fmt.Errorf("%s ended while starting", p.command.Name))
		case <-ctx.Done():
			return p.Failure(fmt.Errorf("%s is not ready after %s: %w", p.command.Name, limit, errors.Join(ctx.Err(), last)))
		case <-tick.C:
		}
	}
}
