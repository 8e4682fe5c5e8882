package cache

import (
	"context"
	"errors"
	"log/slog"
	"math"

	"selvage/cache/internal/disk"
)

// ErrDiskInUse is the error of opening a folder that another process holds: a running node, or another tool.
var ErrDiskInUse = disk.ErrInUse

// Disk is the disk tier as an operator sees it: that of a running Store, or of a node that is stopped.
type Disk struct {
	tier    *disk.Tier
	clock   Clock
	process process
	store   *Store // nil of a node that is stopped

	stop  context.CancelFunc // ends the tier; nil with a store, which does it
	ended chan error         // what became of it
}

// Disk returns the disk tier, or nil without.
func (s *Store) Disk() *Disk {
	if s.disk == nil {
		return nil
	}
	return &Disk{tier: s.disk.tier, clock: s.clock, process: s.disk.process, store: s}
}

// unlimited is the size of a folder whose limit only the node's configuration knows: nothing is evicted.
const unlimited = math.MaxInt64 / 4

// OpenDisk opens the folder of a node that is stopped, and returns when all records in it are known. Close it. A folder
// that holds no cache is refused and left as it is.
func OpenDisk(ctx context.Context, path string, log *slog.Logger) (*Disk, error) {
	tier, err := disk.Open(path, disk.Options{Limit: unlimited, Existing: true, Log: log})
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(context.Background())
	clock := SystemClock()
	d := &Disk{tier: tier, clock: clock, process: newProcess(clock), stop: stop, ended: make(chan error, 1)}
	go func() { d.ended <- tier.Run(running) }()
	if err := d.loaded(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Close ends what OpenDisk began, and writes what is to be written.
func (d *Disk) Close() error {
	d.stop()
	return <-d.ended
}

// loaded waits until all records found at start are known.
func (d *Disk) loaded(ctx context.Context) error {
	select {
	case <-d.tier.Loaded():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// List calls yield for every stored response, in the order in which they were written, until it returns false or ctx ends.
func (d *Disk) List(ctx context.Context, yield func(StoredResponse) bool) error {
	if err := d.loaded(ctx); err != nil {
		return err
	}
	return d.tier.Each(ctx, func(r *disk.Record, at disk.Location) bool {
		s, ok := d.describe(r, at)
		return !ok || yield(s)
	})
}

// DiskStat tells what the disk tier holds, and what was done since the process began. Sizes are in bytes.
type DiskStat struct {
	Loaded   bool  `json:"loaded"`   // the records found at start are known
	Writable bool  `json:"writable"` // not in a pause after an error of the disk
	Records  int64 `json:"records"`
	Live     int64 `json:"live_bytes"` // of the records
	Used     int64 `json:"used_bytes"` // of the folder
	Index    int64 `json:"index_bytes"`
	Limit    int64 `json:"limit_bytes,omitempty"` // 0 of a node that is stopped: its configuration knows
	Segments int   `json:"segments"`
	Queued   int64 `json:"queued_bytes"` // on the way to the disk

	Reads         int64 `json:"reads"`
	Dropped       int64 `json:"dropped_writes"`
	Evicted       int64 `json:"evicted_segments"`
	Rescued       int64 `json:"rescued_records"` // moved out of a segment that was to be evicted
	Compacted     int64 `json:"compacted_segments"`
	CorruptBlocks int64 `json:"corrupt_blocks"`
	Errors        int64 `json:"errors"`
	SyncFailures  int64 `json:"sync_failures"`
}

// Stat returns the figures as they are now.
func (d *Disk) Stat() DiskStat {
	s := d.tier.Stat()
	limit := s.Limit
	if d.store == nil {
		limit = 0
	}
	return DiskStat{
		Loaded: s.Loaded, Writable: s.Writable, Records: s.Records, Live: s.Live, Used: s.Used, Index: s.Index, Limit: limit,
		Segments: s.Segments, Queued: s.Queued, Reads: s.Reads, Dropped: s.Dropped, Evicted: s.Evicted, Rescued: s.Rescued,
		Compacted: s.Compacted, CorruptBlocks: s.CorruptBlocks, Errors: s.DiskErrors, SyncFailures: s.SyncFailures,
	}
}

// Scrubbed is what a scrub has found.
type Scrubbed struct {
	Clean   bool     `json:"clean"`
	Records int64    `json:"records"` // read whole and found good
	Bytes   int64    `json:"bytes"`   // of their bodies
	Damaged []string `json:"damaged"` // where records were that are forgotten now
	Missing int64    `json:"missing"` // records that the index does not know
	Orphans int64    `json:"orphans"` // records that only the index knows
}

// Scrub reads and checks every record, forgets those that are damaged, and compares the index with what there is. progress,
// which may be nil, is told the bytes read so far and those there are.
func (d *Disk) Scrub(ctx context.Context, progress func(done, total int64)) (Scrubbed, error) {
	if err := d.loaded(ctx); err != nil {
		return Scrubbed{}, err
	}
	r, err := d.tier.Scrub(ctx, progress)
	out := Scrubbed{
		Clean: r.Clean(), Records: r.Records, Bytes: r.Bytes, Missing: r.Missing, Orphans: r.Orphans,
		Damaged: make([]string, 0, len(r.Damaged)),
	}
	for _, at := range r.Damaged {
		out.Damaged = append(out.Damaged, at.String())
	}
	return out, err
}

// Remove forgets every variant stored under a purge URL, on disk and in memory, and returns how many there were. It is
// durable. What is being fetched meanwhile may come after it, unless a purge of the URL stands between.
func (d *Disk) Remove(ctx context.Context, url string) (int, error) {
	if err := d.loaded(ctx); err != nil {
		return 0, err
	}
	if err := d.tier.Sync(ctx); err != nil { // what is queued cannot be found yet
		return 0, err
	}
	gone := make(map[disk.Name]struct{})
	err := d.tier.Each(ctx, func(r *disk.Record, _ disk.Location) bool {
		if _, stored, ok := keyURL(r.Key); !ok || stored != url {
			return true
		}
		if _, isVary := readVary(r.Head); !isVary {
			gone[r.Name] = struct{}{}
		}
		d.tier.Remove(r.Name)
		return true
	})
	if d.store != nil {
		d.store.drop(url, gone)
	}
	return len(gone), errors.Join(err, d.tier.Sync(ctx))
}

// drop forgets what memory holds of a purge URL, and notes the names.
func (s *Store) drop(url string, gone map[disk.Name]struct{}) {
	var all []*Object
	s.table.each(func(o *Object) {
		if o.URL == url {
			all = append(all, o)
		}
	})
	for _, o := range all {
		gone[o.name()] = struct{}{}
		s.discard(o)
		s.disk.remove(o)
	}
}
