//go:build !linux

package devstack

import (
	"os/exec"
	"syscall"
)

// StartTied starts cmd, whose SysProcAttr must be set; only Linux can tie its life to ours.
func StartTied(cmd *exec.Cmd, _ syscall.Signal) error { return cmd.Start() }
