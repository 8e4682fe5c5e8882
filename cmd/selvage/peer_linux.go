package main

import (
	"net"
	"os/user"
	"strconv"

	"golang.org/x/sys/unix"
)

// peerName names the user at the other end of a unix socket: who connected, as the kernel knows (SO_PEERCRED, unix(7)).
func peerName(c net.Conn) string {
	socket, ok := c.(*net.UnixConn)
	if !ok {
		return unknownPeer
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return unknownPeer
	}
	var credentials *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		credentials, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err != nil || failed != nil {
		return unknownPeer
	}
	uid := strconv.FormatUint(uint64(credentials.Uid), 10)
	if u, err := user.LookupId(uid); err == nil {
		return "user " + u.Username
	}
	return "user " + uid
}
