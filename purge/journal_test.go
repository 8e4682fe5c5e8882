package purge

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"selvage/cache"
)

var page = &cache.Target{
	Site: "shop", Host: "www.example.com", URL: "www.example.com/a?b=1", Tags: []string{"product-7", "front"},
}

func mustAdd(t testing.TB, j *Journal, e Entry) uint64 {
	t.Helper()
	number, err := j.Add(e)
	if err != nil {
		t.Fatalf("Add(%+v): %v", e, err)
	}
	return number
}

func TestSelectors(t *testing.T) {
	for _, tt := range []struct {
		name string
		add  Entry
		want cache.Verdict
	}{
		{"everything", Entry{Kind: cache.Hard, All: true}, cache.Hard},
		{"its site", Entry{Kind: cache.Hard, Sites: []string{"shop"}}, cache.Hard},
		{"another site", Entry{Kind: cache.Hard, Sites: []string{"blog"}}, cache.Valid},
		{"its host", Entry{Kind: cache.Soft, Hosts: []string{"www.example.com"}}, cache.Soft},
		{"another host", Entry{Kind: cache.Soft, Hosts: []string{"example.com"}}, cache.Valid},
		{"one of its tags", Entry{Kind: cache.MustValidate, Tags: []string{"front"}}, cache.MustValidate},
		{"a tag that only begins like one of its own", Entry{Kind: cache.Hard, Tags: []string{"product"}}, cache.Valid},
		{"its URL", Entry{Kind: cache.Hard, URLs: []string{"www.example.com/a?b=1"}}, cache.Hard},
		{"its path with another query", Entry{Kind: cache.Hard, URLs: []string{"www.example.com/a"}}, cache.Valid},
		{"a prefix of its URL", Entry{Kind: cache.Hard, Prefixes: []string{"www.example.com/"}}, cache.Hard},
		{"a prefix that ends within a segment", Entry{Kind: cache.Hard, Prefixes: []string{"www.exa"}}, cache.Hard},
		{"a prefix that is the whole", Entry{Kind: cache.Soft, Prefixes: []string{page.URL}}, cache.Soft},
		{"a prefix that goes on beyond it", Entry{Kind: cache.Hard, Prefixes: []string{page.URL + "2"}}, cache.Valid},
		{"a glob", Entry{Kind: cache.Hard, Globs: []string{"*.example.com/a?*"}}, cache.Hard},
		{"a glob without a star, which is its URL", Entry{Kind: cache.Hard, Globs: []string{page.URL}}, cache.Hard},
		{"a glob that takes a part of it alone", Entry{Kind: cache.Hard, Globs: []string{"*/a"}}, cache.Valid},
		{"a URL that reads like its host", Entry{Kind: cache.Hard, URLs: []string{"www.example.com"}}, cache.Valid},
		{"a tag that reads like its site", Entry{Kind: cache.Hard, Tags: []string{"shop"}}, cache.Valid},
		{"several selectors, the last of which matches",
			Entry{Kind: cache.Hard, Sites: []string{"blog"}, Tags: []string{"x"}, URLs: []string{"y", page.URL}}, cache.Hard},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := NewJournal()
			number := mustAdd(t, j, tt.add)
			if got := j.Verdict(page, 0, number); got != tt.want {
				t.Errorf("Verdict = %d, want %d", got, tt.want)
			}
		})
	}
}

func TestVerdictCountsNumbersAfterTheEpochUpToTheBegin(t *testing.T) {
	j := NewJournal()
	for _, kind := range []cache.Verdict{cache.Hard, cache.Soft, cache.MustValidate} { // 1, 2, 3
		mustAdd(t, j, Entry{Kind: kind, URLs: []string{page.URL}})
	}
	for _, tt := range []struct {
		after, upTo uint64
		want        cache.Verdict
	}{
		{0, 0, cache.Valid},
		{0, 1, cache.Hard},
		{0, 3, cache.Hard}, // the severest, not the latest
		{1, 1, cache.Valid},
		{1, 2, cache.Soft},
		{1, 3, cache.MustValidate},
		{2, 3, cache.MustValidate},
		{3, 3, cache.Valid},
		{7, 3, cache.Valid}, // an object newer than the request
	} {
		if got := j.Verdict(page, tt.after, tt.upTo); got != tt.want {
			t.Errorf("Verdict in (%d, %d] = %d, want %d", tt.after, tt.upTo, got, tt.want)
		}
	}
}

// A request that began at purge 1 asks when the same URL has been purged again.
func TestALaterPurgeDoesNotHideTheOneThatCounts(t *testing.T) {
	j := NewJournal()
	purgeOf := Entry{Kind: cache.Hard, URLs: []string{page.URL}}
	begin := mustAdd(t, j, purgeOf)
	for later := range 3 {
		if got := j.Verdict(page, begin-1, begin); got != cache.Hard {
			t.Errorf("after %d later purges: Verdict = %d, want hard", later, got)
		}
		mustAdd(t, j, purgeOf)
	}
}

// The other side: a follower whose fill began with it is not thrown out by a purge that came after both.
func TestALaterPurgeAloneDoesNotCount(t *testing.T) {
	j := NewJournal()
	mustAdd(t, j, Entry{Kind: cache.Hard, URLs: []string{page.URL}})
	begin := mustAdd(t, j, Entry{Kind: cache.Hard, Sites: []string{"blog"}})
	mustAdd(t, j, Entry{Kind: cache.Hard, URLs: []string{page.URL}})
	if got := j.Verdict(page, 1, begin); got != cache.Valid {
		t.Errorf("Verdict = %d, want valid", got)
	}
}

func TestAddRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		add  Entry
		want error
	}{
		{"no kind", Entry{All: true}, errKind},
		{"a kind beyond hard", Entry{Kind: cache.Hard + 1, All: true}, errKind},
		{"no selector", Entry{Kind: cache.Hard}, errEmpty},
		{"an empty prefix, which would be everything", Entry{Kind: cache.Hard, Prefixes: []string{""}}, errNoName},
		{"an empty glob", Entry{Kind: cache.Hard, Globs: []string{""}}, errNoName},
		{"too many names", Entry{Kind: cache.Hard, URLs: manyURLs(MaxNames), Tags: []string{"a"}}, errMany},
		{"a URL that no request can have", Entry{Kind: cache.Hard, URLs: []string{strings.Repeat("a", maxNameBytes+1)}}, errLong},
		{"a prefix of many bytes", Entry{Kind: cache.Hard, Prefixes: []string{strings.Repeat("a", maxPatternBytes+1)}}, errLong},
		{"a glob of many bytes", Entry{Kind: cache.Hard, Globs: []string{strings.Repeat("*", maxPatternBytes+1)}}, errLong},
		{"a reason of many bytes", Entry{Kind: cache.Hard, All: true, Why: strings.Repeat("a", maxWordBytes+1)}, errAnybody},
		{"an empty name", Entry{Kind: cache.Hard, Tags: []string{"a", ""}}, errNoName},
		{"an empty name beside all", Entry{Kind: cache.Hard, All: true, URLs: []string{""}}, errNoName},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := NewJournal()
			if _, err := j.Add(tt.add); !errors.Is(err, tt.want) {
				t.Errorf("Add = %v, want %v", err, tt.want)
			}
			if j.Applied() != 0 {
				t.Errorf("Applied = %d after a refused purge, want 0", j.Applied())
			}
		})
	}
}

// RFC 9111, section 4.4: the target URI, and what Location and Content-Location name, in one purge.
func TestInvalidateIsOneMustValidatePurge(t *testing.T) {
	j := NewJournal()
	if got := j.Invalidate([]string{"www.example.com/other", page.URL}, nil); got != 1 || j.Applied() != 1 {
		t.Errorf("Invalidate = %d and Applied = %d, want 1 and 1", got, j.Applied())
	}
	if got := j.Verdict(page, 0, 1); got != cache.MustValidate {
		t.Errorf("Verdict = %d, want must-validate", got)
	}
	if got := j.Invalidate(nil, nil); got != 1 {
		t.Errorf("Invalidate of nothing = %d, want 1, the newest number", got)
	}
}

func TestCollectingRaisesTheFloor(t *testing.T) {
	j := NewJournal()
	j.maxRows = 2
	urls := func(kind cache.Verdict, url string) { mustAdd(t, j, Entry{Kind: kind, URLs: []string{url}}) }
	urls(cache.Hard, "/1")         // 1
	urls(cache.Soft, "/2")         // 2
	urls(cache.Soft, "/1")         // 3: now /2 is the row purged longest ago
	urls(cache.MustValidate, "/4") // 4 collects /2
	for _, tt := range []struct {
		after uint64
		want  cache.Verdict
		why   string
	}{
		{0, cache.Soft, "the floor, raised by a soft purge, and no more than that"},
		{1, cache.Soft, "the floor is at 2"},
		{2, cache.Valid, "at the floor: judged by the rows alone, and none is page's"},
	} {
		if got := j.Verdict(page, tt.after, 4); got != tt.want {
			t.Errorf("Verdict after %d = %d, want %d: %s", tt.after, got, tt.want, tt.why)
		}
	}
	urls(cache.Soft, "/5") // 5 collects /1
	if got := j.Verdict(page, 0, 5); got != cache.Hard {
		t.Errorf("Verdict = %d, want hard: a collected hard purge may not become a validation", got)
	}
	if len(j.rows) != 2 || j.aged.Len() != 2 {
		t.Errorf("%d rows, %d in order of age, want 2 and 2", len(j.rows), j.aged.Len())
	}
}

// numbered is a purge and the number it was given.
type numbered struct {
	number uint64
	entry  Entry
}

// model is the journal as one would explain it: a list of all entries.
type model []numbered

func (m model) verdict(t *cache.Target, after, upTo uint64) cache.Verdict {
	worst := cache.Valid
	for _, p := range m {
		if p.number > after && p.number <= upTo && matches(&p.entry, t) {
			worst = max(worst, p.entry.Kind)
		}
	}
	return worst
}

func matches(e *Entry, t *cache.Target) bool {
	taken := func(pattern string) bool { return globMatches(pattern, t.URL) }
	starts := func(prefix string) bool { return strings.HasPrefix(t.URL, prefix) }
	if slices.ContainsFunc(e.Globs, taken) || slices.ContainsFunc(e.Prefixes, starts) {
		return true
	}
	return e.All || slices.Contains(e.Sites, t.Site) || slices.Contains(e.Hosts, t.Host) || slices.Contains(e.URLs, t.URL) ||
		slices.ContainsFunc(t.Tags, func(tag string) bool {
			return slices.Contains(e.Tags, tag) || slices.Contains(e.SiteTags, t.Site+" "+tag)
		})
}

// globMatches is what a glob means, in so many words.
func globMatches(pattern, url string) bool {
	literals := strings.Split(pattern, "*")
	for i := range literals {
		literals[i] = regexp.QuoteMeta(literals[i])
	}
	return regexp.MustCompile(`(?s)\A` + strings.Join(literals, ".*") + `\z`).MatchString(url)
}

// Random purges and questions. For a reader who begins now the journal agrees with the model, as long as its object is not
// below the floor and no glob was shortened; it is never milder than the model, for anyone.
func TestJournalAgainstModel(t *testing.T) {
	for _, limit := range []struct{ rows, globs int }{{1, 9}, {3, 9}, {8, 9}, {8, 1}, {maxRows, 2}, {maxRows, maxGlobs}} {
		for seed := range uint64(60) {
			t.Run(fmt.Sprintf("rows=%d/globs=%d/seed=%d", limit.rows, limit.globs, seed), func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, uint64(limit.rows)))
				j, m := NewJournal(), model(nil)
				j.maxRows, j.maxGlobs = limit.rows, limit.globs
				for range 60 {
					e := randomEntry(r)
					m = append(m, numbered{mustAdd(t, j, e), e})
					if got := m[len(m)-1].number; got != uint64(len(m)) {
						t.Fatalf("Add = %d, want %d", got, len(m))
					}
					compare(t, r, j, m)
				}
			})
		}
	}
}

func compare(t *testing.T, r *rand.Rand, j *Journal, m model) {
	t.Helper()
	target, applied, floor := randomTarget(r), j.Applied(), j.floorNumber()
	after := m.randomNumber(r, 0, applied)
	got, want := j.Verdict(target, after, applied), m.verdict(target, after, applied)
	if got < want || (got > want && after >= floor && j.maxGlobs == maxGlobs) {
		t.Fatalf("Verdict(%+v) in (%d, %d] = %d, want %d (floor %d)", *target, after, applied, got, want, floor)
	}
	earlier := m.randomNumber(r, j.Reserved(), applied)
	if got, want := j.Verdict(target, after, earlier), m.verdict(target, after, earlier); got < want {
		t.Fatalf("Verdict(%+v) in (%d, %d] = %d, milder than %d", *target, after, earlier, got, want)
	}
}

// randomNumber returns that of a purge, or one beside it, within bounds.
func (m model) randomNumber(r *rand.Rand, least, most uint64) uint64 {
	return min(max(m[r.IntN(len(m))].number-r.Uint64N(2), least), most)
}

// floorNumber returns the newest purge that was collected.
func (j *Journal) floorNumber() uint64 {
	newest := uint64(0)
	for _, m := range j.floor {
		newest = max(newest, m.last)
	}
	return newest
}

func randomEntry(r *rand.Rand) Entry {
	e := Entry{Kind: cache.Soft + cache.Verdict(r.IntN(3))}
	for range 1 + r.IntN(3) {
		name := string(rune('a' + r.IntN(5)))
		switch r.IntN(20) {
		case 0:
			e.All = true
		case 1, 2:
			e.Sites = append(e.Sites, name)
		case 3:
			e.Hosts = append(e.Hosts, name)
		case 4:
			e.SiteTags = append(e.SiteTags, name+" "+string(rune('a'+r.IntN(5))))
		case 5, 6:
			e.Tags = append(e.Tags, name)
		case 7, 8, 9:
			e.Prefixes = append(e.Prefixes, randomText(r, "abc"))
		case 10, 11, 12:
			e.Globs = append(e.Globs, randomText(r, "abc*"))
		default:
			e.URLs = append(e.URLs, randomText(r, "abc"))
		}
	}
	return e
}

// randomText returns one to three of the given letters.
func randomText(r *rand.Rand, letters string) string {
	text := make([]byte, 1+r.IntN(3))
	for i := range text {
		text[i] = letters[r.IntN(len(letters))]
	}
	return string(text)
}

func randomTarget(r *rand.Rand) *cache.Target {
	name := func() string { return string(rune('a' + r.IntN(5))) }
	t := &cache.Target{Site: name(), Host: name(), URL: randomText(r, "abc")}
	for range r.IntN(3) {
		t.Tags = append(t.Tags, name())
	}
	return t
}

// Whatever others purge and collect meanwhile, a purge holds as soon as its number is told, for a reader who began then.
func TestAPurgeHoldsOnceAcknowledged(t *testing.T) {
	j := NewJournal()
	j.maxRows = 4
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(w)))
			for range 2000 {
				target := randomTarget(r)
				number := j.Invalidate([]string{target.URL, "always"}, nil)
				if got := j.Verdict(target, number-1, number); got < cache.MustValidate {
					t.Errorf("Verdict in (%d, %d] = %d, want must-validate at least", number-1, number, got)
				}
				if begin := j.Applied(); j.Verdict(target, number-1, begin) < cache.MustValidate {
					t.Errorf("Verdict in (%d, %d] has lost purge %d", number-1, begin, number)
				}
			}
		})
	}
	wg.Go(func() { // every purge names "always", so a reader who has read n may not miss it in (n-1, n]
		always := &cache.Target{URL: "always"}
		for range 8000 {
			if n := j.Applied(); n > 0 && j.Verdict(always, n-1, n) < cache.MustValidate {
				t.Errorf("Applied told %d before its rows were marked", n)
			}
		}
	})
	wg.Wait()
	if got := j.Applied(); got != 8000 {
		t.Errorf("Applied = %d after 8000 purges", got)
	}
}

// Clients choose URLs, and an unsafe request leaves a row for its own.
func TestLongNamesAreKeptShort(t *testing.T) {
	j := NewJournal()
	long := strings.Repeat("a", 16<<10)
	number := j.Invalidate([]string{long}, nil)
	for s := range j.rows {
		if len(s.name) > maxPlainBytes {
			t.Errorf("a row has a name of %d bytes, want %d at most", len(s.name), maxPlainBytes)
		}
	}
	if got := j.Verdict(&cache.Target{URL: long}, 0, number); got != cache.MustValidate {
		t.Errorf("Verdict = %v, want must-validate", got)
	}
	if got := j.Verdict(&cache.Target{URL: long[1:]}, 0, number); got != cache.Valid {
		t.Errorf("Verdict of another long URL = %v, want valid", got)
	}
}

func TestVerdictDoesNotAllocate(t *testing.T) {
	j := NewJournal()
	number := mustAdd(t, j, Entry{
		Kind: cache.Soft, Tags: page.Tags, URLs: []string{page.URL},
		Prefixes: []string{"www", "www.example.com/", page.URL}, Globs: []string{"*a*b*", "www*"},
	})
	if n := testing.AllocsPerRun(100, func() { j.Verdict(page, 0, number) }); n != 0 {
		t.Errorf("Verdict allocates %v times, want 0", n)
	}
}

func BenchmarkVerdict(b *testing.B) {
	j := NewJournal()
	for i := range 100_000 {
		j.Invalidate([]string{fmt.Sprintf("www.example.com/%d", i)}, nil)
	}
	for i := range 10_000 {
		mustAdd(b, j, Entry{Kind: cache.Soft, Prefixes: []string{fmt.Sprintf("www.example.com/a/%d/", i)}})
	}
	for i := range maxGlobs {
		mustAdd(b, j, Entry{Kind: cache.Soft, Globs: []string{fmt.Sprintf("*/%d/*.css", i)}})
	}
	applied := j.Applied()
	for _, bb := range []struct {
		name  string
		after uint64
	}{{"NothingNew", applied}, {"AfterAPurgeOfOthers", applied - 1}, {"AfterAThousandGlobs", applied - maxGlobs}} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				j.Verdict(page, bb.after, applied)
			}
		})
	}
}
