package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// progress tells what is going on, a line per step.
type progress struct {
	out  io.Writer
	open bool // a step's line has no end yet
}

func newProgress() *progress { return &progress{out: os.Stdout} }

// step runs f and shows how long it took.
func (p *progress) step(what string, f func() error) error {
	fmt.Fprintf(p.out, "  %-46s", what)
	p.open = true
	began := time.Now()
	err := f()
	if !p.open {
		fmt.Fprintf(p.out, "  %-46s", "")
	}
	p.open = false
	if err != nil {
		fmt.Fprintln(p.out, "failed")
		return err
	}
	fmt.Fprintf(p.out, "%5.1f s\n", time.Since(began).Seconds())
	return nil
}

// Write shows what a long step says about itself on lines of its own.
func (p *progress) Write(text []byte) (int, error) {
	if p.open {
		fmt.Fprintln(p.out)
		p.open = false
	}
	return p.out.Write(text)
}
