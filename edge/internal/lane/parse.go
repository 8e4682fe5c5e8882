package lane

// ParseRequest checks the head that buf begins with and returns it as an Answerer gets it, and its length. False: no
// Answerer would get it, since it is faulty, not whole, or asks for more than an answer.
func ParseRequest(info *Info, buf []byte, limits Limits) (r Request, length int, ok bool) {
	h := newHead(limits)
	if whole, f := h.scan(buf); !whole || f != nil || !h.plain() {
		return Request{}, 0, false
	}
	return h.request(info, buf), h.next, true
}

// request is the plain head h, of which buf begins with the bytes.
func (h *head) request(info *Info, buf []byte) Request {
	buf = buf[:h.next]
	return Request{
		Info: info, Method: view(h.method.of(buf)), Target: view(h.target.of(buf)), Host: view(h.host.of(buf)),
		head: buf, fields: h.index,
	}
}
