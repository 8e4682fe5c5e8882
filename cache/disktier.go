package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"syscall"

	"selvage/cache/internal/disk"
)

// DiskConfig is the `disk:` section: a tier that survives restarts. Without a path there is none.
type DiskConfig struct {
	// Path is a folder for the cache alone. It is made if need be, 0700.
	Path string `yaml:"path"`
	// Size is what the folder may hold, its index included. At least 16 MiB.
	Size int64 `yaml:"size" unit:"bytes"`
}

// below is the disk tier of a Store. Whatever memory has not, it may have: every object kept is written there, and stays
// there when it leaves memory. A varying response takes two records: its own, and under its key's plain name the Vary that
// tells what the own one is called. All methods of a nil tier find and do nothing.
type below struct {
	tier    *disk.Tier
	clock   Clock
	process process
	heads   heads
	small   int64 // largest body that memory keeps as well
	ran     atomic.Bool
}

// openBelow opens the disk tier, and empties it if it was written under another purge journal than the one at hand. One that
// is out of order leaves memory alone to do the work. held says what memory has, by variantHash.
func openBelow(c StoreConfig, clock Clock, log *slog.Logger, held func(hash uint64) bool) (*below, error) {
	if c.Disk.Path == "" {
		return nil, nil
	}
	tier, err := disk.Open(c.Disk.Path, disk.Options{
		Limit: c.Disk.Size, Log: log, Held: held,
		Trust: func(highest uint64) bool { return highest <= c.HighestEpoch },
	})
	if err == nil && c.Identity != [16]byte{} && tier.Identity() != c.Identity {
		if err = tier.Reset(c.Identity); err != nil {
			letGo(tier)
		}
	}
	switch {
	case outOfOrder(err):
		log.Error("no disk cache until the next start; memory alone has to do", "path", c.Disk.Path, "error", err)
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &below{tier: tier, clock: clock, process: newProcess(clock), heads: newHeads(c.MaxBytes), small: c.MaxBytes / 100}, nil
}

// letGo gives up a tier that will not be used.
func letGo(t *disk.Tier) {
	over, end := context.WithCancel(context.Background())
	end()
	_ = t.Run(over)
}

// outOfOrder reports whether an error of opening is the machine's. A site that worked yesterday is to work with a broken disk,
// too. A directory of another process, or one that is no cache, is a mistake that somebody has to hear of.
func outOfOrder(err error) bool {
	for _, of := range []error{
		fs.ErrPermission, syscall.EROFS, syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EMFILE, syscall.ENFILE,
	} {
		if errors.Is(err, of) {
			return true
		}
	}
	return false
}

// usable reports whether the disk is read and written, as far as is known.
func (d *below) usable() bool { return d != nil && d.tier.Stat().Writable }

func (d *below) run(ctx context.Context) error {
	if d == nil || d.ran.Swap(true) {
		<-ctx.Done()
		return nil
	}
	if err := d.tier.Run(ctx); err != nil {
		return fmt.Errorf("write out the disk cache: %w", err)
	}
	return nil
}

// The first byte of a record's head says what it is.
const (
	recordMeta = 'm' // what follows is a Meta, and before it where the purge selectors find it
	recordVary = 'v' // what follows is the newest Vary of the key
)

// nameOf names a variant on the disk.
func nameOf(hash uint64, key, variant string) disk.Name {
	return disk.Name{Hash: variantHash(hash, variant), Key: key, Variant: variant}
}

func (o *Object) name() disk.Name { return nameOf(o.Hash, o.Key, o.Variant) }

// record describes o for the disk.
func (d *below) record(o *Object) disk.Record {
	head := []byte{recordMeta}
	head = appendPart(appendPart(appendPart(head, o.Site), o.Host), o.URL)
	length, _ := o.Own.Body.Length()
	return disk.Record{Name: o.name(), Fill: o.fill, Epoch: o.Meta.Epoch, Head: appendMeta(head, o.Meta, d.process), Length: length}
}

// put writes a small object. One that the disk has no time for is missing there, but so is what it replaces.
func (d *below) put(o *Object) {
	if d == nil {
		return
	}
	if !d.tier.Put(d.record(o), o.Own.Body.chunks) {
		d.tier.Remove(o.name())
		return
	}
	d.putVary(o)
}

// putVary writes what Vary the key has now.
func (d *below) putVary(o *Object) {
	if len(o.Meta.Vary) == 0 {
		return
	}
	r := disk.Record{Name: nameOf(o.Hash, o.Key, ""), Fill: disk.NewFill(), Epoch: o.Meta.Epoch}
	r.Head = appendList([]byte{recordVary}, o.Meta.Vary)
	if !d.tier.Put(r, nil) {
		d.tier.Remove(r.Name)
	}
}

// freshen writes the new head that a 304 has given o, over the body that was stored as stale.
func (d *below) freshen(o, stale *Object) {
	if d == nil {
		return
	}
	if !d.tier.Freshen(stale.name(), d.record(o)) {
		return // the old head is stale, and will be validated again
	}
	if o.Variant != stale.Variant {
		d.tier.Remove(stale.name())
	}
	d.putVary(o)
}

// remove forgets an object, after a restart too.
func (d *below) remove(o *Object) {
	if d != nil {
		d.tier.Remove(o.name())
	}
}

// promotion is how rarely a hit on the disk brings an object to memory: whoever is asked for often comes soon, and a read
// over everything does not turn memory over.
const promotion = 32

// promoted returns o with its body in memory, if it is small and its turn has come, else nil.
func (d *below) promoted(o *Object) *Object {
	length, _ := o.Own.Body.Length()
	if length > d.small || rand.N(promotion) != 0 {
		return nil
	}
	whole := bytes.NewBuffer(make([]byte, 0, length))
	r := o.Own.Body.NewReader(0)
	defer r.Close()
	for int64(whole.Len()) < length {
		p, _, err := r.Next(length)
		if err != nil {
			return nil
		}
		whole.Write(p)
	}
	return o.copyOver(bodyOf(whole.Bytes()))
}
