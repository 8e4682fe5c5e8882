package tlsmgr

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Storage keeps what must outlive the process, and what several nodes may share: keys, certificates, answers to challenges.
// A name is of letters, digits, '.', '-', '_' and '+'. Save returns when the value is durable, and whoever loads sees the
// old value or the new one, whole. Load of what is not there gives fs.ErrNotExist; Delete of it is no error.
// Implementations are safe for concurrent use.
type Storage interface {
	Load(ctx context.Context, name string) ([]byte, error)
	Save(ctx context.Context, name string, value []byte) error
	Delete(ctx context.Context, name string) error
}

// Folder is Storage in a folder of the local disk. It is made with the first Save: 0700, its files 0600.
//
// Save is: openat and write of a temporary file, fsync, renameat, fsync of the folder. All paths are resolved below the
// folder, so that a symbolic link put there leads nowhere else.
type Folder struct{ path string }

// NewFolder returns the Storage at path. Nothing is touched yet.
func NewFolder(path string) *Folder { return &Folder{path} }

// maxValueBytes is far above any chain of certificates.
const maxValueBytes = 1 << 20

// Load reads a file.
func (f *Folder) Load(_ context.Context, name string) ([]byte, error) {
	root, err := f.root(name)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Lstat(name)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() > maxValueBytes:
		return nil, fmt.Errorf("%s in %s is no file of ours", name, f.path)
	}
	return root.ReadFile(name)
}

// Save writes a file beside its place and moves it there.
func (f *Folder) Save(_ context.Context, name string, value []byte) error {
	if err := os.MkdirAll(f.path, 0o700); err != nil {
		return err
	}
	root, err := f.root(name)
	if err != nil {
		return err
	}
	defer root.Close()
	temporary := ".new-" + rand.Text()
	if err := writeDurably(root, temporary, value); err != nil {
		return errors.Join(err, root.Remove(temporary))
	}
	if err := root.Rename(temporary, name); err != nil {
		return errors.Join(err, root.Remove(temporary))
	}
	return syncFolder(root)
}

// Delete removes a file.
func (f *Folder) Delete(_ context.Context, name string) error {
	root, err := f.root(name)
	if err == nil {
		defer root.Close()
		err = root.Remove(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (f *Folder) root(name string) (*os.Root, error) {
	if !validKey(name) {
		return nil, fmt.Errorf("%q is no name of a stored value", name)
	}
	return os.OpenRoot(f.path)
}

// validKey refuses what could be anything but a plain file: separators, hidden files, and what shells and people trip over.
func validKey(name string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_+"
	return name != "" && len(name) <= 255 && name[0] != '.' && strings.Trim(name, allowed) == ""
}

func writeDurably(root *os.Root, name string, value []byte) error {
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(value)
	return errors.Join(err, file.Sync(), file.Close())
}

func syncFolder(root *os.Root) error {
	folder, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
