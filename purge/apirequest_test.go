package purge

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is not exactly a request is refused, with a word on why.
func TestDecodeRequest(t *testing.T) {
	for _, row := range []struct{ body, want string }{
		{`{}`, ""},
		{` {"urls": ["a"], "soft": true, "why": "ü"} `, ""},
		{`{"urls": []}`, ""},
		{``, "no JSON object"},
		{`[]`, "no JSON object"},
		{`null`, "no JSON object"},
		{`"urls"`, "no JSON object"},
		{`{"urls": ["a"]`, "cut short"},
		{`{"urls": ["a"`, "cut short"},
		{`{"urls": ["a"]} x`, "more after"},
		{`{"urls": ["a"]}{}`, "more after"},
		{`{"urls": ["a"],}`, "no JSON"},
		{`{urls: ["a"]}`, "no JSON"},
		{`{"url": ["a"]}`, `no key "url"`},
		{`{"URLs": ["a"]}`, `no key "URLs"`},
		{`{"site_tags": ["shop a"]}`, `no key "site_tags"`},
		{`{"tags": ["a"], "tags": ["b"]}`, "tags is given twice"},
		{`{"all": true, "\u0061ll": false}`, "all is given twice"},
		{`{"urls": "a"}`, "urls wants a list of strings"},
		{`{"urls": [1]}`, "urls wants a list of strings"},
		{`{"urls": [["a"]]}`, "urls wants a list of strings"},
		{`{"urls": null}`, "urls wants a list of strings"},
		{`{"urls": ["a", null]}`, "urls wants a list of strings"},
		{`{"all": "true"}`, "all wants true or false"},
		{`{"all": 1}`, "all wants true or false"},
		{`{"soft": null}`, "soft wants true or false"},
		{`{"why": ["a"]}`, "why wants a string"},
		{`{"why": "a\u001b[2Jb"}`, "printable"},
		{`{"why": "` + strings.Repeat("x", maxWhyBytes+1) + `"}`, "longer than 500 bytes"},
		{"{\"why\": \"\xff\"}", "no UTF-8"},
	} {
		_, err := decodeRequest([]byte(row.body))
		switch {
		case row.want == "" && err != nil:
			t.Errorf("%s: %v", row.body, err)
		case row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)):
			t.Errorf("%s: error = %v, want %q", row.body, err, row.want)
		}
	}
}

// FuzzDecodeRequest: what is accepted says the same when it is written down again.
func FuzzDecodeRequest(f *testing.F) {
	f.Add([]byte(`{"urls": ["https://example.com/a?b=c"], "tags": ["a", "b"], "all": false, "soft": true, "why": "new"}`))
	f.Add([]byte(`{"prefixes": ["a/"], "globs": ["a/*"], "hosts": ["a"], "sites": ["a"], "all": true}`))
	f.Add([]byte(`{"urls": ["a"], "urls": ["b"]}`))
	f.Add([]byte(`{"urls": [null], "x": {"y": [1e999]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		once, err := decodeRequest(body)
		if err != nil {
			return
		}
		text, err := json.Marshal(once)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := decodeRequest(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		again, _ := json.Marshal(twice)
		if diff := cmp.Diff(string(text), string(again)); diff != "" {
			t.Error(diff)
		}
	})
}
