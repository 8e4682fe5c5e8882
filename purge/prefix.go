package purge

import (
	"cmp"
	"slices"
)

// prefixes is a radix tree of byte prefixes, so that one walk along a URL meets every row that is a prefix of it. A node
// stands for the bytes on the way to it.
type prefixes struct {
	label    string      // the bytes from the parent to here
	row      *row        // of the prefix that ends here; nil for none
	children []*prefixes // by the first byte of their labels
}

// put makes r the row of a prefix, which is not empty.
func (n *prefixes) put(prefix string, r *row) {
	for rest := prefix; ; {
		i, found := n.child(rest[0])
		if !found {
			n.children = slices.Insert(n.children, i, &prefixes{label: rest, row: r})
			return
		}
		shared := common(n.children[i].label, rest)
		if shared < len(n.children[i].label) {
			n.children[i] = n.children[i].split(shared)
		}
		n, rest = n.children[i], rest[shared:]
		if rest == "" {
			n.row = r
			return
		}
	}
}

// remove takes the row of a prefix out, and the nodes that only it needed.
func (n *prefixes) remove(prefix string) {
	if prefix == "" {
		n.row = nil
		return
	}
	i, found := n.child(prefix[0])
	if !found {
		return
	}
	c := n.children[i]
	if common(c.label, prefix) < len(c.label) {
		return
	}
	c.remove(prefix[len(c.label):])
	switch {
	case c.row != nil:
	case len(c.children) == 0:
		n.children = slices.Delete(n.children, i, i+1)
	case len(c.children) == 1:
		c.children[0].label = c.label + c.children[0].label
		n.children[i] = c.children[0]
	}
}

// along calls f for the row of every prefix of url, from the shortest.
func (n *prefixes) along(url string, f func(*row)) {
	for {
		if n.row != nil {
			f(n.row)
		}
		if url == "" {
			return
		}
		i, found := n.child(url[0])
		if !found || common(n.children[i].label, url) < len(n.children[i].label) {
			return
		}
		n = n.children[i]
		url = url[len(n.label):]
	}
}

// child finds the place of the child whose label begins with b.
func (n *prefixes) child(b byte) (int, bool) {
	return slices.BinarySearchFunc(n.children, b, func(c *prefixes, b byte) int { return cmp.Compare(c.label[0], b) })
}

// split returns a node for the first bytes of n's label, with n below it.
func (n *prefixes) split(at int) *prefixes {
	upper := &prefixes{label: n.label[:at], children: []*prefixes{n}}
	n.label = n.label[at:]
	return upper
}

// common returns how many bytes a and b begin with in common.
func common(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
