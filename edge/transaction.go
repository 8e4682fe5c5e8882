package edge

import (
	"net/http"
	"slices"
	"strconv"

	"selvage/cache"
	"selvage/edge/internal/lane"
)

// headFields are the fields of a request as they came, for Vary and keys. Of those that an exchange would make up they know
// nothing: a request judged by one takes the long way.
type headFields struct {
	r     *lane.Request
	doubt bool
}

// Value implements cache.Fields, as sentFields does.
func (f *headFields) Value(name string, i int) (string, bool) {
	switch name {
	case "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "Client-Cert", "Client-Cert-Chain":
		f.doubt = true
		return "", false
	case "Host": // is no field like the others to net/http
		return "", false
	}
	if withheld(name) {
		return "", false
	}
	return f.r.Value(name, i)
}

// statusLines are those of final statuses, as net/http writes them.
var statusLines = func() (lines [600]string) {
	for status := 200; status < len(lines); status++ {
		text := http.StatusText(status)
		if text == "" {
			text = "status code " + strconv.Itoa(status)
		}
		lines[status] = "HTTP/1.1 " + strconv.Itoa(status) + " " + text + "\r\n"
	}
	return lines
}()

// appendHead appends status line and header section: what exchange.copyHead puts into a map.
func (h *hit) appendHead(dst []byte, m *cache.Meta, c *cache.Choice, length int64) []byte {
	dst = append(dst, statusLines[h.res.Status]...)
	if h.res.Status == m.Status && !c.Head.Touched() && h.route.response.none() {
		dst = append(dst, c.Head.Block()...)
	} else {
		dst = h.appendStored(dst, c)
	}
	if c.AddVary {
		dst = h.appendLine(dst, "Vary", "Accept-Encoding")
	}
	if use := c.UseAs(); use != "" {
		dst = h.appendLine(h.appendLine(dst, "Use-As-Dictionary", use), "Vary", "Available-Dictionary")
	}
	dst = h.appendOwn(dst, m)
	if h.res.Status == m.Status {
		dst = strconv.AppendInt(append(dst, "Content-Length: "...), length, 10)
		dst = append(dst, "\r\n"...)
	}
	if h.r.Close {
		dst = append(dst, "Connection: close\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// appendStored appends the stored lines one by one, without those that are written anew.
func (h *hit) appendStored(dst []byte, c *cache.Choice) []byte {
	located, tag := false, c.ETag
	if h.res.Status == http.StatusNotModified {
		tag = cache.ConfirmedTag(&h.q, c.ETag, c.Varies)
	}
	for i := range c.Head.Len() {
		name, value := c.Head.Line(i)
		switch {
		case name == "Via", name == "Location" && located, h.res.Status == http.StatusNotModified && describesContent(name):
			continue
		case name == "Location":
			located = true
			value = h.location(value)
		case name == "Etag" && tag != c.ETag && value != c.ETag: // of several the first counts
			continue
		case name == "Etag" && tag != c.ETag:
			value = tag
		}
		dst = h.appendLine(dst, name, value)
	}
	return dst
}

// location is what exchange.copyHead makes of a Location.
func (h *hit) location(value string) string {
	pool := h.route.pool
	asked := pool.Host()
	if asked == "" {
		asked = h.client.Host
	}
	return rewriteLocation(value, pool, asked, h.client.Proto, h.client.Host)
}

// appendOwn appends what is this answer's own, and what the route adds.
func (h *hit) appendOwn(dst []byte, m *cache.Meta) []byte {
	changes := &h.route.response
	if !changes.drops("Age") {
		dst = strconv.AppendInt(append(dst, "Age: "...), int64(m.Age(h.start.Mono).Seconds()), 10)
		dst = append(dst, "\r\n"...)
	}
	if !changes.drops("Via") {
		dst = append(appendVia(append(dst, "Via: "...), m, h.identity), "\r\n"...)
	}
	if !changes.drops("Cache-Status") {
		dst = append(appendCacheStatus(append(dst, "Cache-Status: "...), &h.res, h.identity.name), "\r\n"...)
	}
	dst = h.appendFields(h.appendFields(dst, changes.set), changes.add)
	if h.wantsHSTS(m) {
		dst = appendLine(dst, strictTransport, h.site.https.hsts)
	}
	if line := h.r.Info.AltSvc; line != "" && !changes.gives(altSvc) { // none is stored
		dst = appendLine(dst, altSvc, line)
	}
	return dst
}

// wantsHSTS is exchange.addHSTS's question.
func (h *hit) wantsHSTS(m *cache.Meta) bool {
	if h.site.https.hsts == "" || !h.r.Info.Secure {
		return false
	}
	changes := &h.route.response
	_, stored := m.Head.Value(strictTransport, 0)
	return !(stored && !changes.drops(strictTransport)) && !changes.gives(strictTransport)
}

func (h *hit) appendFields(dst []byte, fields []field) []byte {
	for _, f := range fields {
		if h.res.Status != http.StatusNotModified || !describesContent(f.name) {
			dst = appendLine(dst, f.name, f.value)
		}
	}
	return dst
}

// describesContent reports the fields that a 304 does not have.
func describesContent(name string) bool { return slices.Contains(contentFields, name) }

// appendVia appends what viaWith returns.
func appendVia(dst []byte, m *cache.Meta, id identity) []byte {
	for i := 0; m.Head.Touched(); i++ {
		line, ok := m.Head.Value("Via", i)
		if !ok {
			break
		}
		dst = append(append(dst, line...), ", "...)
	}
	dst = append(append(dst, protoVersion(m.Proto)...), ' ')
	return append(dst, id.name...)
}

// appendLine appends a line that the route does not drop.
func (h *hit) appendLine(dst []byte, name, value string) []byte {
	if h.route.response.drops(name) {
		return dst
	}
	return appendLine(dst, name, value)
}

func appendLine(dst []byte, name, value string) []byte {
	dst = append(append(dst, name...), ": "...)
	return append(append(dst, value...), "\r\n"...)
}
