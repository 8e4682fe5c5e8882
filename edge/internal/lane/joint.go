package lane

import (
	"net/http"
	"sync"
)

// joints are the Writers of handlers' answers.
var joints = sync.Pool{New: func() any { return new(Writer) }}

// WriteRest writes the rest of an answer, or as much of it as there is, and flushes, unless a last chunk is to leave with it. Over
// HTTP/1 it leaves in one write with what net/http holds: whose buffer of 4 KiB would cut the beginning of it off to leave with the
// head, and this for the sake of a piece that is already in memory.
func (i *Info) WriteRest(w http.ResponseWriter, p []byte) (n int, err error) {
	if here, ok := w.(*Reply); ok {
		return here.writeRest(p)
	}
	c := i.http1
	if c == nil {
		return w.Write(p)
	}
	c.joint = joints.Get().(*Writer)
	c.joint.conn = c
	if n, err = w.Write(p); err == nil {
		err = http.NewResponseController(w).Flush()
	}
	joint := c.joint
	c.joint = nil
	if failed := joint.flush(); err == nil {
		err = failed
	}
	joint.settle()
	joints.Put(joint)
	return n, err
}

// Write writes what net/http has of an answer.
func (c *conn) Write(p []byte) (int, error) {
	if c.joint != nil {
		return c.joint.Write(p)
	}
	return c.stream.Write(p)
}
