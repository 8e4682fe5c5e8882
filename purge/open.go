package purge

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
)

// damagedSuffix is added to the name of a file that is put aside.
const damagedSuffix = ".damaged"

// Options are what a journal may be told.
type Options struct {
	Log *slog.Logger // of writes that nobody waits for; nil for none
	// MaxBytes is what the tables may take in memory, more or less. They never have more than a million rows, for which 0
	// stands, nor does it hold for patterns, which only those who may purge can add.
	MaxBytes int64
}

// rows is how many the tables may have.
func (o Options) rows() int {
	if o.MaxBytes == 0 {
		return maxRows
	}
	return int(min(maxRows, max(minRows, o.MaxBytes/rowBytes)))
}

// Recovery is what Open found.
type Recovery struct {
	Fresh bool // the journal is new, and so is its identity: a cache that is there has lost its purges
	Rows  int  // of the tables, from the file
	Added int  // purges from the file that were not in its tables yet

	// Damage is why the file that was there could not be used; Aside is where it is now. The journal is fresh.
	Damage error
	Aside  string
}

// Recovered tells what Open found.
func (j *Journal) Recovered() Recovery { return j.recovered }

// Reserved returns the number that Open began with, the end of what the last run could have used. An object with a higher
// epoch comes from a run that the journal knows nothing of: an older file has been put in its place.
func (j *Journal) Reserved() uint64 { return j.reserved }

// Open opens the journal in a file, or makes one. All purges in it are in force when Open returns. A damaged file is put
// aside, and Recovered tells of it. The error is ErrInUse when another process has the file open.
//
// Run and Close go with it.
func Open(path string, o Options) (*Journal, error) {
	return open(path, o, o.rows())
}

func open(path string, o Options, maxRows int) (*Journal, error) {
	j, err := restore(path, o, maxRows)
	if !errors.Is(err, errDamaged) {
		return j, err
	}
	aside := path + damagedSuffix
	if err := os.Rename(path, aside); err != nil {
		return nil, fmt.Errorf("put a damaged purge journal aside: %w", err)
	}
	j, again := restore(path, o, maxRows)
	if again != nil {
		return nil, again
	}
	j.recovered.Damage, j.recovered.Aside = err, aside
	return j, nil
}

// restore makes a journal of what the file holds, and writes once: to reserve numbers, and to know that it can.
func restore(path string, o Options, maxRows int) (j *Journal, err error) {
	f, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("open purge journal %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			f.close()
			err = fmt.Errorf("open purge journal %s: %w", path, err)
		}
	}()
	fresh, err := f.beginIfEmpty()
	if err != nil {
		return nil, err
	}
	c, err := f.read()
	if err != nil {
		return nil, err
	}
	j = replay(c, maxRows, newLedger(f, o.Log, c.state.reserved))
	j.recovered.Fresh = fresh
	if err := j.commit(); err != nil {
		return nil, err
	}
	return j, nil
}

// beginIfEmpty gives a file that is empty an identity.
func (f *file) beginIfEmpty() (fresh bool, err error) {
	if fresh, err = f.empty(); err != nil || !fresh {
		return false, err
	}
	s := state{}
	rand.Read(s.identity[:])
	return true, f.begin(s)
}
