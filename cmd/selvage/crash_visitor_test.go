package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// visitors ask a process for pages and compare every byte of every answer.
type visitors struct {
	t      *testing.T
	p      *process
	origin *pageOrigin
	client *http.Client
	pages  int

	ending atomic.Bool // the process is being killed: answers may end anyhow
	poor   bool        // the process may have no descriptor left for the origin, and say so

	tally
}

// tally counts what came of visits.
type tally struct {
	answers, hits, absent, parts, cut, purges, bytes atomic.Int64
}

// add adds the figures of another.
func (y *tally) add(other *tally) {
	y.answers.Add(other.answers.Load())
	y.hits.Add(other.hits.Load())
	y.absent.Add(other.absent.Load())
	y.parts.Add(other.parts.Load())
	y.cut.Add(other.cut.Load())
	y.purges.Add(other.purges.Load())
	y.bytes.Add(other.bytes.Load())
}

func (y *tally) String() string {
	return fmt.Sprintf("%d answers with %d MiB, %d of them hits and %d parts; %d not in the cache, %d cut; %d purges", y.answers.Load(),
		y.bytes.Load()>>20, y.hits.Load(), y.parts.Load(), y.absent.Load(), y.cut.Load(), y.purges.Load())
}

func newVisitors(p *process, o *pageOrigin, pages int) *visitors {
	v := &visitors{t: p.t, p: p, origin: o, pages: pages}
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: crowdOfVisitors}
	v.client = &http.Client{Transport: transport, Timeout: longEnough}
	p.t.Cleanup(transport.CloseIdleConnections)
	return v
}

// visit is one question.
type visit struct {
	number     int
	flavour    string
	onlyCached bool
	part       bool // from the middle on
}

func randomVisit(pages int) visit {
	// The square of an even draw asks for low numbers more often, as real visitors do.
	x := rand.Float64()
	return visit{number: int(x * x * float64(pages)), flavour: flavours[rand.IntN(len(flavours))], part: rand.IntN(8) == 0}
}

// crowdOfVisitors is how many ask at once.
const crowdOfVisitors = 6

// errCut is an answer whose end everybody can see to be missing, or none at all.
var errCut = errors.New("cut")

// load asks for random pages, changes some, and purges others, until that many bytes more have come, or nobody answers. It returns a channel that is closed
// then, and a function that waits for the visitors to leave.
func (v *visitors) load(bytes int64) (enough <-chan struct{}, wait func()) {
	left, until := make(chan struct{}), v.bytes.Load()+bytes
	leave := sync.OnceFunc(func() { close(left) })
	var all sync.WaitGroup
	for range crowdOfVisitors {
		all.Go(func() {
			defer leave()
			for v.bytes.Load() < until && v.act(randomVisit(v.pages)) {
			}
		})
	}
	return left, all.Wait
}

// sweep asks for every page that there is, by what the cache holds alone if so wanted.
func (v *visitors) sweep(onlyCached bool) {
	numbers := make(chan int)
	var all sync.WaitGroup
	for range crowdOfVisitors {
		all.Go(func() {
			for n := range numbers {
				for _, f := range flavours {
					v.ask(visit{number: n, flavour: f, onlyCached: onlyCached})
					if !traitsOf(n).varies {
						break
					}
				}
			}
		})
	}
	for n := range v.pages {
		numbers <- n
	}
	close(numbers)
	all.Wait()
}

// act does what there is to do under load. False: there is nobody to ask any more.
func (v *visitors) act(q visit) bool {
	var err error
	switch rand.IntN(40) {
	case 0:
		err = v.invalidate(q.number)
	case 1:
		err = v.purge(q.number)
	default:
		return v.ask(q)
	}
	if err != nil && !(errors.Is(err, errCut) && v.ending.Load()) {
		v.t.Errorf("change of /page/%d: %v", q.number, err)
	}
	return err == nil
}

// ask makes a visit and judges the answer. False: there is nobody to ask any more.
//
// An answer may be cut where everybody sees it: when a block in its midst is damaged, and when memory is so short that a body
// passes through a window which the reader's place has left. Whoever asks again gets it whole, soon.
func (v *visitors) ask(q visit) bool {
	err := v.once(q)
	for again := 0; errors.Is(err, errCut) && again < 5 && !v.ending.Load(); again++ {
		v.cut.Add(1)
		err = v.once(q)
	}
	switch {
	case errors.Is(err, errCut) && v.ending.Load():
		return false
	case err != nil:
		v.t.Errorf("GET /page/%d %s: %v", q.number, q.flavour, err)
		return false
	}
	return true
}

// once makes a visit. Its error is errCut, or tells of an answer that should not be.
func (v *visitors) once(q visit) error {
	asked, oldest := time.Now(), v.origin.oldest(q.number)
	r, err := v.client.Do(q.request(v.p.address))
	if err != nil {
		return fmt.Errorf("%w: %w", errCut, err)
	}
	defer r.Body.Close()
	body, cut := io.ReadAll(r.Body)
	v.bytes.Add(int64(len(body)))
	if q.onlyCached && r.StatusCode == http.StatusGatewayTimeout {
		v.absent.Add(1)
		return nil
	}
	if v.poor && (r.StatusCode == http.StatusBadGateway || r.StatusCode == http.StatusServiceUnavailable) {
		v.absent.Add(1)
		return nil
	}
	if err := v.judge(q, r, body, asked, cut != nil); err != nil {
		return err
	}
	if p, _ := pageOf(r.Header.Get("ETag")); p.version < oldest {
		return fmt.Errorf("got the page %s, though all before version %d were purged before; Age %s, Cache-Status %q", p.name(), oldest,
			r.Header.Get("Age"), r.Header.Get("Cache-Status"))
	}
	if cut != nil {
		return fmt.Errorf("%w after %d bytes: %w", errCut, len(body), cut)
	}
	v.answers.Add(1)
	if strings.Contains(r.Header.Get("Cache-Status"), "; hit") {
		v.hits.Add(1)
	}
	return nil
}

const pageHost = "pages.example"

func (q visit) request(address string) *http.Request {
	r, err := http.NewRequest("GET", fmt.Sprintf("http://%s/page/%d", address, q.number), nil)
	if err != nil {
		panic(err) // the test's own
	}
	r.Host = pageHost // whatever port the process has
	r.Header.Set("X-Flavour", q.flavour)
	if q.onlyCached {
		r.Header.Set("Cache-Control", "only-if-cached")
	}
	if q.part {
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-", smallestPage/2))
	}
	return r
}

// judge compares an answer with what the origin has sent under the name that the answer bears.
func (v *visitors) judge(q visit, r *http.Response, body []byte, asked time.Time, cut bool) error {
	p, ok := pageOf(r.Header.Get("ETag"))
	if !ok {
		return fmt.Errorf("status = %d, ETag %q, Cache-Status %q, want a page", r.StatusCode, r.Header.Get("ETag"), r.Header.Get("Cache-Status"))
	}
	is := traitsOf(q.number)
	if p.number != q.number || is.varies != (p.flavour != "") || is.varies && p.flavour != q.flavour {
		return fmt.Errorf("got the page %s", p.name())
	}
	if newest := v.origin.versionAt(q.number, time.Now()); p.version > newest {
		return fmt.Errorf("got the page %s, which does not exist before version %d has ended", p.name(), newest)
	}
	if late := asked.Sub(v.origin.endOf(p)) - is.fresh; late > ageSlack {
		return fmt.Errorf("got the page %s, stale for %v, Age %s", p.name(), late, r.Header.Get("Age"))
	}
	want := p.body()
	switch r.StatusCode {
	case http.StatusOK:
	case http.StatusPartialContent:
		v.parts.Add(1)
		want = want[smallestPage/2:]
	default:
		return fmt.Errorf("status = %d, want 200 or 206", r.StatusCode)
	}
	if cut { // what came before is right nevertheless
		want = want[:min(len(body), len(want))]
	}
	if d := difference(body, want); d != "" {
		return fmt.Errorf("WRONG BYTES for the page %s, Cache-Status %q: %s", p.name(), r.Header.Get("Cache-Status"), d)
	}
	return nil
}

// ageSlack is what whole seconds in Date and Age may cost.
const ageSlack = time.Second
