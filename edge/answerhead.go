package edge

import (
	"net/http"
	"strconv"

	"selvage/cache"
	"selvage/edge/internal/lane"
)

// answerLines puts the field lines of an answer into net/http's map, where one is wanted: of a whole answer the lane takes the lines
// themselves, see transaction.appendHead. Their values share one slice: a slice for each line was a third of what a hit allocated.
type answerLines struct {
	header http.Header
	values []string
}

// ownLines is how many an answer has beside the stored ones: Age, Via, Cache-Status, Content-Length, Content-Range.
const ownLines = 5

// set puts value in place of what the field had.
func (l *answerLines) set(name, value string) {
	end := len(l.values)
	l.values = append(l.values, value)
	l.header[name] = l.values[end : end+1 : end+1] // who appends to it copies it
}

// addStored puts the stored lines in. Those of one name stand together.
func (l *answerLines) addStored(stored cache.Head) {
	last, begin := "", 0
	for i := range stored.Len() {
		name, value := stored.Line(i)
		if name != last {
			last, begin = name, len(l.values)
		}
		l.values = append(l.values, value)
		l.header[name] = l.values[begin:len(l.values):len(l.values)]
	}
}

// copyAll is copyHead for the whole of an answer, or for the 304 that stands for it.
func (x *exchange) copyAll(m *cache.Meta, c *cache.Choice, status int) {
	if status == http.StatusNotModified {
		l := x.copyHead(m, c, cache.ConfirmedTag(&x.q, c.ETag, c.Varies))
		for _, name := range contentFields {
			delete(l.header, name)
		}
		return
	}
	l := x.copyHead(m, c, c.ETag)
	if length := lengthOf(c); length >= 0 && lane.BodyAllowed(status) {
		l.set("Content-Length", strconv.FormatInt(length, 10))
	}
}

// lengthOf is how long the content is, or -1 as long as nobody knows.
func lengthOf(c *cache.Choice) int64 {
	if c.Body == nil {
		return -1
	}
	if length, known := c.Body.Length(); known {
		return length
	}
	return -1
}

// copyHead copies the stored head of a representation and adds what is this response's own. tag is the entity-tag to send.
func (x *exchange) copyHead(m *cache.Meta, c *cache.Choice, tag string) answerLines {
	l := answerLines{x.w.Header(), make([]string, 0, c.Head.Len()+ownLines)}
	l.addStored(c.Head)
	if tag != c.ETag {
		l.set("Etag", tag)
	}
	if c.AddVary {
		l.header["Vary"] = append(l.header["Vary"], "Accept-Encoding")
	}
	if use := c.UseAs(); use != "" { // RFC 9842, sections 2.1 and 6.2
		l.set("Use-As-Dictionary", use)
		l.header["Vary"] = append(l.header["Vary"], "Available-Dictionary")
	}
	for _, name := range references {
		if loc := l.header[name]; len(loc) > 0 {
			l.set(name, x.location(loc[0]))
		}
	}
	if age := m.Age(x.clock.Now().Mono); x.tellsAge(age) {
		l.set("Age", strconv.FormatInt(int64(age.Seconds()), 10))
	}
	x.addOwn(&l, m.Proto)
	return l
}

// addOwn adds the fields of every answer that came from the cache or an origin, in a message of version proto.
func (x *exchange) addOwn(l *answerLines, proto string) {
	l.set("Via", viaWith(l.header, proto, x.identity))
	x.setCacheStatus(l)
	x.route.response.apply(l.header)
}

// setCacheStatus adds our member to those of the caches before us.
func (x *exchange) setCacheStatus(l *answerLines) {
	var buf [128]byte
	ours := string(appendCacheStatus(buf[:0], &x.res, x.identity.name))
	if before := l.header["Cache-Status"]; len(before) > 0 {
		l.header["Cache-Status"] = append(before, ours)
		return
	}
	l.set("Cache-Status", ours)
}
