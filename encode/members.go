package encode

import (
	"bufio"
	"io"

	"github.com/klauspost/compress/gzip"
)

// members decodes gzip: one member after the other (RFC 1952, section 2.2). The library would do that too, but takes an input
// that ends within the head of a member for one that ends before it.
type members struct {
	member gzip.Reader
	in     *bufio.Reader
}

func newMembers() *members { return &members{in: bufio.NewReader(nil)} }

// Reset begins with the head of the first member.
func (m *members) Reset(r io.Reader) error {
	m.in.Reset(r)
	return m.next()
}

func (m *members) next() error {
	err := m.member.Reset(m.in)
	m.member.Multistream(false)
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Read decodes, and goes on with the next member, if there is one.
func (m *members) Read(p []byte) (int, error) {
	n, err := m.member.Read(p)
	if err != io.EOF {
		return n, err
	}
	if _, err := m.in.Peek(1); err != nil {
		return n, err
	}
	return n, m.next()
}
