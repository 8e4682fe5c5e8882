package disk

import (
	"encoding/binary"
	"fmt"
	"io"
)

// checkPages looks whether the pages of a bbolt bucket form a tree, before bbolt follows them. bbolt does not remember where
// it has been: were one flipped bit to make a branch point back to itself, it would go round until the memory is full, and
// there is no recovering from that.
//
// A page begins with its number (8 bytes), flags (2), count (2) and the number of pages it overflows into (4). A branch then
// has elements of position (4), key size (4) and child page (8), a leaf those of flags (4), position, key size, value size;
// positions count from the element, and the value of a bucket begins with the number of its root page, 0 for none.
func checkPages(file io.ReaderAt, pageBytes int, root uint64) error {
	w := pageWalk{file: file, pageBytes: int64(pageBytes), seen: make(map[uint64]struct{})}
	return w.visit(root, true)
}

type pageWalk struct {
	file      io.ReaderAt
	pageBytes int64
	seen      map[uint64]struct{}
}

const (
	pageHeaderBytes  = 16
	pageElementBytes = 16
	branchPage       = 1
	leafPage         = 2
	bucketElement    = 1
)

var pageOrder = binary.NativeEndian // bbolt writes structs as they are in memory

// visit checks a page and all below it, and in leaves the buckets within.
func (w *pageWalk) visit(number uint64, buckets bool) error {
	if _, ok := w.seen[number]; ok || number < 2 || number >= 1<<40 {
		return fmt.Errorf("index: page %d is pointed to wrongly: %w", number, errDamaged)
	}
	w.seen[number] = struct{}{}
	var head [pageHeaderBytes]byte
	if _, err := w.file.ReadAt(head[:], int64(number)*w.pageBytes); err != nil {
		return fmt.Errorf("index: page %d: %w: %w", number, errDamaged, err)
	}
	kind := pageOrder.Uint16(head[8:])
	switch {
	case pageOrder.Uint64(head[:]) != number, kind != branchPage && kind != leafPage:
		return fmt.Errorf("index: page %d: %w", number, errDamaged)
	case kind == leafPage && !buckets:
		return nil
	}
	page, err := w.read(number, head)
	if err != nil {
		return err
	}
	for n := range int(pageOrder.Uint16(head[10:])) {
		child, err := childOf(page, n, kind)
		if err == nil && child != 0 {
			err = w.visit(child, buckets && kind == branchPage)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// read reads a page with those it overflows into, as far as its elements may need.
func (w *pageWalk) read(number uint64, head [pageHeaderBytes]byte) ([]byte, error) {
	size := w.pageBytes * (1 + int64(pageOrder.Uint32(head[12:])))
	if most := int64(1 << 24); size > most { // 65,535 elements with their keys are less
		return nil, fmt.Errorf("index: page %d of %d bytes: %w", number, size, errDamaged)
	}
	page := make([]byte, size)
	n, err := w.file.ReadAt(page, int64(number)*w.pageBytes)
	if err != nil && err != io.EOF {
		return nil, err
	}
	return page[:n], nil
}

// childOf returns the page that the n-th element of a page leads to, 0 for none.
func childOf(page []byte, n int, kind uint16) (uint64, error) {
	at := pageHeaderBytes + n*pageElementBytes
	if at+pageElementBytes > len(page) {
		return 0, fmt.Errorf("index: element beyond its page: %w", errDamaged)
	}
	element := page[at : at+pageElementBytes]
	if kind == branchPage {
		return pageOrder.Uint64(element[8:]), nil
	}
	if pageOrder.Uint32(element)&bucketElement == 0 {
		return 0, nil
	}
	value := int64(at) + int64(pageOrder.Uint32(element[4:])) + int64(pageOrder.Uint32(element[8:]))
	if value+8 > int64(len(page)) {
		return 0, fmt.Errorf("index: bucket beyond its page: %w", errDamaged)
	}
	return pageOrder.Uint64(page[value:]), nil
}
