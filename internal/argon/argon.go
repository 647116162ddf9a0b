// Package argon computes argon2id (RFC 9106) in processes beside the one that
// asks.
//
// A sum takes 19 MiB and some 25 ms of a whole core. Computed in the process
// that answers requests, it holds a part of that process's scheduler, and its
// memory makes the garbage collector run under every request. In a process of
// its own it is one thread that the kernel places among the others.
//
// A helper is this same binary in an environment of one variable. It learns
// what a sum needs and nothing else: no key, no account, and the password only
// as the MAC that the caller made of it.
package argon

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/crypto/argon2"
)

// Task is one sum: Memory is in KiB, Length in bytes.
type Task struct {
	Secret, Salt []byte
	Time, Memory uint32
	Threads      uint8
	Length       uint32
}

// Sum computes it here.
func (t Task) Sum() []byte {
	return argon2.IDKey(t.Secret, t.Salt, t.Time, t.Memory, t.Threads, t.Length)
}

// marker is the one variable of a helper's environment; its value is the
// helper's priority.
const (
	marker = "ARGON2ID_HELPER"
	normal = "normal"
	low    = "low"
)

// IsHelper reports whether this process was started to be a helper. A binary
// that makes a [Pool] asks it first, and then calls [Help].
func IsHelper() bool { return os.Getenv(marker) != "" }

// Help is all that a helper does; it answers the exit code. It does not end by
// SIGTERM or SIGINT, which a service manager or a terminal sends to everybody:
// the process it helps may still have logins to finish. Its input ends with
// that process, however that ends, and that ends the helper.
func Help() int {
	signal.Ignore(syscall.SIGTERM, os.Interrupt) // first: what is ignored stays so when giveWay begins anew
	giveWay()
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "argon2id helper:", err)
		return 1
	}
	return 0
}

func serve(in io.Reader, out io.Writer) error {
	tasks, sums := gob.NewDecoder(in), gob.NewEncoder(out)
	for {
		var t Task
		if err := tasks.Decode(&t); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := sums.Encode(t.Sum()); err != nil {
			return err
		}
	}
}
