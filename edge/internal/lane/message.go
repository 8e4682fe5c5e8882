package lane

import (
	"net/http"
	"net/textproto"
	"net/url"
)

// message returns a plain head, all of text, as net/http reads it. Whatever there is to check has been. All its strings are parts
// of text.
func (h *head) message(text string) (r http.Request, err error) {
	r = http.Request{
		Method: h.method.in(text), RequestURI: h.target.in(text), Host: h.host.in(text), Close: h.closes,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h.header(text), Body: http.NoBody,
	}
	r.URL, err = url.ParseRequestURI(r.RequestURI)
	return r, err
}

// header returns the fields but Host.
func (h *head) header(text string) http.Header {
	header := make(http.Header, len(h.index))
	lines := make([]string, len(h.index)) // that most fields take one of
	for i, f := range h.index {
		name := textproto.CanonicalMIMEHeaderKey(f.name.in(text))
		if values, again := header[name]; again {
			header[name] = append(values, f.value.in(text))
			continue
		}
		lines[i] = f.value.in(text)
		header[name] = lines[i : i+1 : i+1]
	}
	delete(header, "Host")
	if pragma := header["Pragma"]; len(pragma) > 0 && pragma[0] == "no-cache" && header["Cache-Control"] == nil {
		header["Cache-Control"] = []string{"no-cache"} // RFC 9111, section 5.4
	}
	return header
}
