package argon

import (
	"os"
	"runtime"
	"syscall"
)

// niceness is how much lower than its parent's a helper's priority is, as in
// nice(1). At 5 a sum gives way to requests, and still gets a quarter of a core
// that everybody wants; at 19 logins would stand still there.
const niceness = 5

// running is the running binary, also after another was put in its place.
const running = "/proc/self/exe"

func self() (string, error) { return running, nil }

// giveWay lowers the priority of this process, once. A priority is a thread's;
// execve(2) leaves of all threads the one that calls it, and the program begins
// anew at its priority. Where the kernel refuses, the helper goes on at ours.
func giveWay() {
	if os.Getenv(marker) == low {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// The kernel answers 20 less the niceness (getpriority(2)).
	prio, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
	if err == nil && syscall.Setpriority(syscall.PRIO_PROCESS, 0, 20-prio+niceness) == nil {
		_ = syscall.Exec(running, os.Args, []string{marker + "=" + low})
	}
}
