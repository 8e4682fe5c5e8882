package purge

import (
	"cmp"
	"container/list"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"
)

// contents is all that a file holds.
type contents struct {
	state state
	rows  []*row // by slot
	added []numbered
}

// numbered is a purge that was added after the rows were last written.
type numbered struct {
	number uint64
	entry  Entry
}

// read reads everything, and believes it only if the sum fits.
func (f *file) read() (*contents, error) {
	c := &contents{}
	err := guard(func() error { return f.db.View(c.read) })
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (c *contents) read(tx *bbolt.Tx) (err error) {
	if err := checkPages(tx); err != nil {
		return err
	}
	if c.state, err = readState(tx); err != nil {
		return err
	}
	sum := uint64(0)
	err = tx.Bucket(rowsBucket).ForEach(func(k, v []byte) error {
		sum += checksum(k, v)
		return c.readRow(k, v)
	})
	if err != nil {
		return err
	}
	err = tx.Bucket(addedBucket).ForEach(func(k, v []byte) error {
		sum += checksum(k, v)
		return c.readAdded(k, v)
	})
	if err == nil && (sum != c.state.sum || uint64(tx.ID()) != c.state.transaction) {
		err = fmt.Errorf("parts that do not fit: %w", errDamaged)
	}
	return err
}

// checkPages tries the length of every page that is in use. bbolt believes it, and would list thousands of millions of pages
// as free, in memory, when it comes to replace one whose length is damaged.
func checkPages(tx *bbolt.Tx) error {
	end := int(tx.Size() / int64(tx.DB().Info().PageSize))
	for id := 0; id < end; id++ {
		p, err := tx.Page(id)
		if err != nil {
			return err
		}
		if p.Type == "free" {
			continue
		}
		if p.OverflowCount >= end-id {
			return fmt.Errorf("page %d: %w: %d pages of %d", id, errDamaged, p.OverflowCount+1, end)
		}
		id += p.OverflowCount
	}
	return nil
}

func (c *contents) readRow(k, v []byte) error {
	r, err := decodeRow(k, v)
	if err != nil {
		return err
	}
	if int(r.slot) != len(c.rows) {
		return fmt.Errorf("row %x: %w: %d rows before it", k, errDamaged, len(c.rows))
	}
	c.rows = append(c.rows, r)
	return nil
}

func (c *contents) readAdded(k, v []byte) error {
	if len(k) != 8 {
		return fmt.Errorf("purge %x: %w", k, errDamaged)
	}
	e, err := decodeEntry(v)
	if err != nil {
		return err
	}
	c.added = append(c.added, numbered{bigEndian.Uint64(k), e})
	return nil
}

// replay returns the journal that has been written. What was added after the rows is marked again, under its own numbers, and
// goes into the rows with the next batch.
func replay(c *contents, maxRows int, l *ledger) *Journal {
	j := &Journal{
		identity:  c.state.identity,
		maxRows:   maxRows,
		reserved:  c.state.reserved,
		recovered: Recovery{Rows: len(c.rows), Added: len(c.added)},
		ledger:    l,
		rows:      make(map[selector]*list.Element, len(c.rows)),
		aged:      list.New(),
		all:       c.state.all.marks(),
		floor:     c.state.floor.marks(),
	}
	slices.SortFunc(c.rows, func(a, b *row) int { return cmp.Compare(a.marks.newest(), b.marks.newest()) })
	for _, r := range c.rows {
		j.rows[r.selector] = j.aged.PushBack(r)
	}
	for _, a := range c.added {
		j.markOrdered(&a.entry, a.number)
	}
	j.applied.Store(j.reserved)
	return j
}
