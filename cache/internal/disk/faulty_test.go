package disk

import (
	"errors"
	"io/fs"
	"os"
	"sync"
	"syscall"
)

// faulty is the operating system's FS with calls that fail.
type faulty struct {
	system

	mu    sync.Mutex
	calls int
	fail  func(call int, what string) error // nil: none fails
}

func (f *faulty) call(what string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.fail == nil {
		return nil
	}
	if err := f.fail(f.calls, what); err != nil {
		return &fs.PathError{Op: what, Path: "test", Err: err}
	}
	return nil
}

// set changes what fails from here on.
func (f *faulty) set(fail func(call int, what string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fail
}

// only returns a fault of some calls.
func only(err error, whats ...string) func(int, string) error {
	return func(_ int, what string) error {
		for _, w := range whats {
			if w == what {
				return err
			}
		}
		return nil
	}
}

// nth returns a fault of one call, or of it and all that follow.
func nth(err error, n int, forever bool) func(int, string) error {
	return func(call int, _ string) error {
		if call == n || forever && call > n {
			return err
		}
		return nil
	}
}

func (f *faulty) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	what := "open"
	if flag&os.O_CREATE != 0 {
		what = "create"
	}
	if err := f.call(what); err != nil {
		return nil, err
	}
	file, err := f.system.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &faultyFile{file, f}, nil
}

func (f *faulty) Rename(from, to string) error {
	return errors.Join(f.call("rename"), f.system.Rename(from, to))
}

func (f *faulty) Remove(name string) error {
	if err := f.call("remove"); err != nil {
		return err
	}
	return f.system.Remove(name)
}

func (f *faulty) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := f.call("readdir"); err != nil {
		return nil, err
	}
	return f.system.ReadDir(name)
}

func (f *faulty) Lstat(name string) (fs.FileInfo, error) {
	if err := f.call("lstat"); err != nil {
		return nil, err
	}
	return f.system.Lstat(name)
}

func (f *faulty) SyncDir(name string) error {
	if err := f.call("syncdir"); err != nil {
		return err
	}
	return f.system.SyncDir(name)
}

func (f *faulty) Lock(name string) (Lock, error) {
	if err := f.call("lock"); err != nil {
		return nil, err
	}
	return f.system.Lock(name)
}

type faultyFile struct {
	File
	fs *faulty
}

func (f *faultyFile) ReadAt(b []byte, at int64) (int, error) {
	if err := f.fs.call("read"); err != nil {
		return 0, err
	}
	return f.File.ReadAt(b, at)
}

// WriteAt that fails has written half.
func (f *faultyFile) WriteAt(b []byte, at int64) (int, error) {
	if err := f.fs.call("write"); err != nil {
		n, _ := f.File.WriteAt(b[:len(b)/2], at)
		return n, err
	}
	return f.File.WriteAt(b, at)
}

func (f *faultyFile) Sync() error {
	if err := f.fs.call("sync"); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *faultyFile) Truncate(size int64) error {
	if err := f.fs.call("truncate"); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *faultyFile) Size() (int64, error) {
	if err := f.fs.call("size"); err != nil {
		return 0, err
	}
	return f.File.Size()
}

func (f *faultyFile) Close() error { return errors.Join(f.fs.call("close"), f.File.Close()) }

var faults = []error{syscall.EIO, syscall.ENOSPC, syscall.EROFS, syscall.EMFILE}
