package purge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Selection is what a purge selects, in words that people and programs write.
type Selection struct {
	URLs     []string `json:"urls,omitempty"`
	Prefixes []string `json:"prefixes,omitempty"`
	Globs    []string `json:"globs,omitempty"`
	Tags     []string `json:"tags,omitempty"`
	Hosts    []string `json:"hosts,omitempty"`
	Sites    []string `json:"sites,omitempty"`
	All      bool     `json:"all,omitempty"`
	// SiteTags is what the tags asked for with a token of some sites become, "SITE TAG": those of these sites alone. It is
	// told, and cannot be asked for.
	SiteTags []string `json:"site_tags,omitempty"`
}

// Request is the body of POST /v1/purge.
type Request struct {
	Selection
	Soft bool   `json:"soft,omitempty"`
	Why  string `json:"why,omitempty"`
}

// selectorNames are the selectors by their names in a Request, and in the scope of a token.
var selectorNames = []string{"urls", "prefixes", "globs", "tags", "hosts", "sites", "all"}

// Bounds of a Request.
const (
	maxBodyBytes = 1 << 20
	maxWhyBytes  = 500
)

// decodeRequest reads a Request strictly: a key that is misspelt or given twice would purge something else than was meant.
// encoding/json would take both.
func decodeRequest(body []byte) (*Request, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("the body is no UTF-8")
	}
	r, in := &Request{}, json.NewDecoder(bytes.NewReader(body))
	if first, err := in.Token(); err != nil || first != json.Delim('{') {
		return nil, errors.New(`the body is no JSON object, such as {"urls": ["https://example.com/a"]}`)
	}
	for seen := []string(nil); in.More(); {
		key, err := in.Token()
		name, isName := key.(string)
		switch {
		case err != nil || !isName:
			return nil, badJSON(err)
		case slices.Contains(seen, name):
			return nil, fmt.Errorf("%s is given twice", name)
		}
		if err := r.decodeValue(name, in); err != nil {
			return nil, err
		}
		seen = append(seen, name)
	}
	if _, err := in.Token(); err != nil {
		return nil, badJSON(err)
	}
	if _, err := in.Token(); err != io.EOF {
		return nil, errors.New("there is more after the JSON object")
	}
	return r, r.checkWhy()
}

func badJSON(err error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the body is cut short")
	}
	return fmt.Errorf("the body is no JSON: %w", err)
}

// decodeValue reads the value of one key.
func (r *Request) decodeValue(name string, in *json.Decoder) error {
	field, wants := r.field(name)
	if field == nil {
		return fmt.Errorf("there is no key %.40q; the keys are %s, soft and why", name, strings.Join(selectorNames, ", "))
	}
	var raw json.RawMessage
	if err := in.Decode(&raw); err != nil {
		return badJSON(err)
	}
	if err := json.Unmarshal(raw, field); err != nil || hasNull(raw) {
		return fmt.Errorf("%s wants %s", name, wants)
	}
	return nil
}

// field returns where the value of a key goes, and what it is.
func (r *Request) field(name string) (field any, wants string) {
	const list, truth = "a list of strings", "true or false"
	switch name {
	case "urls":
		return &r.URLs, list
	case "prefixes":
		return &r.Prefixes, list
	case "globs":
		return &r.Globs, list
	case "tags":
		return &r.Tags, list
	case "hosts":
		return &r.Hosts, list
	case "sites":
		return &r.Sites, list
	case "all":
		return &r.All, truth
	case "soft":
		return &r.Soft, truth
	case "why":
		return &r.Why, "a string"
	}
	return nil, ""
}

// hasNull reports a null where encoding/json would see nothing: as the value, or in the list.
func hasNull(raw json.RawMessage) bool {
	var members []*string
	if string(raw) == "null" {
		return true
	}
	return json.Unmarshal(raw, &members) == nil && slices.Contains(members, nil)
}

// checkWhy keeps out what a terminal that shows the history would obey.
func (r *Request) checkWhy() error {
	if len(r.Why) > maxWhyBytes || strings.ContainsFunc(r.Why, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return fmt.Errorf("why is longer than %d bytes, or has more than printable characters", maxWhyBytes)
	}
	return nil
}
