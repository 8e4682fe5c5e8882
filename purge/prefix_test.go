package purge

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// The tree against a list, with names that share much.
func TestPrefixesAgainstModel(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 0))
		var tree prefixes
		model := make(map[string]*row)
		for range 200 {
			name := randomText(r, "ab") + randomText(r, "ab")
			if _, ok := model[name]; ok && r.IntN(2) == 0 {
				tree.remove(name)
				delete(model, name)
			} else {
				model[name] = &row{}
				tree.put(name, model[name])
			}
			url := randomText(r, "ab") + randomText(r, "ab") + randomText(r, "ab")
			if got, want := met(&tree, url), wanted(model, url); !slices.Equal(got, want) {
				t.Fatalf("seed %d: %q meets %d rows, want %d", seed, url, len(got), len(want))
			}
		}
		for name := range model {
			tree.remove(name)
		}
		if len(tree.children) != 0 {
			t.Fatalf("seed %d: %d nodes are left of an empty tree", seed, len(tree.children))
		}
	}
}

func met(tree *prefixes, url string) (all []*row) {
	tree.along(url, func(r *row) { all = append(all, r) })
	return all
}

func wanted(model map[string]*row, url string) (all []*row) {
	for end := range len(url) + 1 {
		if r, ok := model[url[:end]]; ok {
			all = append(all, r)
		}
	}
	return all
}

func TestRemovingAPrefixThatIsNotThereChangesNothing(t *testing.T) {
	var tree prefixes
	tree.put("abc", &row{})
	for _, name := range []string{"a", "abcd", "abd", "x"} {
		tree.remove(name)
		if len(met(&tree, "abcd")) != 1 {
			t.Errorf("abc is gone after %s was removed", name)
		}
	}
	tree.remove("abc")
	if len(met(&tree, strings.Repeat("abc", 2))) != 0 {
		t.Error("abc is still there")
	}
}
