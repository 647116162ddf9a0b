//go:build unix

package connections

import (
	"errors"
	"net"
	"syscall"
)

// peek looks at what a socket has received, without waiting, taking anything, or
// asking the other side. Below TLS it sees the bytes of the record layer.
//
// It must not use RawConn.Read, which waits for a read under way: after a write
// that took long, pgx leaves one behind that ends with the server's next message.
func peek(conn net.Conn) int {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return silent
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return hungUp
	}
	state := silent
	err = raw.Control(func(fd uintptr) {
		var one [1]byte
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR):
		case err != nil || n == 0:
			state = hungUp
		default:
			state = spoke
		}
	})
	if err != nil {
		return hungUp
	}
	return state
}
