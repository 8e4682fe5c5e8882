package edge

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"selvage/cache"
)

// tally counts answered requests. Every processor writes to it, for every request; a scrape reads it now and then. So it is
// kept in parts: a processor has one to itself, or shares it with few, and a scrape adds them up. Which part it writes to
// makes no difference to the sum.
type tally struct {
	parts []tallyPart
	given atomic.Uint32 // how often a part was given to a processor that had none
	own   sync.Pool     // of *tallyPart: what a processor puts back is what it gets next
}

// maxTallyParts bounds what a thousand sites cost on a machine with many processors: every part holds their labels.
const maxTallyParts = 16

type tallyPart struct {
	mu     sync.Mutex
	index  map[tallyLabels]int // guarded by mu: where in counts
	counts []tallyCount        // guarded by mu
	_      [128]byte           // two parts share no cache line
}

// tallyLabels are what requests are told apart by. They are kept: the strings are constants or the configuration's, never the
// request's. What can be a number is one: the longer the strings, the dearer the search.
type tallyLabels struct {
	site    string
	reason  cache.Reason
	looked  bool // else there is no outcome, and no reason
	outcome cache.Outcome
	proto   protocol
	status  uint16 // 0 for those that do not exist, which an origin may send all the same
}

func labelsOf(r *Result) tallyLabels {
	l := tallyLabels{site: r.Site, looked: r.Looked, proto: protocolOf(r.Proto)}
	if r.Looked {
		l.outcome, l.reason = r.Outcome, r.Reason
	}
	if statusExists(r.Status) {
		l.status = uint16(r.Status)
	}
	return l
}

// coarse are the labels of durations and bytes.
func (l tallyLabels) coarse() tallyLabels {
	return tallyLabels{site: l.site, looked: l.looked, outcome: l.outcome}
}

func (l tallyLabels) verdict() string { return verdict(l.looked, l.outcome) }

// protocol is a version of HTTP.
type protocol uint8

// What is not listed is the first.
var protocols = [...]string{"other", "HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/3.0"}

func protocolOf(proto string) protocol {
	for i, p := range protocols {
		if p == proto {
			return protocol(i)
		}
	}
	return 0
}

func (p protocol) String() string { return protocols[p] }

// tallyCount is what there is to say of the requests with the same labels.
type tallyCount struct {
	tallyLabels
	bytes   int64
	nanos   float64                          // of a hundred days exact, so that the order of adding makes no difference; an integer would overflow
	buckets [len(durationBuckets) + 1]uint64 // the last is for what took longer than all of them
}

func newTally() *tally {
	t := &tally{parts: make([]tallyPart, min(runtime.GOMAXPROCS(0), maxTallyParts))}
	for i := range t.parts {
		t.parts[i].index = map[tallyLabels]int{}
	}
	t.own.New = func() any { return &t.parts[t.given.Add(1)%uint32(len(t.parts))] }
	return t
}

// add counts a request. Once a part has seen its labels that allocates nothing.
func (t *tally) add(r *Result) {
	p := t.own.Get().(*tallyPart)
	p.add(labelsOf(r), r.Total, max(0, r.Bytes))
	t.own.Put(p)
}

func (p *tallyPart) add(labels tallyLabels, took time.Duration, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.index[labels]
	if !ok {
		at = len(p.counts)
		p.index[labels] = at
		p.counts = append(p.counts, tallyCount{tallyLabels: labels})
	}
	c := &p.counts[at]
	c.bytes += bytes
	c.nanos += float64(took)
	c.buckets[bucketOf(took.Seconds())]++
}

// bucketOf looks from the shortest up: most requests are hits.
func bucketOf(seconds float64) int {
	for i, bound := range durationBuckets {
		if seconds <= bound {
			return i
		}
	}
	return len(durationBuckets)
}

// copy holds the lock for as long as it takes to move some memory: a scrape is in nobody's way.
func (p *tallyPart) copy() []tallyCount {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.counts)
}

// requests returns how many there were.
func (c *tallyCount) requests() (n uint64) {
	for _, more := range c.buckets {
		n += more
	}
	return n
}

func (c *tallyCount) add(more *tallyCount) {
	c.bytes += more.bytes
	c.nanos += more.nanos
	for i, n := range more.buckets {
		c.buckets[i] += n
	}
}

// What a tally tells.
var (
	requestsDesc = prometheus.NewDesc("selvage_requests_total", "Requests answered.",
		[]string{"site", "cache", "reason", "code", "proto"}, nil)
	durationDesc = prometheus.NewDesc("selvage_request_duration_seconds", "Time from a request's head to the end of its answer.",
		[]string{"site", "cache"}, nil)
	bytesDesc = prometheus.NewDesc("selvage_response_bytes_total", "Bytes of response bodies sent.",
		[]string{"site", "cache"}, nil)
)

// Describe implements prometheus.Collector.
func (t *tally) Describe(out chan<- *prometheus.Desc) {
	out <- requestsDesc
	out <- durationDesc
	out <- bytesDesc
}

// Collect implements prometheus.Collector. Durations and bytes are not told apart by reason, status and version.
func (t *tally) Collect(out chan<- prometheus.Metric) {
	requests, answers := map[tallyLabels]uint64{}, map[tallyLabels]*tallyCount{}
	for i := range t.parts {
		for _, c := range t.parts[i].copy() {
			requests[c.tallyLabels] += c.requests()
			coarse := c.coarse()
			if answers[coarse] == nil {
				answers[coarse] = &tallyCount{}
			}
			answers[coarse].add(&c)
		}
	}
	for l, n := range requests {
		out <- prometheus.MustNewConstMetric(requestsDesc, prometheus.CounterValue, float64(n),
			l.site, l.verdict(), string(l.reason), codeLabel(int(l.status)), l.proto.String())
	}
	for l, c := range answers {
		out <- prometheus.MustNewConstHistogram(durationDesc, c.requests(), c.nanos/1e9, c.cumulative(), l.site, l.verdict())
		out <- prometheus.MustNewConstMetric(bytesDesc, prometheus.CounterValue, float64(c.bytes), l.site, l.verdict())
	}
}

// cumulative returns, by upper bound, how many requests took no longer.
func (c *tallyCount) cumulative() map[float64]uint64 {
	out, sum := make(map[float64]uint64, len(durationBuckets)), uint64(0)
	for i, bound := range durationBuckets {
		sum += c.buckets[i]
		out[bound] = sum
	}
	return out
}
