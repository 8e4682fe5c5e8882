package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"

	"selvage/purge"
)

// disk gives the node a disk tier.
func (p *scriptParser) disk(b statement) error {
	if b.text != "disk" || len(b.rest) > 0 {
		return fmt.Errorf("%q: disk stands alone", b.text)
	}
	p.config.disk = true
	return nil
}

// restart ends the node, and starts it again with the configuration in force. What is on its disk is there again at once.
func (p *scriptParser) restart(b statement) error {
	if b.text != "restart" || len(b.rest) > 0 {
		return fmt.Errorf("%q: restart stands alone", b.text)
	}
	p.add(b, func(s *stage) error {
		for _, name := range s.names {
			s.clients[name].leave()
		}
		err := s.stop()
		if s.node = nil; err != nil {
			return fmt.Errorf("stop: %w", err)
		}
		if s.node, err = s.start(s.network, s.config); err != nil {
			return fmt.Errorf("start again: %w", err)
		}
		return nil
	})
	return nil
}

// purge reads `purge url https://example.com/a tag news`, `purge soft all`, `purge dry glob example.com/*`: a request to the API
// behind the admin socket. `why` gives the reason. `purge at NAME …` asks another node than the one that clients ask.
func (p *scriptParser) purge(b statement) error {
	words, node := strings.Fields(b.text)[1:], ""
	if len(words) > 2 && words[0] == "at" {
		node, words = words[1], words[2:]
	}
	what, dry, err := parsePurge(words)
	if err != nil {
		return err
	}
	var expects []scriptLine
	for _, l := range b.rest {
		if why, ok := strings.CutPrefix(l.text, "why "); ok {
			what.Why = why
			continue
		}
		expects = append(expects, l)
	}
	body, err := json.Marshal(what)
	if err != nil {
		return err
	}
	target := "/v1/purge"
	if dry {
		target += "?dry_run=true"
	}
	return p.askAdminAt(node, b, "POST", target, string(body), expects)
}

// history reads `history`: the purges there have been, the newest first.
func (p *scriptParser) history(b statement) error {
	return p.askAdmin(b, "GET", "/v1/purges", "", b.rest)
}

// askAdmin asks the node that clients ask.
func (p *scriptParser) askAdmin(b statement, method, target, body string, lines []scriptLine) error {
	return p.askAdminAt("", b, method, target, body, lines)
}

// askAdminAt asks a node. An answer that is not 200 is a failure, unless a status is expected.
func (p *scriptParser) askAdminAt(node string, b statement, method, target, body string, lines []scriptLine) error {
	expect, err := parseExpectations(lines)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(expect, func(e expectation) bool { return statusLine.MatchString(e.text) }) {
		ok, err := parseExpectation(scriptLine{b.line, "expect 200"})
		if err != nil {
			return err
		}
		expect = append([]expectation{ok}, expect...)
	}
	p.add(b, func(s *stage) error {
		n, err := s.at(node)
		if err != nil {
			return err
		}
		r := httptest.NewRequest(method, target, strings.NewReader(s.expand(body)))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		n.admin().ServeHTTP(w, r)
		out := &outcome{what: b.text, status: w.Code, header: w.Header(), body: w.Body.Bytes(), done: true}
		for _, e := range expect {
			if err := e.check(out, s); err != nil {
				return atLine(e.line, fmt.Errorf("%s: %w\n%s", b.text, err, w.Body))
			}
		}
		return nil
	})
	return nil
}

func parsePurge(words []string) (what *purge.Request, dry bool, err error) {
	what = &purge.Request{}
	lists := map[string]*[]string{
		"url": &what.URLs, "prefix": &what.Prefixes, "glob": &what.Globs, "tag": &what.Tags, "host": &what.Hosts, "site": &what.Sites,
	}
	for i := 0; i < len(words); i++ {
		switch list := lists[words[i]]; {
		case words[i] == "soft":
			what.Soft = true
		case words[i] == "dry":
			dry = true
		case words[i] == "all":
			what.All = true
		case list != nil && i+1 < len(words):
			i++
			*list = append(*list, words[i])
		default:
			return nil, false, fmt.Errorf("purge %s: want soft, dry, all, or url, prefix, glob, tag, host or site and a name", words[i])
		}
	}
	return what, dry, nil
}

// admin of the stand-in does nothing.
func (*standIn) admin() http.Handler { return http.NotFoundHandler() }
