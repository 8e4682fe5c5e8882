package cache

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// RFC 9110, section 12.5.5.
func TestParseVary(t *testing.T) {
	for _, c := range []struct {
		rule  string
		lines []string
		names []string
		star  bool
	}{
		{"no field", nil, nil, false},
		{"empty", []string{""}, nil, false},
		{"canonical and sorted", []string{"user-agent, ACCEPT"}, []string{"Accept", "User-Agent"}, false},
		{"each once", []string{"Accept, accept"}, []string{"Accept"}, false},
		{"several lines", []string{"B", "A"}, []string{"A", "B"}, false},
		{"empty members", []string{", A,,", ""}, []string{"A"}, false},
		{"the host is in the key", []string{"Host, A"}, []string{"A"}, false},
		{"*", []string{"*"}, nil, true},
		{"* among names", []string{"A, *"}, nil, true},
		{"* in another line", []string{"A", "*"}, nil, true},
		{"* twice", []string{"*, *"}, nil, true},
		{"the client's address is not in its request", []string{"A, x-forwarded-for"}, nil, true},
		{"nor is it in this form", []string{"Forwarded"}, nil, true},
		{"its scheme and host are in the key", []string{"X-Forwarded-Proto"}, []string{"X-Forwarded-Proto"}, false},
		{"what is no name may mean anything", []string{"A B"}, nil, true},
		{"nor a quoted string", []string{`"A"`}, nil, true},
	} {
		names, star := ParseVary(HeaderFields(http.Header{"Vary": c.lines}))
		if !slices.Equal(names, c.names) || star != c.star {
			t.Errorf("%s: %q: got %q, %v; want %q, %v", c.rule, c.lines, names, star, c.names, c.star)
		}
	}
}

// RFC 9111, section 4.1: what may and what may not count as the same.
func TestVariantKey(t *testing.T) {
	for _, c := range []struct {
		rule string
		vary string
		a, b []string
		same bool
	}{
		{"the same value", "Foo", []string{"Foo: 1"}, []string{"Foo: 1"}, true},
		{"another value", "Foo", []string{"Foo: 1"}, []string{"Foo: 2"}, false},
		{"absent matches absent", "Foo", nil, nil, true},
		{"absent does not match empty", "Foo", nil, []string{"Foo:"}, false},
		{"other fields do not count", "Foo", []string{"Foo: 1", "Bar: 1"}, []string{"Foo: 1", "Bar: 2"}, true},
		{"all named fields count", "Bar,Foo", []string{"Foo: 1", "Bar: 1"}, []string{"Foo: 1", "Bar: 2"}, false},
		{"values do not move between fields", "Bar,Foo", []string{"Foo: 1"}, []string{"Bar: 1"}, false},
		{"values do not run into each other", "Bar,Foo", []string{"Bar: 1", "Foo: 23"}, []string{"Bar: 12", "Foo: 3"}, false},
		{"case counts where nothing says otherwise", "Foo", []string{"Foo: A"}, []string{"Foo: a"}, false},
		{"order counts where nothing says otherwise", "Foo", []string{"Foo: 1, 2"}, []string{"Foo: 2, 1"}, false},
		{"lines are combined", "Foo", []string{"Foo: 1", "Foo: 2"}, []string{"Foo: 1, 2"}, true},
		{"their order counts", "Foo", []string{"Foo: 1", "Foo: 2"}, []string{"Foo: 2", "Foo: 1"}, false},
		{"spaces around commas", "Foo", []string{"Foo: 1,2"}, []string{"Foo: 1 ,\t2"}, true},
		{"spaces elsewhere", "Foo", []string{"Foo: 1 2"}, []string{"Foo: 12"}, false},
		{"spaces in quoted strings", "Foo", []string{`Foo: "1,2"`}, []string{`Foo: "1, 2"`}, false},
		{"spaces beside a backslash", "Foo", []string{`Foo: "1\",2"`}, []string{`Foo: "1\", 2"`}, false},
		{"empty members of an unknown field", "Foo", []string{"Foo: 1,,2"}, []string{"Foo: 1,2"}, false},
		{"an empty member at the end", "Foo", []string{"Foo: 1,"}, []string{"Foo: 1"}, false},
		{"spaces in what is no list", "User-Agent", []string{"User-Agent: a,b"}, []string{"User-Agent: a, b"}, false},
		{"RFC 9113, 8.2.3: lines of Cookie", "Cookie", []string{"Cookie: a=1", "Cookie: b=2"}, []string{"Cookie: a=1; b=2"}, true},
		{"cookies", "Cookie", []string{"Cookie: a=1"}, []string{"Cookie: a=2"}, false},

		{"codings by class", "Accept-Encoding", []string{"Accept-Encoding: gzip, br"}, []string{"Accept-Encoding: BR;q=0.5,x-gzip, deflate"}, true},
		{"another class", "Accept-Encoding", []string{"Accept-Encoding: gzip"}, []string{"Accept-Encoding: br"}, false},
		{"a refused coding", "Accept-Encoding", []string{"Accept-Encoding: gzip"}, []string{"Accept-Encoding: gzip;q=0"}, false},
		{"no coding is asked for either way", "Accept-Encoding", nil, []string{"Accept-Encoding: identity"}, true},

		{"languages: spaces", "Accept-Language", []string{"Accept-Language: en,de"}, []string{"Accept-Language: en , de"}, true},
		{"languages: case", "Accept-Language", []string{"Accept-Language: en-GB"}, []string{"Accept-Language: EN-gb"}, true},
		{"languages: order of equals", "Accept-Language", []string{"Accept-Language: en, de"}, []string{"Accept-Language: de, en"}, true},
		{"languages: order of others", "Accept-Language", []string{"Accept-Language: en;q=0.5, de"}, []string{"Accept-Language: de, en;q=0.5"}, true},
		{"languages: weights", "Accept-Language", []string{"Accept-Language: en;q=0.5, de"}, []string{"Accept-Language: en, de;q=0.5"}, false},
		{"languages: zeros of a weight", "Accept-Language", []string{"Accept-Language: en;q=0.50"}, []string{"Accept-Language: en; Q=0.5"}, true},
		{"languages: a weight of 1", "Accept-Language", []string{"Accept-Language: en;q=1.0"}, []string{"Accept-Language: en"}, true},
		{"languages: a weight of 0", "Accept-Language", []string{"Accept-Language: en;q=0"}, []string{"Accept-Language:"}, false},
		{"languages: a prefix", "Accept-Language", []string{"Accept-Language: en"}, []string{"Accept-Language: en-GB"}, false},
		{"languages: malformed, as they are", "Accept-Language", []string{"Accept-Language: en;q=x, de"}, []string{"Accept-Language: de, en;q=x"}, false},
		{"languages: a parameter without a value", "Accept-Language", []string{"Accept-Language: en;x, de"}, []string{"Accept-Language: de, en;x"}, false},
		{"types: a parameter behind the weight", "Accept", []string{"Accept: a/b;q=1;c=d, e/f"}, []string{"Accept: e/f, a/b;q=1;c=d"}, false},
		{"charsets: case", "Accept-Charset", []string{"Accept-Charset: UTF-8"}, []string{"Accept-Charset: utf-8"}, true},
		{"types: case and order", "Accept", []string{"Accept: Text/HTML, */*;q=0.1"}, []string{"Accept: */*;q=0.1,text/html"}, true},
		{"types: names of parameters", "Accept", []string{"Accept: text/html;Level=1"}, []string{"Accept: text/html; level=1"}, true},
		{"types: values of parameters", "Accept", []string{"Accept: text/html;a=B"}, []string{"Accept: text/html;a=b"}, false},
		{"types: a quoted comma", "Accept", []string{`Accept: a/b;c="d,e"`}, []string{`Accept: a/b;c="e,d"`}, false},
		{"types: a quote that never closes", "Accept", []string{`Accept: a/b;c="d, e/f`}, []string{`Accept: e/f, a/b;c="d`}, false},
		{"types: something behind the quote", "Accept", []string{`Accept: a/b;c="d"e, f/g`}, []string{`Accept: f/g, a/b;c="d"e`}, false},
		{"types: an escaped quote", "Accept", []string{`Accept: a/b;c="\"", d/e`}, []string{`Accept: d/e, a/b;c="\""`}, true},
		{"types: absent and empty", "Accept", nil, []string{"Accept:"}, false},
	} {
		vary := strings.Split(c.vary, ",")
		a, b := VariantKey(requestWith("GET", c.a...), vary), VariantKey(requestWith("GET", c.b...), vary)
		if (a == b) != c.same {
			t.Errorf("%s: %q and %q: keys %q and %q, want them the same: %v", c.rule, c.a, c.b, a, b, c.same)
		}
	}
	if key := VariantKey(requestWith("GET"), nil); key != "" {
		t.Errorf("without Vary: key %q, want none", key)
	}
}

// Two requests whose fields are not normalised have the same key only if the fields are the same; and a normalised value is
// its own normal form.
func FuzzVariantKey(f *testing.F) {
	f.Add("1", "23", "12", "3")
	f.Add("a, b", "", "a", "b")
	f.Add("c", "a\x00User-Agent\x00\x01b", "b\x00User-Agent\x00\x01c", "a") // collide where NUL ends a part
	f.Add(`"a,b"`, "de;q=0.5, en", `"a, b"`, "en,de;q=0.50")
	f.Fuzz(func(t *testing.T, agent1, referer1, agent2, referer2 string) {
		vary := []string{"Referer", "User-Agent"}
		q1 := &Query{Fields: HeaderFields{"User-Agent": {agent1}, "Referer": {referer1}}}
		q2 := &Query{Fields: HeaderFields{"User-Agent": {agent2}, "Referer": {referer2}}}
		same := trimOWS(agent1) == trimOWS(agent2) && trimOWS(referer1) == trimOWS(referer2)
		if k1, k2 := VariantKey(q1, vary), VariantKey(q2, vary); (k1 == k2) != same {
			t.Errorf("%q, %q and %q, %q: keys %q and %q", agent1, referer1, agent2, referer2, k1, k2)
		}
		for _, name := range []string{"Accept", "Accept-Language", "Cookie", "X-Unknown"} {
			normal := fieldValue(HeaderFields{name: {agent1, referer1}}, name)
			if again := fieldValue(HeaderFields{name: {normal}}, name); again != normal {
				t.Errorf("%s: %q, %q: %q, again %q", name, agent1, referer1, normal, again)
			}
		}
	})
}
