package purge

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"selvage/cache"
)

// The model again, with a file, restarts and kills. What an invalidation has put in force may be lost by a kill before it
// is written, so the model forgets those that were not.
func TestFileAgainstModel(t *testing.T) {
	for _, limit := range []int{1, 3, 8, maxRows} {
		for seed := range uint64(5) {
			t.Run(fmt.Sprintf("rows=%d/seed=%d", limit, seed), func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, uint64(limit)))
				h := &house{t: t, limit: limit}
				h.open(journalPath(t))
				for range 60 {
					h.step(r)
					if len(h.model) > 0 {
						compare(t, r, h.journal, h.model)
					}
				}
			})
		}
	}
}

// house is a journal, what it was told, and how much of that it may forget.
type house struct {
	t         *testing.T
	limit     int
	path      string
	journal   *Journal
	model     model
	unwritten int // entries at the end of the model
}

func (h *house) open(path string) {
	h.t.Helper()
	h.path, h.journal = path, mustOpenRows(h.t, path, h.limit)
}

func (h *house) step(r *rand.Rand) {
	before := h.journal.Applied()
	switch r.IntN(8) {
	case 0:
		mustClose(h.t, h.journal)
		h.unwritten = 0
		h.open(h.path)
	case 1:
		h.open(write(h.t, image(h.t, h.journal)))
		h.model = h.model[:len(h.model)-h.unwritten]
		h.unwritten = 0
	case 2:
		if err := h.journal.flush(); err != nil {
			h.t.Fatal(err)
		}
		h.unwritten = 0
	case 3, 4:
		urls := []string{string(rune('a' + r.IntN(5)))}
		e := Entry{Kind: cache.MustValidate, URLs: urls}
		h.model = append(h.model, numbered{h.journal.Invalidate(urls, nil), e})
		h.unwritten++
	default:
		e := randomEntry(r)
		h.model = append(h.model, numbered{mustAdd(h.t, h.journal, e), e})
		h.unwritten = 0
	}
	if now := h.journal.Applied(); now < before {
		h.t.Fatalf("Applied fell from %d to %d", before, now)
	}
}
