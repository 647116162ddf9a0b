package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"

	"tenantry/internal/devstack"
	"tenantry/internal/mailbox"
)

// stack is everything that has been started, in that order.
type stack struct {
	*config
	progress *progress
	state    *state

	postgresBin, redisPath, temporalPath string

	postgres *devstack.Postgres
	redis    *devstack.Redis
	temporal *devstack.Temporal
	mailbox  *mailbox.Mailbox

	codecProxy *codecProxy

	mu    sync.Mutex // guards parts
	parts []part
	died  chan *devstack.Process
}

// part is something to stop.
type part struct {
	name string
	proc *devstack.Process // nil for what runs in this process
	stop func() error
}

// up runs the stack until ctx ends or a part dies.
func up(ctx context.Context, c *config) error {
	lock, err := c.lock()
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	st, err := loadState(c.path("state.json"))
	if err != nil {
		return err
	}
	if st.PostgresPort != 0 && st.PostgresPort != c.postgres.Number {
		// The databases are registered under their address.
		return fmt.Errorf("this stack was made with %s=%d; use that, or make dev-reset to start afresh", c.postgres.Variable, st.PostgresPort)
	}
	var ports []devstack.Port
	for _, p := range c.ports() {
		ports = append(ports, *p)
	}
	if err := devstack.CheckPorts(ports...); err != nil {
		return err
	}
	if err := os.RemoveAll(c.path("log")); err != nil {
		return err
	}

	s := &stack{config: c, progress: newProgress(), state: st, died: make(chan *devstack.Process, 16)}
	fmt.Printf("Starting Tenantry (data, logs and secrets: %s)\n\n", c.shown(c.dir))
	go s.killOnSecondSignal(ctx)
	if err = s.serve(ctx); err != nil {
		// Before the lines about stopping: this is what the reader looks for.
		fmt.Fprintf(os.Stderr, "\ndevstack: %v\n\n", err)
		err = exitCode(1)
	}
	return errors.Join(err, s.stopAll())
}

// serve starts all parts and returns when they shall be stopped.
func (s *stack) serve(ctx context.Context) error {
	// A part that dies ends the start too, instead of a step waiting for its answer.
	starting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case p := <-s.died:
			cancel(p.Failure(fmt.Errorf("%s has died", p.Name())))
		case <-starting.Done():
		}
	}()
	err := s.start(starting)
	switch cause := context.Cause(starting); {
	case ctx.Err() != nil:
		fmt.Println("\nInterrupted.")
		return nil
	case cause != nil:
		return cause
	case err != nil:
		return err
	}
	s.report()
	<-starting.Done()
	if ctx.Err() != nil {
		fmt.Println()
		return nil
	}
	return context.Cause(starting)
}

func (s *stack) start(ctx context.Context) error {
	steps := []struct {
		what string
		do   func(context.Context) error
	}{
		{"Programs", s.findPrograms},
		{"Building tenantry", s.build},
		{fmt.Sprintf("Postgres on %s", devstack.Loopback(s.config.postgres.Number)), s.startPostgres},
		{fmt.Sprintf("Redis on %s", devstack.Loopback(s.config.redis.Number)), s.startRedis},
		{"Decoder for the Temporal UI", s.startCodecProxy},
		{fmt.Sprintf("Temporal on %s", devstack.Loopback(s.config.temporal.Number)), s.startTemporal},
		{fmt.Sprintf("Mailbox on http://localhost:%d", s.config.mailbox.Number), s.startMailbox},
		{"Installation (roles, central database, keys)", s.bootstrap},
		{"Migrations (central, template, tenants)", s.migrate},
		{"Operator key", s.createOperator},
		{"Codec server", s.startCodec},
		{"Worker", s.startWorker},
		{"API on " + s.publicURL(), s.startAPI},
	}
	for _, step := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.progress.step(step.what, func() error { return step.do(ctx) }); err != nil {
			return err
		}
	}
	return s.ensureDemo(ctx)
}

// add registers a started part and watches its process.
func (s *stack) add(name string, proc *devstack.Process, stop func() error) {
	s.mu.Lock()
	s.parts = append(s.parts, part{name: name, proc: proc, stop: stop})
	s.mu.Unlock()
	if proc == nil {
		return
	}
	go func() {
		<-proc.Done()
		s.died <- proc
	}()
}

// started lists the parts, the last one first.
func (s *stack) started() []part {
	s.mu.Lock()
	defer s.mu.Unlock()
	parts := slices.Clone(s.parts)
	slices.Reverse(parts)
	return parts
}

// stopAll stops the parts in the reverse order of their start, so that each still has what it depends on while it drains.
func (s *stack) stopAll() error {
	var errs []error
	for _, p := range s.started() {
		err := s.progress.step("Stopping "+p.name, p.stop)
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// killOnSecondSignal ends everything at once for somebody who does not want to wait.
func (s *stack) killOnSecondSignal(ctx context.Context) {
	<-ctx.Done()
	again := make(chan os.Signal, 1)
	signal.Notify(again, os.Interrupt, syscall.SIGTERM)
	<-again
	fmt.Println("\nKilling everything.")
	for _, p := range s.started() {
		if p.proc != nil {
			_ = p.proc.SignalGroup(syscall.SIGKILL)
		}
	}
	os.Exit(130)
}
