package argon

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// helper is a running helper process and the two pipes to it.
type helper struct {
	cmd   *exec.Cmd
	in    io.Closer
	out   *os.File
	tasks *gob.Encoder
	sums  *gob.Decoder
}

func start() (*helper, error) {
	if IsHelper() {
		return nil, errors.New("a helper starts no helpers: main does not ask IsHelper")
	}
	binary, err := self()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(binary)
	cmd.Args = []string{"tenantry argon2id helper"} // what ps shows
	// Nothing of this process's environment: it holds keys.
	cmd.Env = []string{marker + "=" + normal}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a helper: %w", err)
	}
	return &helper{
		cmd: cmd, in: in, out: out.(*os.File),
		tasks: gob.NewEncoder(in), sums: gob.NewDecoder(out),
	}, nil
}

func (h *helper) sum(t Task, patience time.Duration) ([]byte, error) {
	if err := h.out.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if err := h.tasks.Encode(t); err != nil {
		return nil, fmt.Errorf("ask helper %d: %w", h.cmd.Process.Pid, err)
	}
	var sum []byte
	if err := h.sums.Decode(&sum); err != nil {
		return nil, fmt.Errorf("answer of helper %d: %w", h.cmd.Process.Pid, err)
	}
	return sum, nil
}

// stop ends the process whatever it does, and waits for that.
func (h *helper) stop() {
	_ = h.in.Close()
	_ = h.cmd.Process.Kill()
	_ = h.cmd.Wait() // "signal: killed" is what was asked for
}
