package lane

// ParseRequest checks the head that buf begins with and returns it as an Answerer gets it, and its length. False: no
// Answerer would get it, since it is faulty, not whole, or asks for more than an answer.
func ParseRequest(info *Info, buf []byte, limits Limits) (r Request, length int, ok bool) {
	h := newHead(limits)
	if whole, f := h.scan(buf); !whole || f != nil || !h.plain() {
		return Request{}, 0, false
	}
	r.read(info, &h, buf)
	return r, h.next, true
}
