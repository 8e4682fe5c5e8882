//go:build unix

package origin

import (
	"net"
	"syscall"
)

// socketOf returns the socket of a connection, nil of one without a descriptor.
func socketOf(c net.Conn) syscall.RawConn {
	s, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	socket, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	return socket
}

// hasInput reports whether bytes, or the end, have come on a socket that nobody has read yet. Without a socket it never knows.
func hasInput(socket syscall.RawConn) bool {
	if socket == nil {
		return false
	}
	found := false
	// Control, not Read: http.Transport is in a Read, which would have to end first. An error shows at the Write.
	_ = socket.Control(func(fd uintptr) {
		var p [1]byte
		_, _, err := syscall.Recvfrom(int(fd), p[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		found = err == nil
	})
	return found
}
