package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// agree fails the test unless a directory as a kill leaves it tells the same with its index and without.
func agree(t *testing.T, dir string) {
	t.Helper()
	without := clone(t, dir)
	defer os.RemoveAll(without)
	if err := os.Remove(filepath.Join(without, indexName)); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	with := clone(t, dir)
	defer os.RemoveAll(with)
	byIndex, bySegments := told(t, with), told(t, without)
	if !slices.Equal(byIndex, bySegments) {
		t.Errorf("the index does not say what the segments say (-segments +index):\n%s", cmp.Diff(bySegments, byIndex))
	}
}

// told returns a line for every record that is found in a directory, in order.
func told(t *testing.T, dir string) (all []string) {
	t.Helper()
	r := loaded(t, dir, Options{Limit: 1 << 40, segmentBytes: 256 << 10})
	defer r.stop()
	err := r.Each(t.Context(), func(rec *Record, _ Location) bool {
		all = append(all, fmt.Sprintf("%s %s %s: %d bytes", rec.Key, rec.Variant, rec.Head, rec.Length))
		return true
	})
	if err != nil {
		t.Error(err)
	}
	slices.Sort(all)
	return all
}
