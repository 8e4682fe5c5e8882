package edge

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"time"

	"selvage/cache"
	"selvage/edge/internal/lane"
)

// transaction is what is known of a request and of the answer to it, on the short way and on the long one: a hit is one, and so is
// an exchange.
type transaction struct {
	*Edge
	conf *snapshot
	conn *lane.Info

	// What read found.
	begin  uint64 // purges applied when the request began
	client clientInfo
	site   *site
	route  *route
	q      cache.Query

	res       Result
	firstHand bool // the answer is the origin's to this very request
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

// appendHead appends status line and fields of the answer that res tells of, from what is stored of m: of the whole, or of the 304
// that stands for it. It is what exchange.copyHead puts into a map.
func (t *transaction) appendHead(dst []byte, m *cache.Meta, c *cache.Choice, age time.Duration) []byte {
	dst = append(dst, statusLines[t.res.Status]...)
	if t.res.Status == m.Status && !c.Head.Touched() && t.route.response.none() {
		dst = append(dst, c.Head.Block()...)
	} else {
		dst = t.appendStored(dst, c)
	}
	if c.AddVary {
		dst = t.appendLine(dst, "Vary", "Accept-Encoding")
	}
	if use := c.UseAs(); use != "" {
		dst = t.appendLine(t.appendLine(dst, "Use-As-Dictionary", use), "Vary", "Available-Dictionary")
	}
	return t.appendOwn(dst, m, age)
}

// appendStored appends the stored lines one by one, without those that are written anew. Those of one name stand together.
func (t *transaction) appendStored(dst []byte, c *cache.Choice) []byte {
	unchanged, tag, last := t.res.Status == http.StatusNotModified, c.ETag, ""
	if unchanged {
		tag = cache.ConfirmedTag(&t.q, c.ETag, c.Varies)
	}
	for i := range c.Head.Len() {
		name, value := c.Head.Line(i)
		again := name == last
		last = name
		switch {
		case name == "Via", unchanged && describesContent(name):
			continue
		case again && (isReference(name) || name == "Etag" && tag != c.ETag): // of several the first counts
			continue
		case isReference(name):
			value = t.location(value)
		case name == "Etag" && tag != c.ETag:
			value = tag
		}
		dst = t.appendLine(dst, name, value)
	}
	return dst
}

// references are the fields that say where something is, by names that may be the origin's own.
var references = [...]string{"Location", "Content-Location"}

func isReference(name string) bool { return name == references[0] || name == references[1] }

// location is a reference under the name that the client used.
func (t *transaction) location(value string) string {
	return rewriteLocation(value, t.route.pool, t.originHost(), t.client.Proto, t.client.Host)
}

// originHost is the Host to send: the client's, unless the origin has its own.
func (t *transaction) originHost() string { return cmp.Or(t.route.pool.Host(), t.q.Host) }

// appendOwn appends what is this answer's own, and what the route adds.
func (t *transaction) appendOwn(dst []byte, m *cache.Meta, age time.Duration) []byte {
	changes := &t.route.response
	if t.tellsAge(age) && !changes.drops("Age") {
		dst = strconv.AppendInt(append(dst, "Age: "...), int64(age.Seconds()), 10)
		dst = append(dst, "\r\n"...)
	}
	if !changes.drops("Via") {
		dst = append(appendVia(append(dst, "Via: "...), m, t.identity), "\r\n"...)
	}
	if !changes.drops("Cache-Status") {
		dst = append(appendCacheStatus(append(dst, "Cache-Status: "...), &t.res, t.identity.name), "\r\n"...)
	}
	dst = t.appendFields(t.appendFields(dst, changes.set), changes.add)
	if hsts := t.hsts(); hsts != "" && !t.hasField(m, strictTransport) {
		dst = appendLine(dst, strictTransport, hsts)
	}
	if line := t.alternative(); line != "" && !changes.gives(altSvc) { // none is stored
		dst = appendLine(dst, altSvc, line)
	}
	return dst
}

// tellsAge reports whether an answer of that age says so. One that comes from the origin now says nothing of the moment it took.
func (t *transaction) tellsAge(age time.Duration) bool { return !t.firstHand || age >= time.Second }

// hasField reports whether the answer has a line with that name from the origin or the route.
func (t *transaction) hasField(m *cache.Meta, name string) bool {
	changes := &t.route.response
	_, stored := m.Head.Value(name, 0)
	return stored && !changes.drops(name) || changes.gives(name)
}

func (t *transaction) appendFields(dst []byte, fields []field) []byte {
	for _, f := range fields {
		if t.res.Status != http.StatusNotModified || !describesContent(f.name) {
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
func (t *transaction) appendLine(dst []byte, name, value string) []byte {
	if t.route.response.drops(name) {
		return dst
	}
	return appendLine(dst, name, value)
}

func appendLine(dst []byte, name, value string) []byte {
	dst = append(append(dst, name...), ": "...)
	return append(append(dst, value...), "\r\n"...)
}
