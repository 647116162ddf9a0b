package devstack

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

var (
	spawnOnce sync.Once
	spawnWork chan func()
)

// StartTied starts cmd so that the kernel sends it sig when this process dies.
// cmd.SysProcAttr must be set.
//
// The kernel ties the child to the *thread* that forked it, and Go may end a
// thread; so all children are forked by one thread that is never given back.
func StartTied(cmd *exec.Cmd, sig syscall.Signal) error {
	spawnOnce.Do(func() {
		spawnWork = make(chan func())
		go spawner(spawnWork)
	})
	cmd.SysProcAttr.Pdeathsig = sig
	result := make(chan error, 1)
	spawnWork <- func() { result <- cmd.Start() }
	return <-result
}

func spawner(work <-chan func()) {
	runtime.LockOSThread()
	for f := range work {
		f()
	}
}
