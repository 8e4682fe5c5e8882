package disk

import (
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
)

// Names in the directory, beside those of segments.
const (
	identityName = "identity"
	lockName     = "lock"
	indexName    = "index"
	freshSuffix  = ".new" // of a file that is to take the place of another
)

// identity says whose the directory is:
//
//	0  magic     8 bytes
//	8  version   4
//	12 identity 16
//	28 seed      8
//	36 CRC-32C   4, of all before it
//
// Every segment repeats the identity, so that one written under another is never taken for ours.
type identity struct {
	name [16]byte
	seed uint64
}

const identityBytes = 40

var identityMagic = [8]byte{'S', 'l', 'v', 'g', 'I', 'd', 'n', '\n'}

func newIdentity() (i identity) {
	rand.Read(i.name[:])
	i.seed = NewFill()
	return i
}

func (i *identity) encode() []byte {
	b := append(make([]byte, 0, identityBytes), identityMagic[:]...)
	b = littleEndian.AppendUint32(b, version)
	b = append(b, i.name[:]...)
	b = littleEndian.AppendUint64(b, i.seed)
	return littleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeIdentity(b []byte) (i identity, err error) {
	if len(b) != identityBytes || [8]byte(b) != identityMagic ||
		crc32.Checksum(b[:36], castagnoli) != littleEndian.Uint32(b[36:]) {
		return i, fmt.Errorf("identity: %w", errDamaged)
	}
	if v := littleEndian.Uint32(b[8:]); v != version {
		return i, fmt.Errorf("identity: format version %d, want %d", v, version)
	}
	return identity{name: [16]byte(b[12:]), seed: littleEndian.Uint64(b[28:])}, nil
}

// readIdentity reads the identity of the directory. Without a good one the segments there are nobody's: the seed that
// their names were hashed with is lost.
func (t *Tier) readIdentity() (identity, error) {
	f, err := t.fs.OpenFile(t.path(identityName), os.O_RDONLY, 0)
	if err != nil {
		return identity{}, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return identity{}, err
	}
	b := make([]byte, min(size, identityBytes+1))
	if _, err := f.ReadAt(b, 0); err != nil {
		return identity{}, err
	}
	return decodeIdentity(b)
}

// writeIdentity makes i the identity of the directory, or leaves the one before: create identity.new, pwrite, fdatasync,
// close, rename, fsync of the directory.
func (t *Tier) writeIdentity(i identity) error {
	fresh := t.path(identityName + freshSuffix)
	if err := t.writeFile(fresh, i.encode()); err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	if err := t.fs.Rename(fresh, t.path(identityName)); err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	return t.fs.SyncDir(t.dir)
}

func (t *Tier) writeFile(name string, content []byte) error {
	f, err := t.fs.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(content, 0)
	return errors.Join(err, f.Truncate(int64(len(content))), f.Sync(), f.Close())
}

// identify reads the identity, or gives the directory one. One that cannot be read for now is not given up, and everything with
// it.
func (t *Tier) identify() error {
	i, err := t.readIdentity()
	switch {
	case err == nil:
		t.identity = i
		return nil
	case unreadable(err):
		return fmt.Errorf("read identity: %w", err)
	case !errors.Is(err, fs.ErrNotExist):
		t.log.Warn("disk cache starts empty", "dir", t.dir, "error", err)
	}
	t.identity = newIdentity()
	return t.writeIdentity(t.identity)
}

// Identity names the cache that the directory holds. It changes with Reset alone, or when the directory has lost it and
// everything with it.
func (t *Tier) Identity() [16]byte {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.identity.name
}

// Seed is the secret that names are hashed with. It lasts as long as the directory.
func (t *Tier) Seed() uint64 { return t.identity.seed }

// Reset drops everything and makes the directory that of another cache. From its return nothing is found of what was put
// before, also after a restart; the space is free a moment later.
func (t *Tier) Reset(name [16]byte) error {
	t.mu.RLock()
	i := t.identity
	t.mu.RUnlock()
	i.name = name
	if err := t.writeIdentity(i); err != nil {
		return err
	}
	t.mu.Lock()
	t.identity.name = name
	t.mu.Unlock()
	t.resets.Add(1)
	return t.queue.offer(0, (*writer).reset)
}
