//go:build unix

package origin

import (
	"net"
	"syscall"
)

// hasInput reports whether bytes, or the end, have come on a connection that nobody has read yet. One without a descriptor
// never has.
func hasInput(c net.Conn) bool {
	s, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	found := false
	// Control, not Read: http.Transport is in a Read, which would have to end first. An error shows at the Write.
	_ = raw.Control(func(fd uintptr) {
		var p [1]byte
		_, _, err := syscall.Recvfrom(int(fd), p[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		found = err == nil
	})
	return found
}
