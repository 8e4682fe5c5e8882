package purge

import (
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"selvage/cache"
)

// A purge is in force when its answer comes, the answer says what it was, and the history remembers it.
func TestPurgeIsAnswered(t *testing.T) {
	j := NewJournal()
	d := newDesk(t, j)
	var got Answer
	d.want(adminSecret, "POST", "/v1/purge", `{"urls": ["https://shop.example/a?id=1&utm_source=x"], "tags": ["news"], "soft": true, "why": "new prices"}`, 200, &got)
	want := Answer{
		Number: 1, Kind: "soft", Selection: Selection{URLs: []string{"shop.example/a?id=1"}, Tags: []string{"news"}},
		Matched: &Matched{Responses: 3, Bytes: 30, Exact: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if v := j.Verdict(&cache.Target{URL: "shop.example/a?id=1"}, 0, j.Applied()); v != cache.Soft {
		t.Errorf("Verdict = %v, want soft", v)
	}
	var told Told
	d.want(adminSecret, "GET", "/v1/purges/1", "", 200, &told)
	if told.Time.IsZero() || told.Time.Location() != time.UTC {
		t.Errorf("time = %v", told.Time)
	}
	told.Time = time.Time{}
	if diff := cmp.Diff(Told{Number: 1, By: "admin token", Why: "new prices", Kind: "soft", Selection: want.Selection}, told); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

// A dry run counts and lists, and changes nothing.
func TestDryRun(t *testing.T) {
	j := NewJournal()
	d := newDesk(t, j)
	var got Answer
	d.want(adminSecret, "POST", "/v1/purge?dry_run=true", `{"globs": ["*/img/*"]}`, 200, &got)
	want := Answer{
		DryRun: true, Kind: "hard", Selection: Selection{Globs: []string{"*/img/*"}}, Matched: &Matched{Responses: 1, Bytes: 10, Exact: true},
		Responses: []Match{{URL: "shop.example/img/loom.webp", Site: "shop", Bytes: 10, Tags: []string{"pictures"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if j.Applied() != 0 || len(j.History(0, 10)) != 0 {
		t.Error("a dry run has purged")
	}
}

// The list of a dry run ends somewhere, its count does not.
func TestDryRunIsBounded(t *testing.T) {
	d := newDesk(t, NewJournal())
	full := make(shelf, 5000)
	for i := range full {
		full[i] = stored("shop", fmt.Sprintf("shop.example/%d", i))
	}
	d.API.stored = full
	var got Answer
	d.want(adminSecret, "POST", "/v1/purge?dry_run=true", `{"all": true}`, 200, &got)
	if got.Matched.Responses != 5000 || len(got.Responses) != maxMatches {
		t.Errorf("%d responses counted, %d listed, want 5000 and %d", got.Matched.Responses, len(got.Responses), maxMatches)
	}
}

// Refusals: the status says what kind, and nothing is purged.
func TestRefusals(t *testing.T) {
	j := NewJournal()
	d := newDesk(t, j)
	for _, row := range []struct {
		what, secret, target, body string
		status                     int
	}{
		{"no such token", "wrong-0123456789", "/v1/purge", `{"all": true}`, 401},
		{"not its site", deploySecret, "/v1/purge", `{"urls": ["blog.example/"]}`, 403},
		{"not its selector", deploySecret, "/v1/purge", `{"sites": ["shop"]}`, 403},
		{"no JSON", adminSecret, "/v1/purge", `urls=a`, 400},
		{"unknown key", adminSecret, "/v1/purge", `{"url": ["shop.example/"]}`, 400},
		{"nothing selected", adminSecret, "/v1/purge", `{}`, 422},
		{"a misspelt host", adminSecret, "/v1/purge", `{"urls": ["shpo.example/"]}`, 422},
		{"a good and a bad one", adminSecret, "/v1/purge", `{"urls": ["shop.example/", "shop.example/../.."]}`, 422},
		{"a misspelt parameter", adminSecret, "/v1/purge?dryrun=true", `{"all": true}`, 400},
		{"a parameter that says nothing", adminSecret, "/v1/purge?dry_run=yes", `{"all": true}`, 400},
		{"a parameter that says two things", adminSecret, "/v1/purge?dry_run=true&dry_run=false", `{"all": true}`, 400},
		{"too large", adminSecret, "/v1/purge", `{"why": "` + strings.Repeat("x", maxBodyBytes) + `"}`, 413},
	} {
		w := d.ask(row.secret, "POST", row.target, row.body)
		if w.Code != row.status || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: status = %d, want %d as a problem\n%s", row.what, w.Code, row.status, w.Body)
		}
	}
	if j.Applied() != 0 {
		t.Error("something was purged")
	}
}

// A journal that cannot be written makes the purge fail loudly, and says nothing of why.
func TestPurgeThatCannotBeWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "purges")
	j, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	d := newDesk(t, j)
	d.want(adminSecret, "POST", "/v1/purge", `{"all": true}`, 200, nil)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	w := d.ask(adminSecret, "POST", "/v1/purge", `{"all": true}`)
	if w.Code != 503 || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), path) {
		t.Errorf("status = %d, Retry-After %q, want 503\n%s", w.Code, w.Header().Get("Retry-After"), w.Body)
	}
	if len(j.History(0, 10)) != 1 {
		t.Errorf("history: %v, want the first alone", j.History(0, 10))
	}
}

// The history comes in pages, the newest first.
func TestHistoryInPages(t *testing.T) {
	d := newDesk(t, NewJournal())
	for i := range 7 {
		d.want(adminSecret, "POST", "/v1/purge", fmt.Sprintf(`{"tags": ["%d"]}`, i), 200, nil)
	}
	var all []string
	target := "/v1/purges?limit=3"
	for range 3 {
		var page Page
		d.want(adminSecret, "GET", target, "", 200, &page)
		for _, p := range page.Purges {
			all = append(all, p.Tags...)
		}
		target = fmt.Sprintf("/v1/purges?limit=3&before=%d", page.Before)
	}
	if got := strings.Join(all, ""); got != "6543210" || !strings.HasSuffix(target, "=0") {
		t.Errorf("tags = %s, next %s, want 6543210 and no next", got, target)
	}
	for _, bad := range []string{"?limit=0", "?limit=501", "?limit=x", "?before=-1", "?after=1"} {
		d.want(adminSecret, "GET", "/v1/purges"+bad, "", 400, nil)
	}
	for _, none := range []string{"0", "99", "x", "18446744073709551616"} {
		d.want(adminSecret, "GET", "/v1/purges/"+none, "", 404, nil)
	}
}

// A token of one site learns nothing of what others purge, however the pages fall.
func TestHistoryOfAConfinedToken(t *testing.T) {
	d := newDesk(t, NewJournal())
	for i := range 9 {
		secret := adminSecret
		if i%3 == 0 {
			secret = deploySecret
		}
		d.want(secret, "POST", "/v1/purge", `{"tags": ["news"]}`, 200, nil)
	}
	for limit := 1; limit <= 9; limit++ {
		var seen []uint64
		for before := uint64(10); before != 0; {
			var page Page
			d.want(deploySecret, "GET", fmt.Sprintf("/v1/purges?limit=%d&before=%d", limit, before), "", 200, &page)
			for _, p := range page.Purges {
				seen = append(seen, p.Number)
			}
			before = page.Before
		}
		if !slices.Equal(seen, []uint64{7, 4, 1}) {
			t.Errorf("limit %d: purges %d, want 7 4 1", limit, seen)
		}
	}
	d.want(deploySecret, "GET", "/v1/purges/4", "", 200, nil)
	d.want(deploySecret, "GET", "/v1/purges/5", "", 404, nil)
}

// A tag purged with a token of the shop leaves the blog alone.
func TestTagOfAConfinedToken(t *testing.T) {
	j := NewJournal()
	d := newDesk(t, j)
	var got Answer
	d.want(deploySecret, "POST", "/v1/purge", `{"tags": ["news"]}`, 200, &got)
	if got.Matched.Responses != 2 || !slices.Equal(got.SiteTags, []string{"shop news"}) || got.Tags != nil {
		t.Errorf("answer %+v, want the two of the shop", got)
	}
	for i := range testShelf {
		target := &testShelf[i].Target
		want := cache.Valid
		if target.Site == "shop" && slices.Contains(target.Tags, "news") {
			want = cache.Hard
		}
		if v := j.Verdict(target, 0, j.Applied()); v != want {
			t.Errorf("Verdict of %s = %v, want %v", target.URL, v, want)
		}
	}
}

// A token has its rate, in names; it is told when to come back, and the admin token is not concerned.
func TestFloodOfPurges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := NewJournal()
		d := newDesk(t, j)
		refused := 0
		for range 10_000 {
			w := d.ask(deploySecret, "POST", "/v1/purge", `{"urls": ["shop.example/"]}`)
			if w.Code == http.StatusTooManyRequests && w.Header().Get("Retry-After") == "1" {
				refused++
			}
		}
		if refused != 9000 || j.Applied() != MaxNames {
			t.Errorf("%d refused, %d done, want 9000 and 1000", refused, j.Applied())
		}
		d.want(adminSecret, "POST", "/v1/purge", `{"all": true}`, 200, nil)
		d.want(deploySecret, "POST", "/v1/purge?dry_run=true", `{"all": true}`, 429, nil)
		time.Sleep(time.Second)
		d.want(deploySecret, "POST", "/v1/purge", `{"tags": ["1", "2", "3", "4", "5", "6"]}`, 429, nil)
		d.want(deploySecret, "POST", "/v1/purge", `{"tags": ["1", "2", "3", "4", "5"]}`, 200, nil)
		d.want(deploySecret, "POST", "/v1/purge", `{"tags": ["1"]}`, 429, nil)
	})
}

// Of what a node can be asked to purge at most, with globs as slow as they can be written: it is bounded work.
func TestLargestRequest(t *testing.T) {
	d := newDesk(t, NewJournal())
	slow := `"shop.example/` + strings.Repeat("*a", 500) + `b"`
	body := `{"globs": [` + strings.Repeat(slow+",", 999) + slow + `]}`
	if len(body) < maxBodyBytes-64<<10 || len(body) > maxBodyBytes {
		t.Fatalf("the body has %d bytes: not what was meant", len(body))
	}
	began := time.Now()
	d.want(adminSecret, "POST", "/v1/purge?dry_run=true", body, 200, nil)
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
}

// Canary: a token, right or wrong, wherever it is put, is in no answer and in no log line.
func TestTokensAreNotTold(t *testing.T) {
	d := newDesk(t, NewJournal())
	const forged = "forged-canary-0123"
	var all strings.Builder
	for _, secret := range []string{adminSecret, deploySecret, forged} {
		for _, target := range []string{"/v1/purge", "/v1/purge?dry_run=true", "/v1/purge?dry_run=" + forged, "/v1/purge?" + forged + "=1"} {
			for _, body := range []string{`{"all": true}`, `{"hosts": ["shop.example"]}`, `{}`, `x`} {
				w := d.ask(secret, "POST", target, body)
				fmt.Fprintln(&all, w.Header(), w.Body)
			}
		}
		fmt.Fprintln(&all, d.ask(secret, "GET", "/v1/purges", "").Body)
	}
	all.WriteString(d.log.String())
	for _, secret := range []string{adminSecret, deploySecret, forged, fmt.Sprintf("%x", hashOf(adminSecret))} {
		if strings.Contains(all.String(), secret) {
			t.Errorf("%q is told", secret)
		}
	}
	if !strings.Contains(d.log.String(), `"by":"token deploy"`) {
		t.Error("the log does not say who purged")
	}
}

// The document that is shipped has the paths, the keys and the selectors that there are.
func TestOpenAPI(t *testing.T) {
	d := newDesk(t, NewJournal())
	w := d.ask(adminSecret, "GET", "/v1/openapi.yaml", "")
	var doc struct {
		Paths      map[string]map[string]any
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	if err := yaml.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Header().Get("Content-Type") != "application/yaml" {
		t.Fatalf("%v, %v", w.Header(), err)
	}
	for path, methods := range doc.Paths {
		for method := range methods {
			target := strings.ReplaceAll(path, "{number}", "1")
			if d.ask(adminSecret, strings.ToUpper(method), target, "").Code == http.StatusMethodNotAllowed {
				t.Errorf("%s %s is not served", method, path)
			}
		}
	}
	if len(doc.Paths) != 4 {
		t.Errorf("%d paths, want 4", len(doc.Paths))
	}
	keys := slices.Sorted(maps.Keys(doc.Components.Schemas["Request"].Properties))
	want := slices.Sorted(slices.Values(append([]string{"soft", "why"}, selectorNames...)))
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("keys of a request (-want +got):\n%s", diff)
	}
}

// Counting is kept to a tenth of the time after a burst, one at a time.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pace
		turns := func() (n int) {
			for done := p.begin(); done != nil; done = p.begin() {
				if n++; p.begin() != nil {
					t.Error("two at once")
				}
				time.Sleep(countTime)
				done()
			}
			return n
		}
		burst := int(paceBurst / countTime)
		for _, row := range []struct {
			pause time.Duration
			want  int
		}{{0, burst}, {199 * time.Millisecond, 1}, {time.Millisecond, 0}, {time.Second, 5}, {time.Hour, burst}} {
			time.Sleep(row.pause)
			if got := turns(); got != row.want {
				t.Errorf("after %v: %d turns, want %d", row.pause, got, row.want)
			}
		}
	})
}
