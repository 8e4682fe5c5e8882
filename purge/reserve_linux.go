package purge

import (
	"os"
	"syscall"
)

// allocate has the file system set the first bytes of a file aside: what is written there finds room on a disk that is full. The
// file grows to that length.
func allocate(f *os.File, bytes int64) error {
	for {
		if err := syscall.Fallocate(int(f.Fd()), 0, 0, bytes); err != syscall.EINTR {
			return err
		}
	}
}
