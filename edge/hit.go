package edge

import (
	"net/http"
	"strings"
	"sync"

	"selvage/cache"
	"selvage/edge/internal/lane"
)

// hit is a request on the short way: one that is answered from what is stored and fresh, on the connection's own goroutine,
// with no http.Request. It passes the same rooms as an exchange, by the same rules, and turns back wherever anything but a
// plain hit, or its 304, might be the answer: the exchange then begins from the start, and nobody has noticed.
//
// It allocates nothing as long as the object is in memory.
type hit struct {
	transaction
	r *lane.Request

	start  cache.Moment
	fields headFields // behind q.Fields
	key    []byte     // behind q.Key
	reader cache.Reader
}

var hits = sync.Pool{New: func() any { return new(hit) }}

// answerHit is the lane's Answerer.
func (e *Edge) answerHit(r *lane.Request, w *lane.Writer) lane.Verdict {
	conf := e.conf.Load()
	if conf.FastLane == "off" {
		return lane.Decline
	}
	h := hits.Get().(*hit)
	h.Edge, h.conf, h.conn, h.r = e, conf, r.Info, r
	verdict := lane.Handle
	if h.read() && h.answer(w) {
		verdict = lane.Answered
	}
	*h = hit{key: h.key}
	hits.Put(h)
	return verdict
}

// read is exchange.read, without the refusals.
func (h *hit) read() bool {
	h.start, h.begin = h.clock.Now(), h.journal.Applied()
	h.identify()
	host, err := cache.CanonicalHost(h.r.Host, h.conn.Secure)
	if err != nil || h.client.Trusted || h.certs.Misdirected(h.conn.TLS, hostName(host), false) {
		return false
	}
	h.client.Host = host
	if h.site = h.conf.sites.find(host); h.site == nil {
		return false
	}
	return h.site.gate.enter(h.client, h.site.name, h.visits, connID(h.conn.ID)) == 0 && h.reduce()
}

// identify says who asks. What a trusted proxy says of its clients takes the long way to read.
func (h *hit) identify() {
	peer := h.conn.Peer
	h.client = clientInfo{Addr: peer, Peer: peer, Proto: "http", Trusted: h.conf.trust.trusts(peer)}
	if h.conn.Secure {
		h.client.Proto = "https"
	}
}

// reduce builds the Query and picks the route.
func (h *hit) reduce() bool {
	rawPath, rawQuery, hasQuery := strings.Cut(h.r.Target, "?")
	path, err := cache.CanonicalPath(rawPath)
	switch {
	case err != nil, strings.HasPrefix(path, "/.well-known/"): // a CA's questions come before all rules
		return false
	case h.site.https.redirect != nil && !h.conn.Secure:
		return false
	}
	h.q = cache.NewQuery()
	h.q.Method, h.q.Secure, h.q.Host, h.q.Site, h.q.Path = h.r.Method, h.conn.Secure, h.client.Host, h.site.name, path
	h.fields = headFields{r: h.r}
	h.q.Fields = &h.fields
	if !h.reduceFields() {
		return false
	}
	h.route = h.site.match(h.r.Method, path, h.q.Fields)
	if h.route == nil || h.route.policy == nil || !h.route.policy.Enabled {
		return false
	}
	if h.route.keyed {
		h.q.Route = h.route.name
	}
	if h.q.SetQuery(h.route.policy, rawQuery, hasQuery) != nil {
		return false
	}
	h.key = h.q.MakeKeyIn(h.key, h.route.policy, h.store.Seed())
	return true
}

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

// notPlain are the fields with which a request takes the long way whatever they say: beside those that ask for another kind
// of answer, those that net/http or an exchange does not leave as they came.
const notPlain = cache.HasRange | cache.HasIfRange | cache.HasIfMatch | cache.HasIfUnmodifiedSince | cache.HasUpgrade | cache.HasExpect |
	cache.HasDictionary

func (h *hit) reduceFields() bool {
	for i := range h.r.Len() {
		name, value := h.r.Field(i)
		if strings.EqualFold(name, "Pragma") || strings.EqualFold(name, "CDN-Loop") {
			return false // net/http makes a Cache-Control of the one, and the other is rarely there
		}
		h.q.ReduceField(name, value)
	}
	return h.q.Present&notPlain == 0
}

// answer looks up, decides, and responds.
func (h *hit) answer(w *lane.Writer) bool {
	if cache.Eligible(&h.q, h.route.policy) != "" {
		return false
	}
	o := h.store.Peek(&h.q, h.begin, h.start.Mono)
	if o == nil {
		return false
	}
	defer o.Done()
	d := cache.Decide(&h.q, h.route.policy, cache.Found{Meta: o.Meta}, h.start.Mono)
	if d.Outcome != cache.Hit || h.fields.doubt || !lane.BodyAllowed(o.Meta.Status) || o.Meta.Status >= len(statusLines) {
		return false
	}
	h.decided(d)
	return h.respond(w, o)
}

// decided fills in what an exchange would say of such a request.
func (h *hit) decided(d cache.Decision) {
	h.res = Result{
		Begin: h.start.Wall, Conn: h.conn.ID, Client: h.client.Addr, Proto: "HTTP/1.1", Secure: h.conn.Secure,
		Method: h.r.Method, Host: h.client.Host, Target: h.r.Target, Site: h.site.name, Route: h.route.name,
		Outcome: d.Outcome, Reason: d.Reason, Looked: true, HasTTL: true, TTL: d.TTL,
	}
	h.res.Referer, _ = h.r.Value("Referer", 0)
	h.res.Agent, _ = h.r.Value("User-Agent", 0)
}

// respond is exchange.respond for a whole body. It turns back only before the first byte.
func (h *hit) respond(w *lane.Writer, o *cache.Object) bool {
	m, c := o.Meta, h.store.Choose(o, &h.q, h.route.policy)
	if c.Pending {
		return false
	}
	defer c.Release()
	h.store.Improve(o, h.route.policy, c, h.start.Mono)
	h.store.Learn(o, c, h.start.Mono)
	h.res.Status, h.res.Coding = m.Status, c.Coding
	if cache.Precondition(&h.q, m.Status, m.ETag, m.LastModified, m.Date) == cache.NotModified {
		h.res.Status, h.res.Coding = http.StatusNotModified, ""
	}
	length, _ := c.Body.Length()
	var first []byte
	if hasBody(h.r.Method, h.res.Status) && length > 0 {
		c.Body.Open(&h.reader, 0)
		defer h.reader.Close()
		var err error
		if first, _, err = h.reader.Next(piece); err != nil {
			return false // of the disk: the object is forgotten, and the long way finds another
		}
	}
	head := h.appendHead(w.Buffer(), m, &c, m.Age(h.start.Mono))
	w.Gather(h.r.AppendEnd(head, h.res.Status, length))
	h.res.First = h.clock.Now().Mono.Sub(h.start.Mono)
	h.send(w, first, length)
	h.finish()
	return true
}

// send writes the body, of which first has been read.
func (h *hit) send(w *lane.Writer, p []byte, length int64) {
	for err := error(nil); len(p) > 0; {
		var sent int
		sent, err = w.Write(p)
		h.res.Bytes += int64(sent)
		if err != nil {
			h.cut("client: " + err.Error())
			return
		}
		if h.res.Bytes >= length {
			return
		}
		if p, _, err = h.reader.Next(piece); err != nil {
			w.Abort()
			h.cut("disk: " + err.Error())
			return
		}
	}
}

func (h *hit) cut(why string) { h.res.Aborted, h.res.Error = true, why }

// atOnce is how much of a body is gathered, here as in net/http: giving it takes no time that is worth a look at the clock.
const atOnce = 4 << 10

// finish gives the one account of what happened.
func (h *hit) finish() {
	h.res.Total = h.res.First
	if h.res.Bytes > atOnce || h.res.Aborted {
		h.res.Total = h.clock.Now().Mono.Sub(h.start.Mono)
	}
	h.log.Record(&h.res)
	h.metrics.Record(&h.res)
}
