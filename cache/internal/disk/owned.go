package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

var errReplaced = errors.New("another directory has taken its place")

// owned is an FS that changes a directory only while it is the one that was locked. Somebody may move the directory away, or
// mount another over it, and start a second process there: its files have the names of ours.
type owned struct {
	FS
	lock string // path of the lock
	held fs.FileInfo
}

// own returns f for the directory with a lock that is held.
func own(f FS, lock string, l Lock) (FS, error) {
	held, err := l.Stat()
	return &owned{f, lock, held}, err
}

// check reports whether the directory is still the one that was locked.
func (o *owned) check() error {
	there, err := o.Lstat(o.lock)
	if err != nil {
		return fmt.Errorf("our lock is not there: %v", err) // which must not pass for the absence of what is to be removed
	}
	if !os.SameFile(there, o.held) {
		return errReplaced
	}
	return nil
}

func (o *owned) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	if flag&os.O_CREATE != 0 {
		if err := o.check(); err != nil {
			return nil, err
		}
	}
	return o.FS.OpenFile(name, flag, perm)
}

func (o *owned) Rename(from, to string) error {
	if err := o.check(); err != nil {
		return err
	}
	return o.FS.Rename(from, to)
}

func (o *owned) SyncDir(name string) error {
	if err := o.check(); err != nil {
		return err
	}
	return o.FS.SyncDir(name)
}

func (o *owned) Remove(name string) error {
	if err := o.check(); err != nil {
		return err
	}
	return o.FS.Remove(name)
}
