package purge

import (
	"cmp"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"
)

// contents is all that a file holds.
type contents struct {
	state state
	rows  []*row // by slot
	told  []Record
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
	err = tx.Bucket(historyBucket).ForEach(func(k, v []byte) error {
		sum += checksum(k, v)
		return c.readRecord(k, v)
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

func (c *contents) readRecord(k, v []byte) error {
	r, err := decodeRecord(k, v)
	if err == nil {
		c.told = append(c.told, r)
	}
	return err
}

// replay returns the journal that has been written. Purges that the rows do not have yet are marked again, under their own
// numbers, and go into the rows with the next batch.
func replay(c *contents, maxRows int, l *ledger) *Journal {
	j := newJournal(maxRows)
	j.identity, j.reserved, j.ledger = c.state.identity, c.state.reserved, l
	j.recovered.Rows = len(c.rows)
	j.all, j.floor = c.state.all.marks(), c.state.floor.marks()
	slices.SortFunc(c.rows, func(a, b *row) int { return cmp.Compare(a.marks.newest(), b.marks.newest()) })
	for _, r := range c.rows {
		j.putInLocked(j.aged.PushBack(r), r.selector)
	}
	for _, r := range c.told {
		j.history.add(r)
		if r.Number > c.state.marked {
			j.recovered.Added++
			j.markEntry(&r.Entry, r.Number, j.rewriteOrdered)
		}
	}
	j.applied.Store(j.reserved)
	j.changed <- struct{}{} // what was removed by the last run may still be to be reclaimed
	return j
}
