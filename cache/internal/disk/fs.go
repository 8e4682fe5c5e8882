package disk

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// FS is the little that the tier asks of a file system. Names are paths whose last part the tier has made itself; nothing
// from a key is ever in them.
//
// An error means that the call may have happened in part, as with the system calls of the same names.
type FS interface {
	// OpenFile does not follow a symbolic link in the last part of the name.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	ReadDir(name string) ([]fs.DirEntry, error)
	Lstat(name string) (fs.FileInfo, error)
	Mkdir(name string, perm fs.FileMode) error
	Chmod(name string, perm fs.FileMode) error
	// SyncDir makes durable which names a directory holds.
	SyncDir(name string) error
	// Lock takes a file, made if need be, for this process alone until it is closed or the process ends.
	Lock(name string) (Lock, error)
}

// Lock is a file that is locked while it is open.
type Lock interface {
	io.Closer
	Stat() (fs.FileInfo, error)
}

// File is an open file. ReadAt may be called by many at once, also while it is being closed.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync makes durable what was written and the file's size. After an error nothing may be assumed about either.
	Sync() error
	Truncate(size int64) error
	Size() (int64, error)
}

// system is the operating system's FS.
type system struct{}

func (system) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := openPlain(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// openPlain opens what stands at the name itself: a link is an error.
func openPlain(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag|syscall.O_NOFOLLOW, perm)
}

func (system) Rename(from, to string) error               { return os.Rename(from, to) }
func (system) Remove(name string) error                   { return os.Remove(name) }
func (system) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }
func (system) Lstat(name string) (fs.FileInfo, error)     { return os.Lstat(name) }
func (system) Mkdir(name string, perm fs.FileMode) error  { return os.MkdirAll(name, perm) }
func (system) Chmod(name string, perm fs.FileMode) error  { return os.Chmod(name, perm) }

func (system) SyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Lock uses flock(2): the kernel lets go of it when the process ends, however it ends.
func (system) Lock(name string) (Lock, error) {
	f, err := openPlain(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return f, nil
}

func flock(f *os.File) error {
	err := onDescriptor(f, func(fd int) error { return syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB) })
	if err == syscall.EWOULDBLOCK {
		return ErrInUse
	}
	return err
}

// onDescriptor runs a system call on a file that stays open meanwhile.
func onDescriptor(f *os.File, call func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	again := func(fd uintptr) {
		for err = call(int(fd)); err == syscall.EINTR; {
			err = call(int(fd))
		}
	}
	if controlErr := raw.Control(again); controlErr != nil {
		return controlErr
	}
	return err
}

// osFile is a file of the operating system.
type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
