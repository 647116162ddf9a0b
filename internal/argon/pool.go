package argon

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// patience is how long a helper may take over one sum. It is far more than a
// sum takes on a busy machine; a helper that does not run at all is ended then.
const patience = 10 * time.Second

// Pool is a number of helpers, each started when it is first needed.
type Pool struct {
	// places holds those that are free; nil is a helper to be started.
	places   chan *helper
	patience time.Duration
	log      *slog.Logger
	failing  atomic.Bool
}

// NewPool makes a pool of so many helpers.
func NewPool(width int, log *slog.Logger) *Pool {
	p := &Pool{places: make(chan *helper, width), patience: patience, log: log}
	for range width {
		p.places <- nil
	}
	return p
}

// Sum computes t in the next free helper. Where no helper can be started, or
// one dies at it, the sum is computed here: a login never fails for that.
func (p *Pool) Sum(t Task) []byte {
	h := <-p.places
	defer func() { p.places <- h }()
	sum, h, err := p.ask(h, t)
	if err == nil {
		if p.failing.CompareAndSwap(true, false) {
			p.log.Info("argon2id helpers run again")
		}
		return sum
	}
	if p.failing.CompareAndSwap(false, true) {
		p.log.Warn("an argon2id helper failed; hashing in this process, which delays the requests beside it", "error", err)
	}
	return t.Sum()
}

// ask answers the helper to keep: none after an error.
func (p *Pool) ask(h *helper, t Task) ([]byte, *helper, error) {
	if h == nil {
		var err error
		if h, err = start(); err != nil {
			return nil, nil, err
		}
	}
	sum, err := h.sum(t, p.patience)
	if err != nil {
		h.stop()
		return nil, nil, err
	}
	return sum, h, nil
}

// Close ends the helpers when their sums are done. Sums asked for later wait
// for ever: close the pool after everything that hashes.
func (p *Pool) Close() {
	for range cap(p.places) {
		if h := <-p.places; h != nil {
			h.stop()
		}
	}
}
