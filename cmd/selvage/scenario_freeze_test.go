package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// freeze reads `freeze SITE for 2h`: the origins of a site are left alone, as an operator wants it.
func (p *scriptParser) freeze(b statement) error {
	words := strings.Fields(b.text)
	if len(words) != 4 || words[2] != "for" {
		return fmt.Errorf("%q: want freeze SITE for TIME", b.text)
	}
	body, err := json.Marshal(freezeRequest{For: words[3]})
	if err != nil {
		return err
	}
	return p.askAdmin(b, "PUT", "/v1/sites/"+words[1]+"/freeze", string(body), b.rest)
}

// thaw reads `thaw SITE`, which ends that.
func (p *scriptParser) thaw(b statement) error {
	words := strings.Fields(b.text)
	if len(words) != 2 {
		return fmt.Errorf("%q: want thaw SITE", b.text)
	}
	return p.askAdmin(b, "DELETE", "/v1/sites/"+words[1]+"/freeze", "", b.rest)
}
